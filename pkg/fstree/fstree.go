// Package fstree makes an fs.FS of anything that has files, folders and symbolic links: a file system on a disk image, an
// archive in memory.
//
// Symbolic links are followed, absolute ones from the root of the tree, as the kernel does after chroot(2). A file that
// is opened can be read at an offset (io.ReaderAt) as well. The result may be used by several goroutines if the nodes may.
package fstree

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"
)

// maxLinks is how many symbolic links a path may lead through, as in the kernel (MAXSYMLINKS).
const maxLinks = 40

// ErrLoop says that a path leads through too many symbolic links.
var ErrLoop = errors.New("too many symbolic links")

// A Node is one file of any kind. Of the last four methods only the one that fits its kind is called.
type Node interface {
	Mode() fs.FileMode // kind and permissions
	Size() int64       // in bytes, of a regular file
	ModTime() time.Time

	// Entries returns what is in a folder, in any order, without "." and "..".
	Entries() ([]Entry, error)
	// Lookup finds a name in a folder; its error wraps fs.ErrNotExist if it is not there.
	Lookup(name string) (Node, error)
	// Target is where a symbolic link points.
	Target() (string, error)
	// Content gives access to Size bytes of a regular file.
	Content() (io.ReaderAt, error)
}

// An Entry is a name in a folder.
type Entry struct {
	Name string
	Kind fs.FileMode // type bits
	Node func() (Node, error)
}

// New returns the files below a folder.
func New(root Node) fs.ReadLinkFS { return &tree{root} }

type tree struct{ root Node }

// Open implements fs.FS.
func (t *tree) Open(name string) (fs.File, error) {
	n, err := t.find(name, true)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	info := info{path.Base(name), n}
	if n.Mode().IsDir() {
		return &folder{info: info, path: name}, nil
	}
	f := &file{info: info, path: name}
	if n.Mode().IsRegular() {
		content, err := n.Content()
		if err != nil {
			return nil, &fs.PathError{Op: "open", Path: name, Err: err}
		}
		f.SectionReader = io.NewSectionReader(content, 0, n.Size())
	} else {
		f.SectionReader = io.NewSectionReader(strings.NewReader(""), 0, 0) // a device or a pipe: nothing to read here
	}
	return f, nil
}

// ReadLink implements fs.ReadLinkFS.
func (t *tree) ReadLink(name string) (string, error) {
	n, err := t.find(name, false)
	if err == nil && n.Mode().Type() != fs.ModeSymlink {
		err = fs.ErrInvalid
	}
	if err != nil {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: err}
	}
	return n.Target()
}

// Lstat implements fs.ReadLinkFS.
func (t *tree) Lstat(name string) (fs.FileInfo, error) {
	n, err := t.find(name, false)
	if err != nil {
		return nil, &fs.PathError{Op: "lstat", Path: name, Err: err}
	}
	return info{path.Base(name), n}, nil
}

// find walks to a name, following links; the last part only if last says so.
func (t *tree) find(name string, last bool) (Node, error) {
	if !fs.ValidPath(name) {
		return nil, fs.ErrInvalid
	}
	// trail is the folders above the current one, for "..".
	trail := []Node{t.root}
	rest := strings.Split(name, "/")
	links := 0
	for len(rest) > 0 {
		part := rest[0]
		rest = rest[1:]
		here := trail[len(trail)-1]
		switch part {
		case "", ".":
			continue
		case "..":
			if len(trail) > 1 {
				trail = trail[:len(trail)-1]
			}
			continue
		}
		if !here.Mode().IsDir() {
			return nil, fs.ErrNotExist
		}
		n, err := here.Lookup(part)
		if err != nil {
			return nil, err
		}
		if n.Mode().Type() != fs.ModeSymlink || len(rest) == 0 && !last {
			trail = append(trail, n)
			continue
		}
		if links++; links > maxLinks {
			return nil, ErrLoop
		}
		target, err := n.Target()
		if err != nil {
			return nil, fmt.Errorf("read symbolic link %s: %w", part, err)
		}
		if strings.HasPrefix(target, "/") {
			trail = trail[:1]
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return trail[len(trail)-1], nil
}

// info implements fs.FileInfo.
type info struct {
	name string
	Node
}

func (i info) Name() string { return i.name }
func (i info) IsDir() bool  { return i.Mode().IsDir() }
func (i info) Sys() any     { return nil }

// file implements fs.File for what is no folder.
type file struct {
	*io.SectionReader
	info info
	path string
}

func (f *file) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *file) Close() error               { return nil }
func (f *file) Read(b []byte) (int, error) {
	n, err := f.SectionReader.Read(b)
	return n, f.wrap(err)
}

func (f *file) ReadAt(b []byte, offset int64) (int, error) {
	n, err := f.SectionReader.ReadAt(b, offset)
	return n, f.wrap(err)
}

func (f *file) wrap(err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &fs.PathError{Op: "read", Path: f.path, Err: err}
}

// folder implements fs.ReadDirFile.
type folder struct {
	info    info
	path    string
	entries []fs.DirEntry
	read    bool
}

func (d *folder) Stat() (fs.FileInfo, error) { return d.info, nil }
func (d *folder) Close() error               { return nil }
func (d *folder) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.path, Err: errors.New("is a folder")}
}

// ReadDir implements fs.ReadDirFile.
func (d *folder) ReadDir(n int) ([]fs.DirEntry, error) {
	if !d.read {
		entries, err := d.info.Entries()
		if err != nil {
			return nil, &fs.PathError{Op: "readdir", Path: d.path, Err: err}
		}
		for _, e := range entries {
			d.entries = append(d.entries, entry{e})
		}
		d.read = true
	}
	all := d.entries
	if n > 0 {
		if len(all) == 0 {
			return nil, io.EOF
		}
		all = all[:min(n, len(all))]
	}
	d.entries = d.entries[len(all):]
	return all, nil
}

// entry implements fs.DirEntry.
type entry struct{ e Entry }

func (e entry) Name() string      { return e.e.Name }
func (e entry) IsDir() bool       { return e.e.Kind.IsDir() }
func (e entry) Type() fs.FileMode { return e.e.Kind.Type() }
func (e entry) Info() (fs.FileInfo, error) {
	n, err := e.e.Node()
	if err != nil {
		return nil, err
	}
	return info{e.e.Name, n}, nil
}

func (e entry) String() string { return fs.FormatDirEntry(e) }
