package daemon

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"

	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/kernel/mount"
)

// heap is the soft limit of the Go heap in bytes. What the image needs is not in it.
const heap = 24 << 20

// survive makes sure that the process is not ended, nor made to wait for the device that it serves. MCL_ONFAULT locks what is in use:
// without it the kernel would fill all that the Go runtime has reserved, 64 MiB at a time.
func survive() error {
	debug.SetGCPercent(50)
	debug.SetMemoryLimit(heap)
	if err := os.WriteFile("/proc/self/oom_score_adj", []byte("-1000"), 0o644); err != nil {
		return fmt.Errorf("keep the process from the out-of-memory killer: %w", err)
	}
	if err := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT); err != nil {
		return fmt.Errorf("lock the process's memory: %w", err)
	}
	return nil
}

// isolate gives the process a root folder of its own, in memory: process 1 will delete the files of the initramfs, and mount another root,
// of which nothing must be needed here. It has the kernel's file systems, /run, /etc, and what is in keep.
func isolate(keep []string) error {
	if own, err := ownNamespace(); err != nil {
		return err
	} else if !own {
		return errors.New("the process has no mount namespace of its own: it must be started with CLONE_NEWNS")
	}
	root, err := os.MkdirTemp("/", ".stream-")
	if err != nil {
		return err
	}
	kernel := mount.System{}
	if err := kernel.Mount(mount.Point{Source: "tmpfs", Target: root, Type: "tmpfs", Flags: mount.NoSUID | mount.NoDev, Data: "mode=0700"}); err != nil {
		return err
	}
	for _, name := range append([]string{"/etc"}, keep...) {
		if err := keepTree(name, root); err != nil {
			return fmt.Errorf("keep %s: %w", name, err)
		}
	}
	for _, folder := range []string{"/proc", "/dev", "/run"} {
		target := filepath.Join(root, folder)
		if err := os.MkdirAll(target, 0o755); err != nil {
			return err
		}
		if err := kernel.Mount(mount.Point{Source: folder, Target: target, Flags: mount.Move}); err != nil {
			return err
		}
	}
	if err := os.Chdir(root); err != nil {
		return err
	}
	// Over the old root, where nothing can delete the folder that it is mounted on.
	if err := kernel.Mount(mount.Point{Source: ".", Target: "/", Flags: mount.Move}); err != nil {
		return err
	}
	return errors.Join(unix.Chroot("."), os.Chdir("/"))
}

// ownNamespace tells whether process 1 does not see what is mounted here.
func ownNamespace() (bool, error) {
	ours, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		return false, err
	}
	first, err := os.Readlink("/proc/1/ns/mnt")
	return ours != first, err
}

// keepTree copies what a name leads to, to the same name below root. What does not exist is left out.
func keepTree(name, root string) error {
	from, err := filepath.EvalSymlinks(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return copyTree(from, filepath.Join(root, name))
}

// copyTree copies files, folders and links. What does not exist is left out.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		inside, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, inside)
		switch {
		case entry.IsDir():
			return os.MkdirAll(target, 0o755)
		case entry.Type() == fs.ModeSymlink:
			link, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(link, target)
		case entry.Type().IsRegular():
			return copyFile(path, target)
		}
		return nil
	})
}

func copyFile(from, to string) (err error) {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	_, err = io.Copy(target, source)
	return err
}
