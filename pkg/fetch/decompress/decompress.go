// Package decompress unpacks a stream that may be compressed with xz, gzip, zstd or bzip2.
//
// The compression is recognised by the first bytes, never by a name; anything else passes unchanged. The stream is unpacked while it
// arrives, in memory that does not grow with its length: a window of at most MaxWindow, and for the blocks that are unpacked
// side by side at most Options.Memory more.
//
// A stream that ends in the middle, whose checksums are wrong, or that is followed by something else never ends with io.EOF. Members that
// stand one behind the other (as pigz, pbzip2, pzstd and cat make them) are unpacked into one stream. What no format can tell is
// that whole members are missing at the end: the length of the compressed stream is the caller's to check. Zeros behind the end, which some
// programs overlook, are something else too; between xz streams they are padding.
//
// Formats: xz is the .xz file format 1.1.0 of tukaani.org, gzip RFC 1952, zstd RFC 8878; bzip2 has no standard but its program.
package decompress

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"runtime"
)

// MaxWindow is how far back, in bytes, a stream may refer to what it has unpacked before: the dictionary of xz, of which `xz -9` needs
// half, and the window of zstd, of which `zstd --ultra -22` and `zstd --long` (27) need all.
const MaxWindow = 128 << 20

// DefaultMemory suffices for six blocks of `xz -T0 -6`; those of `xz -T0 -9` have 192 MiB each, and ask for Options.Memory of 700 MiB.
const DefaultMemory = 256 << 20

// Options say what the unpacking may use. The zero Options are the defaults.
type Options struct {
	// Workers is how many blocks are unpacked side by side; 0 means as many as there are processors for the program. With 1 blocks are
	// unpacked in Read, while they arrive.
	Workers int
	// Memory in bytes bounds what all blocks that are unpacked side by side take, packed and unpacked; 0 means DefaultMemory. Blocks of
	// which not two fit are unpacked one after the other, while they arrive.
	Memory int64
}

// A Reader reads a stream unpacked.
type Reader struct {
	format string
	r      io.Reader
	close  func()
	err    error
}

// bufferSize in bytes of what is read from the source at a time.
const bufferSize = 256 << 10

// New reads the first bytes of r and recognises what it holds. Its only errors are those of reading r, and of a damaged first header.
func New(r io.Reader, o Options) (*Reader, error) {
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Memory <= 0 {
		o.Memory = DefaultMemory
	}
	src := bufio.NewReaderSize(source{r}, bufferSize)
	head, err := src.Peek(magicSize)
	if err != nil && err != io.EOF {
		return nil, explain("", err)
	}
	for _, f := range Formats() {
		if !f.match(head) {
			continue
		}
		d := &Reader{format: f.Name}
		if d.r, d.close, err = f.open(src, o); err != nil {
			return nil, explain(f.Name, err)
		}
		return d, nil
	}
	return &Reader{r: src, close: func() {}}, nil
}

// Format returns the name of the compression as in Formats, or "" if the stream is not compressed.
func (d *Reader) Format() string { return d.format }

// Read reads unpacked bytes. It returns io.EOF only when the stream is complete and every checksum in it was right.
func (d *Reader) Read(p []byte) (int, error) {
	if d.err != nil {
		return 0, d.err
	}
	n, err := d.r.Read(p)
	d.err = explain(d.format, err)
	return n, d.err
}

// Close gives up what the reader holds. It does not close the source, and does not wait for a read of it that is under way in
// another goroutine: close the source to end that.
func (d *Reader) Close() error {
	if d.err == nil {
		d.err = errors.New("decompress: read after close")
	}
	d.close()
	return nil
}

// source marks the errors of the source, so that they are not taken for those of its content.
type source struct{ r io.Reader }

type sourceError struct{ error }

func (s source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		err = sourceError{err}
	}
	return n, err
}

// errTruncated is what a stream is that ends in the middle.
var errTruncated = fmt.Errorf("the file is cut off: %w", io.ErrUnexpectedEOF)

// explain adds to an error what was unpacked. The source's own errors stay what they were.
func explain(format string, err error) error {
	var fromSource sourceError
	switch {
	case err == nil || err == io.EOF:
		return err
	case errors.As(err, &fromSource):
		return fromSource.error
	case err == io.ErrUnexpectedEOF:
		err = errTruncated
	}
	return fmt.Errorf("decompress %s: %w", format, err)
}

// truncated turns the end of the source into an error, where more has to come.
func truncated(err error) error {
	if err == io.EOF {
		return errTruncated
	}
	return err
}
