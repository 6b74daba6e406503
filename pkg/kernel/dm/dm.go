// Package dm makes block devices of the kernel's device mapper whose blocks lie one after the other on another device (target "linear"),
// and moves such a device to another one while it is in use. It speaks the ioctls of include/uapi/linux/dm-ioctl.h; see
// Documentation/admin-guide/device-mapper/linear.rst. The devices are read-only, unless asked for otherwise.
//
// A Control is opened once and kept: nothing here looks at a path after that, so that it works in a process whose root folder is gone.
// There devices are given by their numbers.
package dm

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// SectorSize is the unit of the device mapper in bytes, whatever the sectors of a device are.
const SectorSize = 512

// A Linear says what a device shows: Size bytes of the device with the number Device, from Offset on. Both are multiples of SectorSize.
type Linear struct {
	Device       uint64
	Offset, Size int64
	// Writable lets the device be written to.
	Writable bool
}

// flags are those of the commands that make and fill a device.
func (l Linear) flags() uint32 {
	if l.Writable {
		return 0
	}
	return flagReadOnly
}

// String returns the line of the table that dmsetup(8) takes.
func (l Linear) String() string {
	return fmt.Sprintf("0 %d linear %s", l.Size/SectorSize, l.parameters())
}

// parameters are those of the target: the number of the device, which the kernel takes in the place of a path, and the first sector.
func (l Linear) parameters() string {
	return fmt.Sprintf("%d:%d %d", unix.Major(l.Device), unix.Minor(l.Device), l.Offset/SectorSize)
}

func (l Linear) check() error {
	if l.Size <= 0 || l.Size%SectorSize != 0 || l.Offset < 0 || l.Offset%SectorSize != 0 {
		return fmt.Errorf("%d bytes from byte %d on are not whole sectors of %d", l.Size, l.Offset, SectorSize)
	}
	return nil
}

// A Control is the device mapper.
type Control struct{ file *os.File }

// Open opens the device mapper. The module dm-mod must be loaded.
func Open() (*Control, error) {
	f, err := os.OpenFile("/dev/mapper/control", os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("open the device mapper (is the module dm_mod loaded?): %w", err)
	}
	return &Control{f}, nil
}

// Close closes the device mapper. Devices stay.
func (c *Control) Close() error { return c.file.Close() }

// A Device is one of the device mapper.
type Device struct {
	// Name is the device mapper's, Path the kernel's in /dev: there is no udev to make the one that has the name.
	Name, Path string
	// Number is what the kernel knows it by.
	Number  uint64
	control *Control
}

// Create makes the device name, of at most 127 bytes, as l says.
func (c *Control) Create(name string, l Linear) (*Device, error) {
	d, err := c.create(name, l)
	if err != nil {
		return nil, fmt.Errorf("dmsetup create %s --table %q: %w", name, l, err)
	}
	return d, nil
}

func (c *Control) create(name string, l Linear) (*Device, error) {
	if err := l.check(); err != nil {
		return nil, err
	}
	created, err := c.call(commandCreate, name, l.flags(), nil)
	if err != nil {
		return nil, err
	}
	path := filepath.Join("/dev", fmt.Sprintf("dm-%d", unix.Minor(created.number)))
	d := &Device{Name: name, Path: path, Number: created.number, control: c}
	if err := d.switchTo(l); err != nil {
		return nil, errors.Join(err, d.remove())
	}
	return d, nil
}

// Switch makes the device show something else of the same size. Reads that are under way are waited for first, so the device that it showed
// before must answer them; those that come meanwhile wait. What is mounted stays mounted.
func (d *Device) Switch(l Linear) error {
	if err := d.switchTo(l); err != nil {
		return fmt.Errorf("dmsetup load and resume %s --table %q: %w", d.Name, l, err)
	}
	return nil
}

// switchTo loads the table beside the live one, for which memory is taken while the device still answers. A resume with a table that is
// not live suspends, exchanges and resumes in one step, so that a process that dies here leaves no suspended device behind.
func (d *Device) switchTo(l Linear) error {
	if err := l.check(); err != nil {
		return err
	}
	if _, err := d.control.call(commandLoad, d.Name, l.flags(), &l); err != nil {
		return fmt.Errorf("load: %w", err)
	}
	// A file system that cannot be written to has nothing to flush.
	if _, err := d.control.call(commandSuspend, d.Name, flagSkipLockFS, nil); err != nil {
		_, clearErr := d.control.call(commandClear, d.Name, 0, nil)
		return errors.Join(fmt.Errorf("resume: %w", err), clearErr)
	}
	return nil
}

// Status is the state of a device.
type Status struct {
	// Open is how many have it open: mounts, loop devices, programs.
	Open int
	// ReadOnly tells that it cannot be written to, Suspended that it answers no reads.
	ReadOnly, Suspended bool
	// Table is what it shows.
	Table string
}

// Status asks for the state of the device.
func (d *Device) Status() (Status, error) {
	answer, err := d.control.call(commandTable, d.Name, flagStatusTable, nil)
	if err != nil {
		return Status{}, fmt.Errorf("dmsetup table %s: %w", d.Name, err)
	}
	return Status{
		Open: answer.open, ReadOnly: answer.flags&flagReadOnly != 0, Suspended: answer.flags&flagSuspend != 0, Table: answer.table,
	}, nil
}

// Remove frees the device, which must not be in use.
func (d *Device) Remove() error {
	if err := d.remove(); err != nil {
		return fmt.Errorf("dmsetup remove %s: %w", d.Name, err)
	}
	return nil
}

func (d *Device) remove() error {
	_, err := d.control.call(commandRemove, d.Name, 0, nil)
	return err
}
