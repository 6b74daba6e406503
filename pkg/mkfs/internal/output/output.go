// Package output writes a file system to its device. The first error is kept and ends all further writing, so that what lays out the
// structures need not look at every one of them.
package output

import (
	"errors"
	"fmt"
	"io"
)

// A zeroer fills a range with zeros by a shorter way than writing them, as block devices and files can.
type zeroer interface {
	ZeroRange(offset, length int64) error
}

// A syncer makes sure that what was written arrived.
type syncer interface {
	Sync() error
}

// zeroBytes is how many zeros are written at a time.
const zeroBytes = 1 << 20

// Writer is a device under construction.
type Writer struct {
	w     io.WriterAt
	zeros []byte // shared by all calls of Zero; made by the first
	err   error
}

// New returns a Writer to w. It is not safe for use by several goroutines.
func New(w io.WriterAt) *Writer { return &Writer{w: w} }

// Write writes b at offset, in bytes.
func (w *Writer) Write(b []byte, offset int64) {
	if w.err != nil || len(b) == 0 {
		return
	}
	if _, err := w.w.WriteAt(b, offset); err != nil {
		w.err = fmt.Errorf("write %d bytes at %d: %w", len(b), offset, err)
	}
}

// Zero fills length bytes at offset with zeros: by ZeroRange where the device has that method and it does not say that it is
// unsupported, else by writing them.
func (w *Writer) Zero(offset, length int64) {
	if w.err != nil || length <= 0 {
		return
	}
	if z, ok := w.w.(zeroer); ok {
		err := z.ZeroRange(offset, length)
		if err != nil && !errors.Is(err, errors.ErrUnsupported) {
			w.err = fmt.Errorf("zero %d bytes at %d: %w", length, offset, err)
		}
		if err == nil || w.err != nil {
			return
		}
	}
	if w.zeros == nil {
		w.zeros = make([]byte, zeroBytes)
	}
	for length > 0 && w.err == nil {
		n := min(length, zeroBytes)
		w.Write(w.zeros[:n], offset)
		offset, length = offset+n, length-n
	}
}

// Sync makes sure that all of it arrived, where the device has a method Sync, before anything that is written later.
func (w *Writer) Sync() {
	if s, ok := w.w.(syncer); ok && w.err == nil {
		if err := s.Sync(); err != nil {
			w.err = fmt.Errorf("sync: %w", err)
		}
	}
}

// Err returns the first error.
func (w *Writer) Err() error { return w.err }
