// Command mkfsguest is process 1 of the machine that tries out the file systems that pkg/mkfs makes: it takes the host's files for
// its root, read-only, so that the distribution's programs are there, and puts every disk through what the kernel command line asks for
// with mkfsguest=:
//
//	load  making the file system of which mkfsguest.make= is the disk's one, and all kinds of use, up to a full disk
//	cut   writing, without an end
//	grow  whatever is to be recovered first, then growing to the size of the disk, and writing into the new space
//
// mkfsguest.tree= names a folder of the host that is copied as a part of the load.
//
// It says "mkfsguest: DEVICE: PHASE FILESYSTEM" when a disk is through, or busy writing, and powers the machine off.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/integration/guest"
	"github.com/liveboot/liveboot/pkg/kernel/mount"
	"github.com/liveboot/liveboot/pkg/kernel/power"
	"github.com/liveboot/liveboot/pkg/mkfs"
	"github.com/liveboot/liveboot/pkg/mkfs/blockdev"
	"github.com/liveboot/liveboot/pkg/probe"
)

func main() {
	if err := run(); err != nil {
		fmt.Printf("mkfsguest: failed: %v\n", err)
	}
	if err := power.Do(power.PowerOff); err != nil {
		fmt.Printf("mkfsguest: %v\n", err)
	}
}

func run() error {
	if err := guest.LoadModules(); err != nil {
		return fmt.Errorf("load modules: %w", err)
	}
	if err := root(); err != nil {
		return fmt.Errorf("make the host's files the root: %w", err)
	}
	phase, err := asked("mkfsguest")
	if err != nil {
		return err
	}
	tree, err := asked("mkfsguest.tree")
	if err != nil {
		return err
	}
	disks, err := filepath.Glob("/dev/vd?")
	if err != nil || len(disks) == 0 {
		return fmt.Errorf("no disks: %w", err)
	}
	done := make(chan error)
	for i, device := range disks {
		d := &disk{device: device, dir: "/run/" + filepath.Base(device), tree: tree}
		if phase == "load" {
			if err := d.make(i); err != nil {
				return err
			}
		}
		if phase == "cut" { // all at once, as they go on for ever
			go func() { done <- d.through(phase) }()
		} else if err := d.through(phase); err != nil {
			return err
		}
	}
	if phase == "cut" {
		return <-done
	}
	return nil
}

// asked is the value of an option on the kernel command line.
func asked(option string) (string, error) {
	text, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return "", err
	}
	for _, word := range strings.Fields(string(text)) {
		if value, ok := strings.CutPrefix(word, option+"="); ok {
			return value, nil
		}
	}
	return "", fmt.Errorf("%s= is not on the kernel command line", option)
}

// root makes the host's files the root, with /run to write to.
func root() error {
	const dir = "/host"
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	for _, p := range []mount.Point{
		{Source: "host", Target: dir, Type: "9p", Flags: mount.ReadOnly, Data: "trans=virtio,version=9p2000.L,cache=loose,msize=524288"},
		{Source: "proc", Target: dir + "/proc", Type: "proc"},
		{Source: "sysfs", Target: dir + "/sys", Type: "sysfs"},
		{Source: "devtmpfs", Target: dir + "/dev", Type: "devtmpfs"},
		{Source: "tmpfs", Target: dir + "/run", Type: "tmpfs"},
	} {
		if err := (mount.System{}).Mount(p); err != nil {
			return err
		}
	}
	return errors.Join(unix.Chroot(dir), os.Chdir("/"))
}

// disk is one of the disks, mounted on dir.
type disk struct {
	device, dir string
	tree        string // of the host, to copy
	fileSystem  string // as our own probe says
}

// through puts a disk through a phase.
func (d *disk) through(phase string) error {
	if err := d.mount(); err != nil {
		return err
	}
	steps := map[string]func() error{"load": d.load, "cut": d.writeOn, "grow": d.grow}
	step, ok := steps[phase]
	if !ok {
		return fmt.Errorf("mkfsguest=%s: give load, cut or grow", phase)
	}
	if err := step(); err != nil {
		return fmt.Errorf("%s, %s: %w", d.device, d.fileSystem, err)
	}
	if err := (mount.System{}).Unmount(d.dir); err != nil {
		return err
	}
	fmt.Printf("mkfsguest: %s: %s %s\n", d.device, phase, d.fileSystem)
	return nil
}

// make makes the file system that is the nth in the list.
func (d *disk) make(n int) error {
	list, err := asked("mkfsguest.make")
	if err != nil {
		return err
	}
	name := strings.Split(list, ",")[n]
	device, err := blockdev.Open(d.device)
	if err != nil {
		return err
	}
	for _, f := range mkfs.Formatters() {
		if f.Name == name {
			err = f.Format(device, device.Size(), mkfs.Options{Label: "cow", SectorSize: device.SectorSize()})
		}
	}
	return errors.Join(err, device.Close())
}

func (d *disk) mount() error {
	f, err := os.Open(d.device)
	if err != nil {
		return err
	}
	d.fileSystem, err = probe.FileSystem(f)
	if err := errors.Join(err, f.Close(), os.Mkdir(d.dir, 0o755)); err != nil {
		return fmt.Errorf("%s: %w", d.device, err)
	}
	if err := (mount.System{}).Mount(mount.Point{Source: d.device, Target: d.dir, Type: d.fileSystem}); err != nil {
		return err
	}
	if _, err := blockdev.Open(d.device); !errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("%s: opened to make a file system on it while it is mounted: %v, want %w", d.device, err, unix.EBUSY)
	}
	return nil
}
