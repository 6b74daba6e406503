package probe

import (
	"errors"
	"fmt"
	"io"
)

// Nearly everything lies in these two stretches, so that two reads do: LUKS2's second header and VMFS are further in than the first,
// and no RAID controller writes further from the end than the second (Promise, 3087 sectors).
const (
	headSize = 1<<20 + 64<<10
	tailSize = 1600 << 10

	// What a reader asks for by a length that it found on the disk is no longer than this, in bytes.
	maxRead = 1 << 20

	page = 4096
)

// A disk is a device that remembers what was read of it. After a failed read everything is absent, and err says why.
type disk struct {
	r          io.ReaderAt
	size       int64 // in bytes
	sectorSize int64 // in bytes
	windows    []window
	err        error
}

// A window is a stretch that was read.
type window struct {
	offset int64
	data   []byte
}

func newDisk(r io.ReaderAt, size, sectorSize int64) *disk {
	d := &disk{r: r, size: size, sectorSize: sectorSize}
	d.load(0, headSize)
	if size > headSize {
		d.load(max(headSize, size-tailSize), tailSize)
	}
	return d
}

// at returns the n bytes at offset, which are not to be changed, or nil when the device ends before.
func (d *disk) at(offset int64, n int) []byte {
	if offset < 0 || n <= 0 || n > maxRead || offset > d.size-int64(n) {
		return nil
	}
	if b := d.known(offset, n); b != nil {
		return b
	}
	d.load(offset, n)
	return d.known(offset, n)
}

// known returns what was already read.
func (d *disk) known(offset int64, n int) []byte {
	for _, w := range d.windows {
		if start := offset - w.offset; start >= 0 && start+int64(n) <= int64(len(w.data)) {
			return w.data[start : start+int64(n) : start+int64(n)]
		}
	}
	return nil
}

// has says whether text is at offset.
func (d *disk) has(offset int64, text string) bool {
	return string(d.at(offset, len(text))) == text
}

// load reads whole pages around the n bytes at offset, as a device opened for direct access wants it.
func (d *disk) load(offset int64, n int) {
	if d.err != nil {
		return
	}
	start := offset &^ (page - 1)
	end := min((offset+int64(n)+page-1)&^(page-1), d.size)
	data := make([]byte, max(end-start, 0))
	got, err := d.r.ReadAt(data, start)
	if err != nil && !errors.Is(err, io.EOF) {
		d.err = fmt.Errorf("read at byte %d: %w", start+int64(got), err)
		return
	}
	if got < len(data) {
		d.size = start + int64(got) // shorter than was said; the rest is not asked for again
	}
	d.windows = append(d.windows, window{start, data[:got]})
}
