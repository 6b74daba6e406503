// Package sparse is a device in memory for tests. It has any size, and keeps only what was written. A test may fill it with garbage,
// let a call fail, and look at what was called.
package sparse

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
)

// Device is a device. Size and Sector must be set.
type Device struct {
	// Size and Sector are the lengths of the device, and of the pieces that are written whole, in bytes.
	Size, Sector int64
	// Garbage is what stands, repeated, where nothing was written yet. Empty means zeros.
	Garbage []byte
	// FailAt is the number, from 1, of the call that does nothing and returns Failure. 0 means none.
	FailAt  int
	Failure error

	// Events are the calls in order: "write", "zero", "sync"; equal ones in a row are one. Calls is their number.
	Events []string
	Calls  int
	// Longest is the length of the longest write, and Total that of all of them, in bytes.
	Longest int
	Total   int64

	written map[int64][]byte // sectors, by number
	zeroed  [][2]int64       // from, to; what was written is written afterwards
}

// WriteAt implements io.WriterAt.
func (d *Device) WriteAt(b []byte, offset int64) (int, error) {
	if err := d.call("write", offset, int64(len(b))); err != nil {
		return 0, err
	}
	d.Longest = max(d.Longest, len(b))
	d.Total += int64(len(b))
	if d.written == nil {
		d.written = make(map[int64][]byte)
	}
	for sector := range slices.Chunk(b, int(d.Sector)) {
		d.written[offset/d.Sector] = slices.Clone(sector)
		offset += d.Sector
	}
	return len(b), nil
}

// ZeroRange is what devices have that zero by a shorter way.
func (d *Device) ZeroRange(offset, length int64) error {
	if err := d.call("zero", offset, length); err != nil {
		return err
	}
	maps.DeleteFunc(d.written, func(n int64, _ []byte) bool {
		return n*d.Sector >= offset && n*d.Sector < offset+length
	})
	d.zeroed = append(d.zeroed, [2]int64{offset, offset + length})
	return nil
}

// Sync does nothing.
func (d *Device) Sync() error { return d.call("sync", 0, 0) }

// call counts a call, and refuses it where a device would.
func (d *Device) call(event string, offset, length int64) error {
	if len(d.Events) == 0 || d.Events[len(d.Events)-1] != event {
		d.Events = append(d.Events, event)
	}
	d.Calls++
	switch {
	case d.Calls == d.FailAt:
		return d.Failure
	case offset%d.Sector != 0 || length%d.Sector != 0:
		return fmt.Errorf("%s of %d bytes at %d: sectors have %d", event, length, offset, d.Sector)
	case offset < 0 || length < 0 || offset > d.Size-length:
		return fmt.Errorf("%s of %d bytes at %d: the device has %d", event, length, offset, d.Size)
	}
	return nil
}

// ReadAt implements io.ReaderAt.
func (d *Device) ReadAt(b []byte, offset int64) (int, error) {
	for n := 0; n < len(b); {
		at := offset + int64(n)
		if at >= d.Size {
			return n, io.EOF
		}
		end := min(len(b), n+int(min(d.Sector-at%d.Sector, d.Size-at)))
		d.read(b[n:end], at)
		n = end
	}
	return len(b), nil
}

// read reads within a sector.
func (d *Device) read(b []byte, offset int64) {
	zeroed := func(z [2]int64) bool { return offset >= z[0] && offset < z[1] }
	switch sector, written := d.written[offset/d.Sector]; {
	case written:
		copy(b, sector[offset%d.Sector:])
	case len(d.Garbage) == 0 || slices.ContainsFunc(d.zeroed, zeroed):
		clear(b)
	default:
		for n := range b {
			b[n] = d.Garbage[(offset+int64(n))%int64(len(d.Garbage))]
		}
	}
}

// Blank says whether there are only zeros in a range, as far as it is on the device.
func (d *Device) Blank(offset, length int64) bool {
	b := make([]byte, d.Sector)
	for end := min(offset+length, d.Size); offset < end; {
		n := min(d.Sector, end-offset)
		if got, _ := d.ReadAt(b[:n], offset); int64(got) < n || !blank(b[:n]) {
			return false
		}
		offset += n
	}
	return true
}

func blank(b []byte) bool { return len(bytes.TrimLeft(b, "\x00")) == 0 }

// Written returns the sectors that hold more than zeros, by their offset in bytes.
func (d *Device) Written() map[int64][]byte {
	sectors := make(map[int64][]byte)
	for n, b := range d.written {
		if !blank(b) {
			sectors[n*d.Sector] = b
		}
	}
	return sectors
}
