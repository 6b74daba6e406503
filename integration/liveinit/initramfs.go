package main

import (
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/integration/livefacts"
)

// maxLeft bounds the list of files left in the initramfs: the report is for reading.
const maxLeft = 100

// initramfs lists what is left in the kernel's first root file system. That one is below the root of this process and
// cannot be named; but in a mount namespace of its own a thread can take away what lies on top, and enter the namespace
// once more, which puts its root onto what is then the topmost mount.
func initramfs() ([]livefacts.File, error) {
	type result struct {
		files []livefacts.File
		err   error
	}
	done := make(chan result)
	go func() {
		// The thread is not given back: it ends with the goroutine.
		runtime.LockOSThread()
		var r result
		if r.err = errors.Join(uncover(), isMemory("/")); r.err == nil {
			r.files, r.err = walk("/")
		}
		done <- r
	}()
	r := <-done
	return r.files[:min(len(r.files), maxLeft)], r.err
}

// uncover changes the root of the calling thread to the kernel's first root file system.
func uncover() error {
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make / private: %w", err)
	}
	namespace, err := unix.Open("/proc/thread-self/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open /proc/thread-self/ns/mnt: %w", err)
	}
	defer unix.Close(namespace)
	if err := unix.Unmount("/", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount /: %w", err)
	}
	if err := unix.Setns(namespace, unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("setns: %w", err)
	}
	return nil
}

// isMemory makes sure that path is on the file system of an initramfs.
func isMemory(path string) error {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return fmt.Errorf("statfs %s: %w", path, err)
	}
	if st.Type != unix.TMPFS_MAGIC && st.Type != unix.RAMFS_MAGIC {
		return fmt.Errorf("%s is no initramfs: file system type %#x", path, st.Type)
	}
	return nil
}

// deviceOf is the number of the file system that holds path.
func deviceOf(path string) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return 0, fmt.Errorf("stat %s: %w", path, err)
	}
	return st.Dev, nil
}
