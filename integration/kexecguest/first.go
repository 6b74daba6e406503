package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing/fstest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/handoff"
	"github.com/liveboot/liveboot/pkg/kernel/kexec"
	"github.com/liveboot/liveboot/pkg/kernel/memory"
	"github.com/liveboot/liveboot/pkg/kernel/mount"
	"github.com/liveboot/liveboot/pkg/kernelimage"
	"github.com/liveboot/liveboot/pkg/kernelmodules"
	"github.com/liveboot/liveboot/pkg/mkfs"
	"github.com/liveboot/liveboot/pkg/mkfs/blockdev"
	"github.com/liveboot/liveboot/pkg/repack"
)

// first is what happens under the first kernel. It returns only with an error.
func first(release string) error {
	fmt.Printf("kexecguest: first kernel %s\n", release)
	if err := errors.Join(useDisk(), leave()); err != nil {
		return err
	}
	if err := refuse(); err != nil {
		return err
	}
	if err := load(release, "/kernels/good"); err != nil {
		return err
	}
	return handoff.Kexec(func(line string) { fmt.Printf("kexecguest: %s\n", line) })
}

// useDisk leaves a file system in use, with a file that is not on the disk yet.
func useDisk() error {
	device, err := blockdev.Open(disk)
	if err != nil {
		return err
	}
	for _, f := range mkfs.Formatters() {
		if f.Name == "ext4" {
			err = errors.Join(err, f.Format(device, device.Size(), mkfs.Options{Label: "disk", SectorSize: device.SectorSize()}))
		}
	}
	if err := errors.Join(err, device.Close(), os.MkdirAll(mountPoint, 0o755)); err != nil {
		return err
	}
	if err := (mount.System{}).Mount(mount.Point{Source: disk, Target: mountPoint, Type: "ext4"}); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(mountPoint, "file")) // it stays open
	if err != nil {
		return err
	}
	_, err = f.WriteString(written)
	return err
}

// leave makes files of every kind, for the second kernel to find.
func leave() error {
	return errors.Join(
		os.MkdirAll("/etc", 0o755), os.MkdirAll("/keep", 0o750), os.WriteFile("/keep/file", []byte("kept"), 0o640), os.Chown("/keep/file", 12, 34), os.Link("/keep/file", "/keep/hard"),
		os.Symlink("file", "/keep/soft"), unix.Mknod("/keep/node", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 5))), unix.Mkfifo("/keep/fifo", 0o622),
		os.Chmod("/keep/fifo", 0o622), os.WriteFile("/etc/resolv.conf", []byte("nameserver 192.0.2.1\n"), 0o644),
	)
}

// refuse tries the kernels that cannot be started, with our checks and without.
func refuse() error {
	files, err := filepath.Glob("/kernels/bad-*")
	if err != nil {
		return err
	}
	for _, file := range files {
		fmt.Printf("kexecguest: refused %s: %v\n", filepath.Base(file), check(file))
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		fmt.Printf("kexecguest: kernel on %s: %v\n", filepath.Base(file), kexec.System{}.Load(f, nil, "console=ttyS0"))
		if err := errors.Join(f.Close(), kexec.System{}.Unload()); err != nil {
			return err
		}
	}
	f, err := os.OpenFile("/kernels/good", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	fmt.Printf("kexecguest: kernel on a file open for writing: %v\n", kexec.System{}.Load(f, nil, ""))
	fmt.Printf("kexecguest: kernel on a long line: %v\n", kexec.System{}.Load(f, nil, strings.Repeat("x", kexec.CommandLineMax+1)))
	if kexec.Loaded(os.DirFS("/")) {
		return errors.New("a kernel is loaded that should not be")
	}
	return f.Close()
}

// check is what a boot asks of a kernel before it loads it.
func check(file string) error {
	_, err := inspect(file, func(io.ReaderAt, int64, kernelimage.Info) error { return nil })
	return err
}

// inspect checks a kernel and calls use with what it says of itself.
func inspect(file string, use func(r io.ReaderAt, size int64, i kernelimage.Info) error) (kernelimage.Info, error) {
	f, err := os.Open(file)
	if err != nil {
		return kernelimage.Info{}, err
	}
	defer f.Close()
	stat, err := f.Stat()
	if err != nil {
		return kernelimage.Info{}, err
	}
	i, err := kernelimage.Inspect(f, stat.Size())
	if err != nil {
		return i, err
	}
	if i.Arch != runtime.GOARCH {
		return i, fmt.Errorf("the kernel is for %s, and this machine is %s", i.Arch, runtime.GOARCH)
	}
	if err := kernelimage.Verify(context.Background(), f, stat.Size(), i); err != nil {
		return i, err
	}
	return i, use(f, stat.Size(), i)
}

// load loads a kernel with an initramfs that is made for it, and says what that took.
func load(release, file string) error {
	watch := stopwatch{time.Now()}
	var kernel *os.File
	info, err := inspect(file, func(r io.ReaderAt, size int64, i kernelimage.Info) error {
		z, err := kernelimage.Loadable(r, size, i)
		if err != nil {
			return err
		}
		defer z.Close()
		kernel, err = kexec.NewFile("kernel", func(w io.Writer) error { _, err := io.Copy(w, z); return err })
		return err
	})
	if err != nil {
		return err
	}
	defer kernel.Close()
	watch.say("kernel %s inspected and copied", info.Release)

	initrd, err := makeInitrd(release, info, &watch)
	if err != nil {
		return err
	}
	defer initrd.Close()
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	if err := (kexec.System{}).Load(kernel, initrd, strings.TrimSpace(string(line))); err != nil {
		return err
	}
	watch.say("kernel and initramfs loaded")
	if !kexec.Loaded(os.DirFS("/")) {
		return errors.New("no kernel is loaded")
	}
	return nil
}

// makeInitrd makes the new initramfs.
func makeInitrd(release string, info kernelimage.Info, watch *stopwatch) (*os.File, error) {
	ctx := context.Background()
	folder, err := kernelmodules.Merge([]kernelmodules.Place{{Name: "/other", FS: os.DirFS("/other/lib/modules/" + info.Release)}})
	if err != nil {
		return nil, err
	}
	taken, err := kernelmodules.Take(ctx, folder, []string{"virtio:d00000002v00001AF4", "virtio_pci", "fs-ext4"})
	if err != nil {
		return nil, err
	}
	watch.say("%d modules taken, %d KiB, missing %v", len(taken.Modules), taken.Bytes>>10, taken.Missing)
	own := repack.Own(release)
	image, err := repack.Open(ctx, repack.Spec{
		Root: "/",
		Omit: func(name string) bool { return own(name) || name == "kernels" || name == "other" },
		Trees: []repack.Tree{
			{At: "lib/modules/" + info.Release, FS: taken.FS},
			{FS: fstest.MapFS{previous[1:]: {Data: []byte(release), Mode: 0o644}}},
		},
	})
	if err != nil {
		return nil, err
	}
	watch.say("initramfs of %d KiB planned", image.Size()>>10)
	f, err := kexec.NewFile("initrd", func(w io.Writer) error { return image.Write(ctx, w) })
	watch.say("initramfs written")
	return f, err
}

// stopwatch says how long things took, and what memory is left.
type stopwatch struct{ last time.Time }

func (s *stopwatch) say(format string, args ...any) {
	took := time.Since(s.last)
	free, _ := memory.Read(os.DirFS("/")) // a figure for people
	fmt.Printf("kexecguest: %s: %.2f s, %d MiB available\n", fmt.Sprintf(format, args...), took.Seconds(), free.Available>>20)
	s.last = time.Now()
}
