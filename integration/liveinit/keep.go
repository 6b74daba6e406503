package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/liveboot/liveboot/integration/livefacts"
)

// keep adds the text of livefacts.Keep to what earlier boots kept, and waits until it is on the disk.
func keep(cmdline string) error {
	for _, word := range strings.Fields(cmdline) {
		value, ok := strings.CutPrefix(word, livefacts.Keep)
		if !ok {
			continue
		}
		f, err := os.OpenFile(livefacts.KeptFile, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(f, value)
		if err := errors.Join(err, f.Sync(), f.Close(), syncFolder("/")); err != nil {
			return err
		}
	}
	return nil
}

// loadFolder is where load writes, and loadSize how many bytes it puts into each file.
const (
	loadFolder = "/load"
	loadSize   = 64 << 10
)

// load writes files for ever, and says of each when it is on the disk. Meanwhile another file is written over and over that nobody waits for.
func load(console io.Writer) error {
	if err := errors.Join(os.MkdirAll(loadFolder, 0o755), syncFolder("/")); err != nil {
		return err
	}
	failed := make(chan error, 1)
	go func() { failed <- churn(filepath.Join(loadFolder, "churn")) }()
	for i := loaded(); ; i++ {
		select {
		case err := <-failed:
			return err
		default:
		}
		f, err := os.Create(loadFile(i))
		if err != nil {
			return err
		}
		_, err = f.Write(loadContent(i))
		if err := errors.Join(err, f.Sync(), f.Close(), syncFolder(loadFolder)); err != nil {
			return err
		}
		fmt.Fprintf(console, "\nLIVELOAD %d synced\n", i+1)
	}
}

// churn writes the same 4 MiB again and again.
func churn(name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	for i := 0; ; i++ {
		if _, err := f.WriteAt(loadContent(i), int64(i%64)*loadSize); err != nil {
			return err
		}
	}
}

// loaded counts the files that load has left, up to the first that is not as it was written.
func loaded() int {
	for i := 0; ; i++ {
		b, err := os.ReadFile(loadFile(i))
		if err != nil || !bytes.Equal(b, loadContent(i)) {
			return i
		}
	}
}

func loadFile(i int) string { return filepath.Join(loadFolder, fmt.Sprintf("%06d", i)) }

// loadContent differs from file to file.
func loadContent(i int) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "%016d", i), loadSize/16)
}

// syncFolder waits until the names in a folder are on the disk.
func syncFolder(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
