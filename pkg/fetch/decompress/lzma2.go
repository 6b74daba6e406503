package decompress

import (
	"bufio"
	"errors"
	"io"
)

// A lzma2Framer passes on the content of one block, and finds its end without unpacking it: LZMA2 is a row of chunks that tell their sizes.
type lzma2Framer struct {
	src *bufio.Reader
	// compressed and uncompressed count bytes.
	compressed, uncompressed uint64

	header []byte // what is to be passed on of a chunk's header
	left   int    // bytes of the chunk behind its header
	end    bool
	space  [6]byte
}

var errLZMA2 = errors.New("the file is damaged: its compressed data is no LZMA2")

// Read fills p as far as there is content.
func (f *lzma2Framer) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		k, err := f.some(p[n:])
		n += k
		f.compressed += uint64(k)
		if n > 0 && err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

func (f *lzma2Framer) some(p []byte) (int, error) {
	switch {
	case len(f.header) > 0:
		n := copy(p, f.header)
		f.header = f.header[n:]
		return n, nil
	case f.left > 0:
		n, err := f.src.Read(p[:min(len(p), f.left)])
		f.left -= n
		return n, truncated(err)
	case f.end:
		return 0, io.EOF
	}
	return 0, f.next()
}

// next reads the header of a chunk. Its first byte, the control byte, tells its kind and with it its form.
func (f *lzma2Framer) next() error {
	control, err := f.src.ReadByte()
	if err != nil {
		return truncated(err)
	}
	size := 1
	switch {
	case control == 0: // the end
		f.end = true
	case control <= 2: // bytes as they are: their number less 1
		size = 3
	case control >= 0xc0: // LZMA: the sizes of it unpacked and packed, less 1 each, and properties
		size = 6
	case control >= 0x80: // LZMA with the properties of the chunk before
		size = 5
	default:
		return errLZMA2
	}
	h := f.space[:size]
	h[0] = control
	if _, err := io.ReadFull(f.src, h[1:]); err != nil {
		return truncated(err)
	}
	switch f.header = h; {
	case size == 3:
		f.left = int(h[1])<<8 + int(h[2]) + 1
		f.uncompressed += uint64(f.left)
	case size > 3:
		f.left = int(h[3])<<8 + int(h[4]) + 1
		f.uncompressed += uint64(control&0x1f)<<16 + uint64(h[1])<<8 + uint64(h[2]) + 1
	}
	return nil
}
