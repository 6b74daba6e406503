package iso

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/liveboot/liveboot/pkg/fstree"
	"github.com/liveboot/liveboot/pkg/iso/extent"
)

const (
	// maxFolder bounds the memory that a malicious folder can ask for, in bytes.
	maxFolder = 4 << 20
	// relocated stands for the size of a relocated folder, which its own record says.
	relocated = -1
)

// names is which names of the files are used.
type names int

const (
	plain names = iota
	rockRidge
	joliet
)

// A volume is a tree of folders with one kind of names.
type volume struct {
	r     io.ReaderAt
	names names
	skip  int // bytes of each system use area that are not Rock Ridge's
}

// read fills b. What is missing at the end of the image is an error.
func (v *volume) read(b []byte, at int64) error {
	n, err := v.r.ReadAt(b, at)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// begin finds out by the root whether there is Rock Ridge.
func (v *volume) begin(root *node) error {
	data, err := v.folder(root.pieces)
	if err != nil {
		return err
	}
	if len(data) > 33 && int(data[0]) <= len(data) && data[0] > 33 {
		v.skip = skipped(systemUse(data[:data[0]]))
	}
	children, err := v.parse(data)
	if slices.ContainsFunc(children, func(n *node) bool { return n.alternate != "" }) {
		v.names = rockRidge
	}
	root.once.Do(func() { root.children = children })
	return err
}

// node implements fstree.Node.
type node struct {
	v *volume
	record

	once     sync.Once
	children []*node
	err      error
}

// Mode implements fstree.Node.
func (n *node) Mode() fs.FileMode { return n.mode }

// ModTime implements fstree.Node.
func (n *node) ModTime() time.Time { return n.modified }

// Size implements fstree.Node.
func (n *node) Size() int64 { return n.size() }

// Target implements fstree.Node.
func (n *node) Target() (string, error) {
	if n.target == "" {
		return "", errors.New("no target")
	}
	return n.target, nil
}

// Content implements fstree.Node.
func (n *node) Content() (io.ReaderAt, error) {
	if n.more {
		return nil, errors.New("its last extent is missing")
	}
	return extent.NewReader(n.v.r, n.pieces, n.size()), n.unreadable
}

// Entries implements fstree.Node.
func (n *node) Entries() ([]fstree.Entry, error) {
	children, err := n.list()
	if err != nil {
		return nil, err
	}
	var all []fstree.Entry
	for _, child := range children {
		if name := child.name(n.v.names); name != "" {
			all = append(all, fstree.Entry{Name: name, Kind: child.mode.Type(), Node: func() (fstree.Node, error) { return child, nil }})
		}
	}
	return all, nil
}

// Lookup implements fstree.Node.
func (n *node) Lookup(name string) (fstree.Node, error) {
	child, err := n.lookup(name)
	if err != nil {
		return nil, err
	}
	return child, nil
}

func (n *node) lookup(name string) (*node, error) {
	children, err := n.list()
	if err != nil {
		return nil, err
	}
	for _, child := range children {
		if child.name(n.v.names) == name {
			return child, nil
		}
	}
	if n.v.names != rockRidge {
		for _, child := range children {
			if strings.EqualFold(child.name(n.v.names), name) {
				return child, nil
			}
		}
	}
	return nil, fs.ErrNotExist
}

// list reads the records of a folder, once.
func (n *node) list() ([]*node, error) {
	n.once.Do(func() {
		data, err := n.v.folder(n.pieces)
		if err == nil {
			n.children, err = n.v.parse(data)
		}
		if err != nil {
			n.err = fmt.Errorf("read folder: %w", err)
		}
	})
	return n.children, n.err
}

// folder reads the records of a folder.
func (v *volume) folder(pieces []extent.Extent) ([]byte, error) {
	if len(pieces) != 1 {
		return nil, errors.New("a folder of several extents")
	}
	at := pieces[0]
	if at.Size == relocated {
		b := make([]byte, SectorSize)
		if err := v.read(b, at.Offset); err != nil {
			return nil, err
		}
		self, err := parseRecord(b)
		if err != nil {
			return nil, err
		}
		at.Size = self.pieces[0].Size
	}
	if at.Size > maxFolder {
		return nil, fmt.Errorf("%d bytes of a folder are not believed", at.Size)
	}
	b := make([]byte, at.Size)
	return b, v.read(b, at.Offset)
}

// parse reads the records of a folder. Those of a file in several extents follow each other.
func (v *volume) parse(data []byte) (all []*node, err error) {
	s := &susp{v: v}
	var open *node // whose extents are not all known yet
	for len(data) > 0 {
		length := int(data[0])
		if length == 0 { // records do not cross sectors: the rest of this one is empty
			rest := len(data) % SectorSize
			if rest == 0 {
				rest = SectorSize
			}
			data = data[rest:]
			continue
		}
		if length > len(data) {
			return nil, errors.New("a record reaches beyond its end")
		}
		b := data[:length]
		data = data[length:]
		r, err := parseRecord(b)
		if err != nil {
			return nil, err
		}
		if r.raw == "\x00" || r.raw == "\x01" { // the folder itself and the one above
			continue
		}
		if v.names != joliet {
			area := systemUse(b)
			if err := s.read(&r, area[min(v.skip, len(area)):]); err != nil {
				return nil, err
			}
		}
		if open != nil && open.raw == r.raw {
			open.pieces, open.more = append(open.pieces, r.pieces...), r.more
		} else {
			open = &node{v: v, record: r}
			if !r.hidden {
				all = append(all, open)
			}
		}
		if !open.more {
			open = nil
		}
	}
	return all, nil
}
