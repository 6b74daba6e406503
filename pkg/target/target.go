// Package target is the RAM disk that holds the ISO. It is filled in one pass, from a stream whose size may be unknown, and tells
// before the first byte whether the image can fit. Package deploy has the same for a disk; what both need to bring an image from a
// stream to a device is here too, see Copy.
//
// The device is the RAM disk /dev/ram0 of the kernel's brd driver (Documentation/admin-guide/blockdev/ramdisk.rst), which takes memory
// page by page as it is written.
package target

import (
	"fmt"

	"github.com/liveboot/liveboot/pkg/kernel/block"
	"github.com/liveboot/liveboot/pkg/kernel/memory"
)

// RAMDisk is the path of the device for images in memory.
const RAMDisk = "/dev/ram0"

// Headroom is the memory in bytes that an image must leave: for this program and its buffers, the page tables of the RAM disk, and
// the first steps of the live system, before it can free what it does not need.
const Headroom = 64 << 20

// A Spec says which device.
type Spec struct {
	// Device is RAMDisk, or a disk by any of its names.
	Device string
	// Reset overwrites whatever a disk holds.
	Reset bool
	// RAMDiskSize in bytes; 0 makes the RAM disk as large as the image.
	RAMDiskSize int64
	// Buffers is memory in bytes that the download takes, beside Headroom; see fetch.Source.Memory.
	Buffers int64
}

// Environment is what the machine does for a target.
type Environment struct {
	// LoadModule loads a module with parameters. One that is built in or was loaded before does not see them.
	LoadModule func(name, parameters string) error
	// Memory tells how much is there now.
	Memory func() (memory.Info, error)
	// Size returns the size of a device in bytes.
	Size func(device string) (int64, error)
	// Open opens a device for writing.
	Open func(device string) (Writer, error)
}

// A Writer is a device that is being written; *block.Writer is one.
type Writer interface {
	WriteAt(p []byte, offset int64) (int, error)
	Close() error
}

// TooLargeError says that an image cannot be held. Nothing was downloaded, or no more than shows its size.
type TooLargeError struct {
	// Image in bytes.
	Image int64
	// Room in bytes: of the RAM disk, or of memory.
	Room int64
	// Memory tells that it is memory that lacks; otherwise the RAM disk was given a smaller size.
	Memory bool
	// Buffers in bytes that the download takes, beside Headroom, where it is memory that lacks.
	Buffers int64
}

// Error gives both figures.
func (e *TooLargeError) Error() string {
	if e.Memory {
		return fmt.Sprintf("the image of %s needs %s of memory with the %s to work in, and %s are available",
			MiB(e.Image), MiB(e.Image+Headroom+e.Buffers), MiB(Headroom+e.Buffers), MiB(e.Room))
	}
	return fmt.Sprintf("the image of %s is larger than the RAM disk of %s", MiB(e.Image), MiB(e.Room))
}

// MiB returns a size for people.
func MiB(bytes int64) string {
	if bytes < 10<<20 {
		return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20))
	}
	return fmt.Sprintf("%d MiB", bytes>>20)
}

// A Disk is a prepared target.
type Disk struct {
	// Device is its path.
	Device string
	// Capacity in bytes.
	Capacity int64
	// announced is the size of the image in bytes, or -1.
	announced int64
	buffers   int64
	env       Environment
}

// Prepare makes the device of s ready for an image of size bytes, or of a size that is not known yet: -1. Its error is a
// *TooLargeError when the image cannot fit.
func Prepare(s Spec, size int64, env Environment) (*Disk, error) {
	if s.Device != RAMDisk {
		return nil, fmt.Errorf("prepare %s: it is not the RAM disk %s", s.Device, RAMDisk)
	}
	if s.RAMDiskSize > 0 && size > s.RAMDiskSize {
		return nil, &TooLargeError{Image: size, Room: s.RAMDiskSize}
	}
	available, err := checkMemory(size, s.Buffers, env)
	if err != nil {
		return nil, err
	}
	capacity := s.RAMDiskSize
	switch {
	case capacity > 0:
	case size >= 0:
		capacity = size
	default:
		capacity = available - Headroom - s.Buffers
	}
	capacity = roundUp(capacity)
	if err := env.LoadModule("brd", fmt.Sprintf("rd_nr=1 rd_size=%d", capacity>>10)); err != nil {
		return nil, fmt.Errorf("prepare %s: %w", s.Device, err)
	}
	// Where the kernel has the driver built in, or loaded it before, the size was fixed then.
	if capacity, err = env.Size(s.Device); err != nil {
		return nil, fmt.Errorf("prepare %s: %w", s.Device, err)
	}
	if size > capacity {
		return nil, &TooLargeError{Image: size, Room: capacity}
	}
	return &Disk{Device: s.Device, Capacity: capacity, announced: size, buffers: s.Buffers, env: env}, nil
}

// checkMemory compares an image of size bytes, -1 if unknown, and the download's buffers with the memory there is and returns the latter.
func checkMemory(size, buffers int64, env Environment) (int64, error) {
	info, err := env.Memory()
	if err != nil {
		return 0, err
	}
	if max(size, 0)+Headroom+buffers > info.Available {
		return 0, &TooLargeError{Image: max(size, 0), Room: info.Available, Memory: true, Buffers: buffers}
	}
	return info.Available, nil
}

func roundUp(n int64) int64 { return (n + block.Alignment - 1) / block.Alignment * block.Alignment }
