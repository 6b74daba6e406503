package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/kernel/mount"
)

// second is what happens under the second kernel.
func second(before, release string) error {
	if before == release {
		return fmt.Errorf("kernel %s runs again", release)
	}
	if err := errors.Join(kept(), gone(before), cleanDisk()); err != nil {
		return err
	}
	fmt.Printf("kexecguest: second kernel %s after %s\n", release, before)
	return nil
}

// kept compares what the first kernel left in the initramfs.
func kept() error {
	var errs []error
	for name, want := range map[string]fs.FileMode{
		"": fs.ModeDir | 0o750, "file": 0o640, "hard": 0o640, "soft": fs.ModeSymlink | 0o777, "node": fs.ModeDevice | fs.ModeCharDevice | 0o600, "fifo": fs.ModeNamedPipe | 0o622,
	} {
		info, err := os.Lstat(filepath.Join("/keep", name))
		if err == nil && info.Mode() != want {
			err = fmt.Errorf("/keep/%s is %v, want %v", name, info.Mode(), want)
		}
		errs = append(errs, err)
	}
	var file, hard, node unix.Stat_t
	errs = append(errs, unix.Lstat("/keep/file", &file), unix.Lstat("/keep/hard", &hard), unix.Lstat("/keep/node", &node))
	if file.Ino != hard.Ino || file.Nlink != 2 || file.Uid != 12 || file.Gid != 34 || node.Rdev != unix.Mkdev(1, 5) {
		errs = append(errs, fmt.Errorf("/keep has changed: file %+v, hard link %+v, device %+v", file, hard, node))
	}
	if b, err := os.ReadFile("/keep/soft"); err != nil || string(b) != "kept" {
		errs = append(errs, fmt.Errorf("/keep/soft holds %q: %w", b, err))
	}
	return errors.Join(errs...)
}

// gone looks for what should have been left out.
func gone(before string) error {
	var errs []error
	for _, name := range []string{"/lib/modules/" + before, "/kernels", "/other", "/etc/resolv.conf"} {
		if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("%s is still there: %v", name, err))
		}
	}
	return errors.Join(errs...)
}

// cleanDisk makes sure that the first kernel has unmounted the disk: its journal has nothing to recover, and the file is there.
func cleanDisk() error {
	f, err := os.Open(disk)
	if err != nil {
		return err
	}
	defer f.Close()
	// The kernel's Documentation/filesystems/ext4/super.rst: s_feature_incompat, with INCOMPAT_RECOVER.
	const superblock, incompat, recover = 1024, 0x60, 0x4
	var word [4]byte
	if _, err := f.ReadAt(word[:], superblock+incompat); err != nil {
		return err
	}
	if binary.LittleEndian.Uint32(word[:])&recover != 0 {
		return fmt.Errorf("the journal of %s has to be recovered", disk)
	}
	if err := errors.Join(os.MkdirAll(mountPoint, 0o755), mount.System{}.Mount(mount.Point{Source: disk, Target: mountPoint, Type: "ext4"})); err != nil {
		return err
	}
	if b, err := os.ReadFile(filepath.Join(mountPoint, "file")); err != nil || string(b) != written {
		return fmt.Errorf("the file on %s holds %q: %w", disk, b, err)
	}
	return mount.System{}.Unmount(mountPoint)
}
