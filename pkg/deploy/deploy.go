// Package deploy brings a live image to a disk, so that the machine boots from it again without a network, or by the image's own boot loader.
//
// A disk is first inspected: only one that holds nothing, or an interrupted deployment, is written to without being asked for
// explicitly. Power may fail at any moment of a deployment. So the first thing that is written is a mark in the boot sector, and the last
// one is the image's own boot sector in its place:
//
//  1. the mark in LBA 0; flush
//  2. zeros over the rest of the first MiB and over old signatures (file systems, backup GPT, RAID) elsewhere; flush
//  3. the image behind its first MiB; flush
//  4. a record behind the image, which tells that it is complete; the file system of the writable layer behind that, and the backup GPT at the
//     disk's end; flush
//  5. the first MiB but LBA 0: GPT, volume descriptors; flush
//  6. LBA 0, alone; flush
//
// The image may also arrive in any order, while the live system runs from it already, see Deployment.Begin and Arrival. Then the layer's file
// system is made behind step 2, since it is in use from then on, and nothing points to it until the end: a machine that is switched off before
// has a disk with an interrupted deployment, which begins anew, and what was written to the layer is lost.
//
// What an image looks like on the disk is what KIWI's own boot makes of it, so that each can go on with the other's disk: the ISO from
// the first byte on, one more partition in the free space behind it with a file system labelled "cow".
package deploy

import (
	"errors"
	"fmt"
	"io"

	"github.com/liveboot/liveboot/pkg/mkfs"
	"github.com/liveboot/liveboot/pkg/partition"
	"github.com/liveboot/liveboot/pkg/target"
)

// A Device is a disk that is open exclusively, for reading and writing; *block.Disk is one.
type Device interface {
	io.ReaderAt
	io.WriterAt
	// WriteDirect and ReadDirect go past the kernel's cache; offset, length and memory are aligned to the sector.
	WriteDirect(p []byte, offset int64) error
	ReadDirect(p []byte, offset int64) error
	// Discard tells the device that it need not keep what is there.
	Discard(offset, length int64) error
	// ZeroRange makes a range read as zeros.
	ZeroRange(offset, length int64) error
	// Sync returns when all that was written would survive a loss of power.
	Sync() error
}

// A Spec says how a disk is used.
type Spec struct {
	// Container is the path of the live system's container in the ISO, "LiveOS/squashfs.img": by it an image is known as a live one.
	Container string
	// Layer is the file system of the writable layer, "ext4" or "xfs"; empty for none.
	Layer string
	// LayerOptional leaves the layer out where the disk is too small for it.
	LayerOptional bool
}

// LayerLabel is the label of the writable layer's file system.
const LayerLabel = "cow"

// mark stands in LBA 0 while a disk is being written. It is not followed by the signature 55AA, so that no firmware takes it for a boot loader.
const mark = "liveboot: a live image was being written to this disk, and is not complete\n"

// headSize is how much of the image, in bytes, is kept back until all else is on the disk: everything that makes it recognisable.
const headSize = target.BlockSize

// SpaceError says that a disk is too small.
type SpaceError struct {
	// Disk, Image and Needed are sizes in bytes; Needed is the smallest disk that holds the image and what goes with it.
	Disk, Image, Needed int64
	// Layer is the file system that is to fit too, or empty.
	Layer string
}

// Error gives the sizes.
func (e *SpaceError) Error() string {
	s := fmt.Sprintf("the disk of %s is too small: the image has %s", target.MiB(e.Disk), target.MiB(e.Image))
	if e.Layer != "" {
		s += " and the writable layer (" + e.Layer + ") goes behind it"
	}
	return s + fmt.Sprintf(", %s are needed", target.MiB(e.Needed))
}

// needed returns the smallest disk in bytes that holds an image of so many bytes, its record, and the layer.
func needed(image int64, layer string) (int64, error) {
	n := place(image) + recordSize
	if layer == "" {
		return n, nil
	}
	f, err := formatter(layer)
	if err != nil {
		return 0, err
	}
	const table = 1 << 20 // the backup GPT, and what is lost to alignment
	return roundUp(n, 1<<20) + f.MinSize + table, nil
}

func checkSpace(d partition.Disk, image int64, layer string) error {
	n, err := needed(image, layer)
	if err == nil && n > d.Size {
		err = &SpaceError{Disk: d.Size, Image: image, Needed: n, Layer: layer}
	}
	return err
}

func formatter(name string) (mkfs.Formatter, error) {
	for _, f := range mkfs.Formatters() {
		if f.Name == name {
			return f, nil
		}
	}
	return mkfs.Formatter{}, fmt.Errorf("make a file system %s: %w", name, errors.ErrUnsupported)
}
