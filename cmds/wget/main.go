// Wget downloads a file as liveboot downloads an image: over any of its protocols, taken up again where a connection breaks, and compared
// with the digest in <URL>.sha256 or <URL>.sha512 where the server has one.
//
//	wget [-O <file>] <URL>
//
// The file is named after the URL, - is the standard output.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"strings"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch"
)

func main() {
	err := run(os.Args[1:])
	switch {
	case errors.Is(err, errUsage):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "wget:", err)
		os.Exit(1)
	}
}

// errUsage says that the flags or arguments were wrong, which the person has been told.
var errUsage = errors.New("usage")

// patience is for somebody who waits in front of the screen.
func patience() fetch.Patience {
	return fetch.Patience{Silent: 10 * time.Second, Unknown: 5 * time.Second}
}

func run(args []string) error {
	flags := flag.NewFlagSet("wget", flag.ContinueOnError)
	name := flags.String("O", "", "write to this file; - is the standard output")
	if flags.Parse(args) != nil {
		return errUsage
	}
	rest := flags.Args()
	if len(rest) > 1 && flags.Parse(rest[1:]) != nil { // flags may stand behind the URL
		return errUsage
	}
	if len(rest) == 0 || len(rest) > 1 && flags.NArg() > 0 {
		flags.Usage()
		return errUsage
	}
	address, err := fetch.ParseURL(rest[0])
	if err != nil {
		return err
	}
	stream, err := fetch.Open(context.Background(), fetch.Source{URLs: []fetch.URL{address}}, fetch.Environment{
		Roots: "/", Patience: patience(), Report: func(e fetch.Event) { fmt.Fprintln(os.Stderr, "wget:", e) },
	})
	if err != nil {
		return err
	}
	defer stream.Close()
	if *name == "-" {
		_, err := io.Copy(os.Stdout, stream)
		return err
	}
	if *name == "" {
		*name = nameOf(address)
	}
	return save(stream, *name)
}

// nameOf is the last part of a URL's path, or the name that is usual for a folder.
func nameOf(address fetch.URL) string {
	u, err := url.Parse(string(address))
	if err != nil || u.Path == "" || strings.HasSuffix(u.Path, "/") {
		return "index.html"
	}
	return path.Base(u.Path)
}

// save writes the whole stream into a file, which is removed if the download fails, unless it is a device or a pipe.
func save(stream io.Reader, name string) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() {
		info, statErr := f.Stat()
		if err = errors.Join(err, f.Close()); err != nil && statErr == nil && info.Mode().IsRegular() {
			err = errors.Join(err, os.Remove(name))
		}
	}()
	for {
		_, err := io.Copy(f, stream)
		var restart *fetch.RestartError
		if !errors.As(err, &restart) {
			return err
		}
		// What was written is of no use: the file on the server has changed.
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		if err := f.Truncate(0); err != nil {
			return err
		}
	}
}
