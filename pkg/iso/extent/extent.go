// Package extent reads a file that lies in pieces of an image, as its directory lists them.
package extent

import (
	"errors"
	"io"
	"sort"
)

// Zeros is the offset of a piece that was never written and reads as zeros.
const Zeros = -1

// An Extent is a piece of a file.
type Extent struct {
	Offset int64 // in the image, in bytes; Zeros for a hole
	Size   int64 // in bytes
}

// A Reader is the content of a file.
type Reader struct {
	r      io.ReaderAt
	pieces []Extent
	starts []int64 // of the pieces, in the file
	size   int64
}

// NewReader returns the content of size bytes that lies in pieces of r. What they have beyond size is not part of it.
func NewReader(r io.ReaderAt, pieces []Extent, size int64) *Reader {
	x := &Reader{r: r, size: size}
	var at int64
	for _, p := range pieces {
		if p.Size = min(p.Size, size-at); p.Size <= 0 {
			continue
		}
		if last := len(x.pieces) - 1; last >= 0 && follows(x.pieces[last], p) {
			x.pieces[last].Size += p.Size
		} else {
			x.pieces, x.starts = append(x.pieces, p), append(x.starts, at)
		}
		at += p.Size
	}
	return x
}

// follows says whether b continues a without a gap.
func follows(a, b Extent) bool {
	if a.Offset == Zeros || b.Offset == Zeros {
		return a.Offset == b.Offset
	}
	return a.Offset+a.Size == b.Offset
}

// Size is that of the content, in bytes.
func (x *Reader) Size() int64 { return x.size }

// Contiguous returns where the content lies in the image, if it lies there in one piece. An empty file does.
func (x *Reader) Contiguous() (Extent, bool) {
	switch {
	case x.size == 0:
		return Extent{}, true
	case len(x.pieces) == 1 && x.pieces[0].Offset != Zeros && x.pieces[0].Size == x.size:
		return x.pieces[0], true
	}
	return Extent{}, false
}

// ReadAt implements io.ReaderAt. What is missing at the end of the image is io.ErrUnexpectedEOF.
func (x *Reader) ReadAt(b []byte, offset int64) (n int, err error) {
	if offset < 0 {
		return 0, errors.New("negative offset")
	}
	for n < len(b) {
		if offset >= x.size {
			return n, io.EOF
		}
		k := sort.Search(len(x.starts), func(k int) bool { return x.starts[k] > offset }) - 1
		if k < 0 || offset >= x.starts[k]+x.pieces[k].Size {
			return n, io.ErrUnexpectedEOF
		}
		within := offset - x.starts[k]
		part := b[n:][:min(int64(len(b)-n), x.pieces[k].Size-within)]
		if x.pieces[k].Offset == Zeros {
			clear(part)
		} else if read, err := x.r.ReadAt(part, x.pieces[k].Offset+within); read < len(part) {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return n + read, err
		}
		n, offset = n+len(part), offset+int64(len(part))
	}
	return n, nil
}
