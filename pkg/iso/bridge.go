package iso

import (
	"errors"
	"io"
	"io/fs"

	"github.com/liveboot/liveboot/pkg/fstree"
	"github.com/liveboot/liveboot/pkg/iso/udf"
)

// limitedSize is from where on an ISO's size may be the largest that 32 bits hold in place of a file's own, in bytes: some programs write whole
// sectors. (Others write the lower 32 bits, which look like any size.)
const limitedSize = 1<<32 - SectorSize

// bridged is a file of an ISO that a UDF shows too. Names and links are those of the ISO, where Rock Ridge is; content is that of the UDF
// where the two differ in size, since the ISO's 32 bits cannot say that of a large file. What is damaged in the UDF is read from the ISO.
type bridged struct {
	*node
	udf fstree.Node
}

// Size implements fstree.Node.
func (b *bridged) Size() int64 {
	if b.mode.IsRegular() {
		return b.udf.Size()
	}
	return b.node.Size()
}

// Content implements fstree.Node.
func (b *bridged) Content() (io.ReaderAt, error) {
	if b.udf.Size() != b.node.Size() {
		return b.udf.Content()
	}
	return b.node.Content()
}

// Entries implements fstree.Node.
func (b *bridged) Entries() ([]fstree.Entry, error) {
	all, err := b.node.Entries()
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	for k := range all {
		name := all[k].Name
		known[name] = true
		all[k].Node = func() (fstree.Node, error) { return b.Lookup(name) }
	}
	more, err := b.udf.Entries()
	if damage(err) {
		return all, nil
	}
	for _, e := range more {
		if !known[e.Name] {
			all = append(all, e)
		}
	}
	return all, err
}

// Lookup implements fstree.Node.
func (b *bridged) Lookup(name string) (fstree.Node, error) {
	there, udfErr := b.udf.Lookup(name)
	child, err := b.lookup(name)
	switch {
	case errors.Is(err, fs.ErrNotExist) && damage(udfErr):
		return nil, err
	case errors.Is(err, fs.ErrNotExist):
		return there, udfErr
	case err != nil:
		return nil, err
	case errors.Is(udfErr, fs.ErrNotExist):
		return child, nil
	case damage(udfErr) && child.mode.IsDir():
		return &bridged{node: child, udf: damaged{child, udfErr}}, nil
	case damage(udfErr) && (!child.mode.IsRegular() || child.Size() < limitedSize):
		return child, nil
	case udfErr != nil:
		return nil, udfErr
	case there.Mode().Type() != child.mode.Type() || !child.mode.IsDir() && !child.mode.IsRegular():
		return child, nil
	}
	return &bridged{node: child, udf: there}, nil
}

// damage reports whether an error is about what is in the UDF, not about reading it.
func damage(err error) bool {
	return errors.Is(err, udf.ErrFormat) || errors.Is(err, errors.ErrUnsupported)
}

// damaged is a folder of an ISO in place of that of the UDF, which cannot be read: neither can what is in it.
type damaged struct {
	fstree.Node
	err error
}

// Entries implements fstree.Node.
func (d damaged) Entries() ([]fstree.Entry, error) { return nil, d.err }

// Lookup implements fstree.Node.
func (d damaged) Lookup(string) (fstree.Node, error) { return nil, d.err }
