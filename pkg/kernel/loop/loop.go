// Package loop attaches loop devices, which make a file, or an extent of a device, a block device of its own. See loop(4)
// and include/uapi/linux/loop.h.
package loop

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// A Config says what a loop device shows.
type Config struct {
	// File is the backing file or block device.
	File string
	// Offset and Size bound the extent of File that is shown, in bytes. Offset is a multiple of the backing device's
	// sector. A Size of 0 reaches to the end of File.
	Offset, Size int64
	// DirectIO reads past the page cache of File, so that a block that lies in memory already (a RAM disk) or is cached by the
	// file system above is not cached twice. Where the backing file cannot do it, the kernel reads through its cache.
	DirectIO bool
	// Writable lets File be written through the device. Nothing in a live image is.
	Writable bool
}

// String returns the losetup(8) command that does the same.
func (c Config) String() string {
	s := "losetup"
	if !c.Writable {
		s += " -r"
	}
	if c.DirectIO {
		s += " --direct-io=on"
	}
	if c.Offset != 0 {
		s += fmt.Sprintf(" -o %d", c.Offset)
	}
	if c.Size != 0 {
		s += fmt.Sprintf(" --sizelimit %d", c.Size)
	}
	return s + " -f " + c.File
}

// An Attacher attaches loop devices. System is the kernel's.
type Attacher interface {
	// Attach returns the path of the new device, "/dev/loop0" for example.
	Attach(Config) (device string, err error)
	// Detach frees a device that Attach returned.
	Detach(device string) error
}

// System is the Attacher of the running kernel. The module loop must be loaded.
type System struct{}

// Attach attaches a free loop device as c says.
func (System) Attach(c Config) (string, error) {
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return "", fmt.Errorf("attach loop device: %w", err)
	}
	defer control.Close()
	mode := os.O_RDONLY
	if c.Writable {
		mode = os.O_RDWR
	}
	backing, err := os.OpenFile(c.File, mode, 0)
	if err != nil {
		return "", fmt.Errorf("attach loop device: %w", err)
	}
	defer backing.Close()
	for {
		number, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return "", fmt.Errorf("find a free loop device: %w", err)
		}
		device := "/dev/loop" + strconv.Itoa(number)
		switch err := configure(device, backing, c); {
		case errors.Is(err, unix.EBUSY): // somebody else took it between the two calls
			continue
		case err != nil:
			return "", fmt.Errorf("%v: %w", c, err)
		}
		return device, nil
	}
}

// configure sets up one device with LOOP_CONFIGURE (Linux 5.8), which is atomic where LOOP_SET_FD and LOOP_SET_STATUS64 are not.
func configure(device string, backing *os.File, c Config) error {
	dev, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer dev.Close()
	config := unix.LoopConfig{
		Fd: uint32(backing.Fd()),
		Info: unix.LoopInfo64{
			Offset:    uint64(c.Offset),
			Sizelimit: uint64(c.Size),
		},
	}
	if !c.Writable {
		config.Info.Flags = unix.LO_FLAGS_READ_ONLY
	}
	copy(config.Info.File_name[:len(config.Info.File_name)-1], c.File)
	if c.DirectIO {
		config.Info.Flags |= unix.LO_FLAGS_DIRECT_IO
	}
	return unix.IoctlLoopConfigure(int(dev.Fd()), &config)
}

// Detach frees device.
func (System) Detach(device string) error {
	dev, err := os.Open(device)
	if err != nil {
		return fmt.Errorf("detach loop device: %w", err)
	}
	defer dev.Close()
	if err := unix.IoctlSetInt(int(dev.Fd()), unix.LOOP_CLR_FD, 0); err != nil {
		return fmt.Errorf("losetup -d %s: %w", device, err)
	}
	return nil
}
