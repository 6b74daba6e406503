// Package mkfs makes file systems, and first a place for them, with no help of a program or of the kernel. Each file system is a package
// of its own that can be used alone; here is what all of them have in common.
//
//	for _, f := range mkfs.Formatters() {
//		if f.Name == "ext4" {
//			err = f.Format(device, size, mkfs.Options{Label: "data"})
//		}
//	}
package mkfs

import (
	"io"
	"time"

	"github.com/liveboot/liveboot/pkg/mkfs/ext4"
	"github.com/liveboot/liveboot/pkg/mkfs/internal/output"
	"github.com/liveboot/liveboot/pkg/mkfs/xfs"
)

// Options are what every file system lets choose. The zero value is one with no label on a device with sectors of 512 bytes.
type Options struct {
	// Label has up to Formatter.MaxLabel bytes. Empty means no label.
	Label string
	// UUID identifies the file system. All zeros mean a random one.
	UUID [16]byte
	// SectorSize is the size of the device's logical sectors, in bytes: 512 or 4096; 0 means 512.
	SectorSize int
	// Time is given to the folders. The zero Time means now.
	Time time.Time
}

// A Formatter makes one kind of file system.
type Formatter struct {
	// Name is the kernel's, as for mount(2).
	Name string
	// MinSize and MaxSize bound the device, in bytes.
	MinSize, MaxSize int64
	// MaxLabel is the length of the longest label, in bytes.
	MaxLabel int

	format func(io.WriterAt, int64, Options) error
}

// Formatters returns every kind of file system that can be made.
func Formatters() []Formatter {
	return []Formatter{
		{"ext4", ext4.MinSize, ext4.MaxSize, ext4.MaxLabel, func(w io.WriterAt, size int64, o Options) error {
			return ext4.Format(w, size, ext4.Options{Label: o.Label, UUID: o.UUID, SectorSize: o.SectorSize, Time: o.Time})
		}},
		{"xfs", xfs.MinSize, xfs.MaxSize, xfs.MaxLabel, func(w io.WriterAt, size int64, o Options) error {
			return xfs.Format(w, size, xfs.Options{Label: o.Label, UUID: o.UUID, SectorSize: o.SectorSize, Time: o.Time})
		}},
	}
}

// Format wipes the old signatures on w, a device of size bytes, and makes a file system there with the defaults of its package. What is
// there is lost, unless size or options are impossible: then nothing is written.
//
// Methods ZeroRange(offset, length int64) error and Sync() error of w are used where it has them; blockdev.Device has.
func (f Formatter) Format(w io.WriterAt, size int64, o Options) error {
	return f.format(&wiping{w: w, size: size}, size, o)
}

// wiping is a device that loses its signatures before the first thing is written.
type wiping struct {
	w    io.WriterAt
	size int64
	done bool
}

func (d *wiping) wipe() error {
	if d.done {
		return nil
	}
	d.done = true
	return WipeSignatures(d.w, d.size)
}

// WriteAt implements io.WriterAt.
func (d *wiping) WriteAt(b []byte, offset int64) (int, error) {
	if err := d.wipe(); err != nil {
		return 0, err
	}
	return d.w.WriteAt(b, offset)
}

// ZeroRange hands on to the device's own, or writes zeros.
func (d *wiping) ZeroRange(offset, length int64) error {
	if err := d.wipe(); err != nil {
		return err
	}
	out := output.New(d.w)
	out.Zero(offset, length)
	return out.Err()
}

// Sync hands on to the device's own.
func (d *wiping) Sync() error {
	if err := d.wipe(); err != nil {
		return err
	}
	out := output.New(d.w)
	out.Sync()
	return out.Err()
}
