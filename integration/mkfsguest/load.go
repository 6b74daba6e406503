package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/kernel/mount"
)

// files is how many are made in one folder: enough for its index to have more than one level.
const files = 2000

// load is everything that a file system is used for.
func (d *disk) load() error {
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"copy a tree", d.copyTree}, {"many files", d.manyFiles}, {"fio", d.fio}, {"overlay", d.overlay}, {"fill", d.fill}, {"read", d.read},
	} {
		fmt.Printf("mkfsguest: %s: %s\n", d.device, step.name)
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return nil
}

func (d *disk) path(parts ...string) string {
	return filepath.Join(append([]string{d.dir}, parts...)...)
}

// program runs one of the distribution's.
func program(name string, args ...string) error {
	cmd := exec.Command("/bin/sh", append([]string{"-c", `exec "$0" "$@"`, name}, args...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %v: %w\n%s", name, args, err, out)
	}
	return nil
}

// copyTree copies a folder with its owners and times, as unpacking a package would make it.
func (d *disk) copyTree() error { return program("cp", "-a", d.tree, d.path("tree")) }

// manyFiles makes, links, renames and removes files of all small sizes, and of long names.
func (d *disk) manyFiles() error {
	if err := os.Mkdir(d.path("many"), 0o755); err != nil {
		return err
	}
	for n := range files {
		name := d.path("many", fmt.Sprintf("a-name-that-is-longer-than-most-%d", n))
		if err := os.WriteFile(name, bytes.Repeat([]byte{byte(n)}, n*3), 0o644); err != nil {
			return err
		}
		var err error
		switch n % 5 {
		case 0:
			err = os.Remove(name)
		case 1:
			err = os.Rename(name, d.path("many", fmt.Sprint(n)))
		case 2:
			err = os.Link(name, d.path(fmt.Sprintf("link%d", n)))
		case 3:
			err = os.Symlink(string(bytes.Repeat([]byte("../"), n%300+1)), name+".link")
		case 4:
			err = errors.Join(unix.Setxattr(name, "user.note", bytes.Repeat([]byte("note"), n%200), 0), os.Truncate(name, int64(n)<<20))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// fio writes at random places, and reads what it wrote.
func (d *disk) fio() error {
	return program("fio", "--name=fio", "--directory="+d.dir, "--size=16m", "--numjobs=2", "--rw=randwrite", "--bsrange=512-64k",
		"--bs_unaligned", "--ioengine=psync", "--fsync=64", "--verify=crc32c", "--thread")
}

// overlay is what liveboot makes the file system for: the writable layer on a read-only root.
func (d *disk) overlay() error {
	merged := d.path("merged")
	err := errors.Join(os.Mkdir(d.path("upper"), 0o755), os.Mkdir(d.path("work"), 0o755), os.Mkdir(merged, 0o755))
	if err != nil {
		return err
	}
	err = mount.System{}.Mount(mount.Point{
		Source: "overlay", Target: merged, Type: "overlay",
		Data: fmt.Sprintf("lowerdir=/etc,upperdir=%s,workdir=%s", d.path("upper"), d.path("work")),
	})
	if err != nil {
		return err
	}
	err = errors.Join(
		os.WriteFile(filepath.Join(merged, "hostname"), []byte("changed\n"), 0o644),
		os.Remove(filepath.Join(merged, "passwd")),
		os.RemoveAll(filepath.Join(merged, "apt")),
		os.Mkdir(filepath.Join(merged, "apt"), 0o755),
		os.WriteFile(filepath.Join(merged, "new"), nil, 0o600),
	)
	if _, statErr := os.Stat(filepath.Join(merged, "passwd")); !errors.Is(statErr, fs.ErrNotExist) {
		err = errors.Join(err, fmt.Errorf("what was removed is still there: %v", statErr))
	}
	return errors.Join(err, mount.System{}.Unmount(merged))
}

// fill writes until the disk is full, with large files first and small ones then, and removes them.
func (d *disk) fill() error {
	if err := os.Mkdir(d.path("full"), 0o755); err != nil {
		return err
	}
	for _, size := range []int{32 << 20, 64 << 10, 100} {
		content := bytes.Repeat([]byte("full"), size/4)
		for n := 0; ; n++ {
			err := os.WriteFile(d.path("full", fmt.Sprintf("%d-%d", size, n)), content, 0o644)
			if errors.Is(err, unix.ENOSPC) {
				break
			}
			if err != nil {
				return err
			}
		}
	}
	return os.RemoveAll(d.path("full"))
}

// read compares every file that manyFiles left with what was written.
func (d *disk) read() error {
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0); err != nil {
		return err
	}
	for n := range files {
		if n%5 != 1 {
			continue
		}
		got, err := os.ReadFile(d.path("many", fmt.Sprint(n)))
		if err != nil {
			return err
		}
		if !bytes.Equal(got, bytes.Repeat([]byte{byte(n)}, n*3)) {
			return fmt.Errorf("file %d holds something else than was written", n)
		}
	}
	return nil
}

// writeOn makes and removes files until the power is cut. It says so when it is well under way.
func (d *disk) writeOn() error {
	const under = 300
	for n := 0; ; n++ {
		dir := d.path(fmt.Sprintf("cut%d", n%20))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		f, err := os.Create(filepath.Join(dir, fmt.Sprint(n)))
		if err != nil {
			return err
		}
		_, err = f.Write(bytes.Repeat([]byte("cut"), n%3000))
		if n%50 == 0 {
			err = errors.Join(err, f.Sync())
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
		if n%20 == 19 && n%3 == 0 {
			if err := os.RemoveAll(dir); err != nil {
				return err
			}
		}
		if n == under {
			fmt.Printf("mkfsguest: %s: cut %s\n", d.device, d.fileSystem)
		}
	}
}

// grow uses the whole disk, which has become larger, and writes more than there was room for.
func (d *disk) grow() error {
	before, err := d.size()
	if err != nil {
		return err
	}
	if d.fileSystem == "xfs" {
		err = program("xfs_growfs", d.dir)
	} else {
		err = program("resize2fs", d.device)
	}
	if err != nil {
		return err
	}
	after, err := d.size()
	if err != nil {
		return err
	}
	if after < before*3/2 {
		return fmt.Errorf("it has %d bytes, and had %d: want at least half as many more", after, before)
	}
	f, err := os.Create(d.path("grown"))
	if err != nil {
		return err
	}
	_, err = io.CopyN(f, zeros{}, before)
	return errors.Join(err, f.Close())
}

// size is the file system's, in bytes.
func (d *disk) size() (int64, error) {
	var st unix.Statfs_t
	err := unix.Statfs(d.dir, &st)
	return int64(st.Blocks) * st.Bsize, err
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}
