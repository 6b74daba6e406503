// Package liveiso makes the small live ISOs of the tests: a few MB, in the layouts of KIWI NG, with
// integration/liveinit as their /sbin/init. It needs mksquashfs, mkfs.ext4, xorriso and, for a partition table, mkfs.vfat, and
// neither root nor mounts.
package liveiso

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/liveboot/liveboot/integration/livefacts"
	"github.com/liveboot/liveboot/qemu"
)

// Layout is how the root lies in the ISO.
type Layout string

const (
	// RootfsImage is KIWI's: LiveOS/squashfs.img, zstd-compressed, holds LiveOS/rootfs.img, an ext4 file system.
	RootfsImage Layout = "rootfs-image"
	// Squashfs is the flat one: LiveOS/squashfs.img, xz-compressed with the x86 filter as KIWI 10's default is, is the root.
	Squashfs Layout = "squashfs"
	// NoRoot is a good ISO with some other file on it and no live system.
	NoRoot Layout = "no-root"
	// EmptyRoot is a container that holds neither rootfs.img nor a root.
	EmptyRoot Layout = "empty-root"
)

// Init is the state of /sbin/init.
type Init string

// The states of /sbin/init; the empty one is a program that runs.
const (
	Runs          Init = ""
	Missing       Init = "missing"
	NotExecutable Init = "not-executable"
	// NoInterpreter is a script whose interpreter is not in the root.
	NoInterpreter Init = "no-interpreter"
	// NoLibrary is a program of this machine whose dynamic loader is in the root, and none of its libraries.
	NoLibrary Init = "no-library"
)

// Config is an ISO.
type Config struct {
	Layout Layout
	Init   Init
	// Arch is that of /sbin/init, as Go names it; empty means amd64.
	Arch string
	// PadMiB is the size, in MiB, of a file of noise that makes the ISO larger; it lies behind the container.
	PadMiB int
	// Table is the partition table.
	Table Table
	// Kernel is the ISO's own, with its modules in the root and in an initrd; the zero Kernel leaves all of that out.
	Kernel qemu.Kernel
}

// VolumeID is the ISO's, as KIWI sets it.
const VolumeID = "CDROM"

// recipe is part of the name of every cached ISO: raise it when Build makes another ISO of the same Config.
const recipe = 2

// Build makes the ISO, or finds it in the cache folder under a digest of everything that it is made of, and returns its
// file.
func Build(ctx context.Context, c Config) (string, error) {
	file, err := build(ctx, c)
	if err != nil {
		return "", fmt.Errorf("make live ISO %s: %w", c.Layout, err)
	}
	return file, nil
}

func build(ctx context.Context, c Config) (string, error) {
	cache, err := qemu.CacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "liveiso")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	work, err := os.MkdirTemp(dir, "work-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	init := filepath.Join(work, "liveinit")
	if err := compile(ctx, init, cmp.Or(c.Arch, "amd64")); err != nil {
		return "", err
	}
	program, err := os.ReadFile(init)
	if err != nil {
		return "", err
	}
	kernel, err := kernelKey(c.Kernel)
	if err != nil {
		return "", err
	}
	named := c
	named.Kernel = qemu.Kernel{} // its content is the key, not its path
	key := sha256.Sum256(fmt.Appendf(nil, "%d %+v %x%s", recipe, named, sha256.Sum256(program), kernel))
	file := filepath.Join(dir, fmt.Sprintf("%s-%x.iso", c.Layout, key[:8]))
	if _, err := os.Stat(file); err == nil {
		return file, nil
	} else if !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	made := filepath.Join(work, "live.iso")
	if err := c.compose(ctx, work, program, made); err != nil {
		return "", err
	}
	return file, os.Rename(made, file)
}

// compile builds liveinit so that the same sources give the same bytes everywhere.
func compile(ctx context.Context, out, arch string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", out,
		"github.com/liveboot/liveboot/integration/liveinit")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOFLAGS=")
	return run(cmd)
}

// compose makes the root and packs it.
func (c Config) compose(ctx context.Context, work string, program []byte, iso string) error {
	root := filepath.Join(work, "root")
	if err := c.root(root, program); err != nil {
		return err
	}
	if c.Kernel != (qemu.Kernel{}) {
		if err := c.addModules(ctx, root); err != nil {
			return err
		}
	}
	return c.pack(ctx, root, iso)
}

// Pack makes a plain ISO of the layout out of a folder with a root. Behind the container lies noise, padMiB MiB of it.
func Pack(ctx context.Context, layout Layout, root string, padMiB int, iso string) error {
	return Config{Layout: layout, PadMiB: padMiB}.pack(ctx, root, iso)
}

func (c Config) pack(ctx context.Context, root, iso string) error {
	work, err := os.MkdirTemp(filepath.Dir(iso), "work-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	tree := filepath.Join(work, "iso")
	live := filepath.Join(tree, "LiveOS")
	if err := os.MkdirAll(live, 0o755); err != nil {
		return err
	}
	container := filepath.Join(live, "squashfs.img")
	switch c.Layout {
	case RootfsImage:
		err = rootfsImage(ctx, work, root, container)
	case Squashfs:
		err = squash(ctx, root, container, "-comp", "xz", "-Xbcj", "x86", "-b", "1M")
	case EmptyRoot:
		empty := filepath.Join(work, "empty", "lost+found")
		if err = os.MkdirAll(empty, 0o755); err == nil {
			err = squash(ctx, filepath.Dir(empty), container)
		}
	case NoRoot:
		err = os.Rename(live, filepath.Join(tree, "boot"))
	default:
		err = fmt.Errorf("no such layout: %q", c.Layout)
	}
	if err != nil {
		return err
	}
	if err := noise(filepath.Join(tree, "padding"), c.PadMiB<<20); err != nil {
		return err
	}
	if c.Kernel != (qemu.Kernel{}) {
		if err := c.addLoader(root, tree); err != nil {
			return err
		}
	}
	table, err := c.Table.options(ctx, work)
	if err != nil {
		return err
	}
	args := append([]string{"-as", "mkisofs", "-quiet", "-R", "-V", VolumeID, "-o", iso}, table...)
	return run(exec.CommandContext(ctx, "xorriso", append(args, tree)...))
}

// root makes the root's tree, which holds what a live system needs and the known file.
func (c Config) root(root string, program []byte) error {
	for _, dir := range []string{"dev", "proc", "sys", "run", "tmp", "etc", "root", "var", "usr/sbin", filepath.Dir(livefacts.KnownFile)} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			return err
		}
	}
	if err := os.Symlink("usr/sbin", filepath.Join(root, "sbin")); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, "etc/os-release"), []byte("ID=livetest\nPRETTY_NAME=\"live system of the tests\"\n"), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, livefacts.KnownFile), Known(), 0o644); err != nil {
		return err
	}
	init := filepath.Join(root, "usr/sbin/init")
	switch c.Init {
	case Missing:
		return nil
	case NotExecutable:
		return os.WriteFile(init, program, 0o644)
	case NoInterpreter:
		return os.WriteFile(init, []byte("#!/usr/bin/no-such-shell\n"), 0o755)
	case NoLibrary:
		return dynamic(root, init)
	}
	return os.WriteFile(init, program, 0o755)
}

// dynamic makes init a dynamic program in root.
func dynamic(root, init string) error {
	const program = "/bin/true"
	f, err := elf.Open(program)
	if err != nil {
		return err
	}
	defer f.Close()
	section := f.Section(".interp")
	if section == nil {
		return fmt.Errorf("%s is a static program", program)
	}
	name, err := section.Data()
	if err != nil {
		return err
	}
	loader := string(bytes.TrimRight(name, "\x00"))
	if err := os.MkdirAll(filepath.Join(root, filepath.Dir(loader)), 0o755); err != nil {
		return err
	}
	for from, to := range map[string]string{program: init, loader: filepath.Join(root, loader)} {
		content, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := os.WriteFile(to, content, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// rootfsImage packs the root into an ext4 image and that into the container.
func rootfsImage(ctx context.Context, work, root, container string) error {
	image := filepath.Join(work, "container", "LiveOS", "rootfs.img")
	if err := os.MkdirAll(filepath.Dir(image), 0o755); err != nil {
		return err
	}
	size, err := treeSize(root)
	if err != nil {
		return err
	}
	// A file system larger than its content, as KIWI's is; the holes cost nothing.
	mkfs := exec.CommandContext(ctx, "mkfs.ext4", "-q", "-F", "-L", "ROOT", "-E", "root_owner=0:0", "-d", root, image,
		fmt.Sprintf("%dM", 32+2*(size>>20)))
	if err := run(mkfs); err != nil {
		return err
	}
	return squash(ctx, filepath.Join(work, "container"), container, "-comp", "zstd")
}

// treeSize is the bytes of all files in a folder.
func treeSize(root string) (int64, error) {
	var size int64
	err := filepath.WalkDir(root, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	})
	return size, err
}

func squash(ctx context.Context, tree, container string, options ...string) error {
	args := append([]string{tree, container, "-noappend", "-all-root", "-no-progress", "-quiet"}, options...)
	return run(exec.CommandContext(ctx, "mksquashfs", args...))
}

// noise writes bytes that do not compress, the same ones every time.
func noise(file string, size int) error {
	if size == 0 {
		return nil
	}
	return os.WriteFile(file, random(size), 0o644)
}

// Known is the content of livefacts.KnownFile.
func Known() []byte { return random(livefacts.KnownFileSize) }

// KnownSHA256 is its digest, in hexadecimal digits.
func KnownSHA256() string { return fmt.Sprintf("%x", sha256.Sum256(Known())) }

func random(size int) []byte {
	b := make([]byte, size)
	// It always fills the slice.
	_, _ = rand.NewChaCha8([32]byte{'l', 'i', 'v', 'e'}).Read(b)
	return b
}

// run runs a tool and has what it said in the error.
func run(cmd *exec.Cmd) error {
	out, err := cmd.CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("%w: install squashfs-tools, e2fsprogs, xorriso and dosfstools", err)
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
