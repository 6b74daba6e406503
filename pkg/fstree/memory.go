package fstree

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
)

// Memory is a tree in memory, into which an archive is unpacked. Its files can be read with New(m) while nothing is added.
type Memory struct {
	mode     fs.FileMode
	modified time.Time
	content  []byte // of a file, or the target of a symbolic link
	outside  *outside
	children map[string]*Memory
}

// outside is a file that is in another tree, and read only when it is asked for.
type outside struct {
	fsys fs.FS
	name string
	size int64
}

// NewMemory returns an empty folder.
func NewMemory() *Memory {
	return &Memory{mode: fs.ModeDir | 0o755, children: map[string]*Memory{}}
}

// Add adds a file, a folder or a symbolic link, of which content is the target, and the folders above it. What has the
// name already is replaced; a folder keeps what is in it. A leading "/" or "./" is ignored; a name with ".." in it is an
// error, and so is one below something that is no folder. The content is kept, not copied.
func (m *Memory) Add(name string, mode fs.FileMode, modified time.Time, content []byte) error {
	return m.add(name, &Memory{mode: mode, modified: modified, content: content})
}

// AddFrom adds a file under a name that stays in another tree.
func (m *Memory) AddFrom(name string, fsys fs.FS, file string) error {
	info, err := fs.Stat(fsys, file)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("add %s: %s is no regular file", name, file)
	}
	return m.add(name, &Memory{mode: info.Mode(), modified: info.ModTime(), outside: &outside{fsys, file, info.Size()}})
}

func (m *Memory) add(name string, n *Memory) error {
	clean := strings.TrimPrefix(path.Clean("/"+name), "/")
	if slices.Contains(strings.Split(name, "/"), "..") {
		return fmt.Errorf("add %s: leads out of the tree", name)
	}
	if clean == "" {
		return nil // the root is there
	}
	at := m
	dir, base := path.Split(clean)
	for part := range strings.SplitSeq(strings.TrimSuffix(dir, "/"), "/") {
		if part == "" {
			continue
		}
		next := at.children[part]
		if next == nil {
			next = NewMemory()
			at.children[part] = next
		}
		if !next.mode.IsDir() {
			return fmt.Errorf("add %s: %s is no folder", name, part)
		}
		at = next
	}
	if n.mode.IsDir() {
		n.content, n.children = nil, map[string]*Memory{}
		if old := at.children[base]; old != nil && old.mode.IsDir() {
			n.children = old.children
		}
	}
	at.children[base] = n
	return nil
}

// Mode implements Node.
func (m *Memory) Mode() fs.FileMode { return m.mode }

// Size implements Node.
func (m *Memory) Size() int64 {
	if m.outside != nil {
		return m.outside.size
	}
	return int64(len(m.content))
}

// ModTime implements Node.
func (m *Memory) ModTime() time.Time { return m.modified }

// Entries implements Node.
func (m *Memory) Entries() ([]Entry, error) {
	var all []Entry
	for _, name := range slices.Sorted(maps.Keys(m.children)) {
		child := m.children[name]
		all = append(all, Entry{Name: name, Kind: child.mode.Type(), Node: func() (Node, error) { return child, nil }})
	}
	return all, nil
}

// Lookup implements Node.
func (m *Memory) Lookup(name string) (Node, error) {
	if child := m.children[name]; child != nil {
		return child, nil
	}
	return nil, fs.ErrNotExist
}

// Target implements Node.
func (m *Memory) Target() (string, error) {
	if len(m.content) == 0 {
		return "", errors.New("no target")
	}
	return string(m.content), nil
}

// Content implements Node.
func (m *Memory) Content() (io.ReaderAt, error) {
	if m.outside == nil {
		return bytes.NewReader(m.content), nil
	}
	f, err := m.outside.fsys.Open(m.outside.name)
	if err != nil {
		return nil, err
	}
	if r, ok := f.(*file); ok { // of a tree like this one: nothing to close
		return r, nil
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	return bytes.NewReader(b), err
}
