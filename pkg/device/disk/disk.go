// Package disk finds block devices by all the names that people have for them: the kernel's, and those below /dev/disk that udev would
// give (60-persistent-storage.rules with ata_id, scsi_id, usb_id, path_id and blkid), without udev. Where versions of udev, or the rules
// that distributions add (sg3_utils), give different names to one thing, a device has all of them here, so that a name copied from any
// running system is understood.
//
// Names are made from sysfs (Documentation/ABI), from what a disk answers to INQUIRY and IDENTIFY where the kernel does not keep
// that, and from what is on it (package probe). Nothing is ever written.
package disk

import (
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/liveboot/liveboot/pkg/probe"
)

// A Device is a block device that can hold data: a disk, or a partition of one.
type Device struct {
	// Name is the kernel's, "sda1", and Path the file, "/dev/sda1". Of a few drivers they differ: "cciss!c0d0" is /dev/cciss/c0d0.
	Name, Path string
	// Disk is the Name of the disk that a partition is on, and Partition its number. They are "" and 0 for a whole disk.
	Disk      string
	Partition int
	// Start is where a partition begins on its disk, in bytes. Size is in bytes too.
	Start, Size int64
	// SectorSize is the smallest length that can be read or written, in bytes.
	SectorSize int
	Removable  bool
	ReadOnly   bool
	// Model is what the maker calls the disk, for people; "" if it does not say.
	Model string
	// Links are the device's other names below /dev, as udev would make them: "disk/by-id/ata-QEMU_HARDDISK_QM00001". Sorted.
	Links []string
	// Contents is what is on it, as probe.Identify says. Of a disk with partitions this is the table.
	Contents []probe.Content
	// Err is why the device could not be read. Then the names that come from what is on it are missing, and so are the Contents.
	Err error
}

// String names the device for people: `/dev/sda (8.0 GiB, QEMU HARDDISK)`.
func (d Device) String() string {
	about := []string{sizeText(d.Size)}
	if d.Model != "" && d.Disk == "" {
		about = append(about, d.Model)
	}
	for _, c := range d.Contents {
		about = append(about, c.String())
	}
	if d.Err != nil {
		about = append(about, d.Err.Error())
	}
	return d.Path + " (" + strings.Join(about, ", ") + ")"
}

// sizeText writes a size with the largest binary unit that it has one of.
func sizeText(n int64) string {
	const units = "KMGTPE"
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	size, unit := float64(n)/1024, 0
	for ; size >= 1024 && unit < len(units)-1; unit++ {
		size /= 1024
	}
	return fmt.Sprintf("%.1f %ciB", size, units[unit])
}

// A Reader is a device that was opened for reading.
type Reader interface {
	io.ReaderAt
	io.Closer
}

// A System is where devices are looked for. Local returns that of this machine.
type System struct {
	// Sys is the folder /sys.
	Sys fs.FS
	// Open opens the device at path, "/dev/sda", for reading. A drive without a medium is refused with an error that wraps ErrNoMedium.
	Open func(path string) (Reader, error)
	// Command sends a SCSI command to the device at path, and fills data with the answer. An answer that is shorter leaves the rest
	// as it was. The command is one that changes nothing.
	Command func(path string, cdb, data []byte) error
}

// ErrNoMedium says that a drive has no disc or card in it.
var ErrNoMedium = fmt.Errorf("no medium in the drive")
