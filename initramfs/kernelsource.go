package initramfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/liveboot/liveboot/initramfs/packed"
	"github.com/liveboot/liveboot/pkg/fstree"
	"github.com/liveboot/liveboot/pkg/initrd"
	"github.com/liveboot/liveboot/pkg/kernelmodules"
)

// kernelOf finds the kernel that the configuration names: in an ISO, in a
// package, or installed.
func kernelOf(ctx context.Context, c Config, a arch) (*kernel, error) {
	if c.ISO != "" {
		if c.Kernel != "" || c.Modules != "" || c.KernelVersion != "" {
			return nil, errors.New("an ISO has its own kernel and modules; give either -iso (ISO=), or -kernel, -modules and -kernel-version (KERNEL=, MODULES=)")
		}
		return kernelFromISO(ctx, c.ISO, a, c.Report)
	}
	if c.KernelVersion != "" {
		if c.Kernel != "" {
			return nil, errors.New("give the kernel either by its version, -kernel-version, or by its file, -kernel (KERNEL=)")
		}
		file, err := kernelOfVersion(c.Root, c.KernelVersion)
		if err != nil {
			return nil, err
		}
		return findKernel(c.Root, file, c.Modules, a)
	}
	for _, kind := range packages() {
		if is, err := startsAs(c.Kernel, kind.is); err == nil && is {
			if c.Modules != "" {
				return nil, fmt.Errorf("%s is a package, which has its own modules; leave -modules (MODULES=) out", c.Kernel)
			}
			return kernelFromPackage(ctx, kind, c, a)
		}
	}
	return findKernel(c.Root, c.Kernel, c.Modules, a)
}

// kernelOfVersion is the file of an installed kernel: /boot/vmlinuz-<version>,
// or vmlinuz beside the modules (Fedora, openSUSE).
func kernelOfVersion(root, version string) (string, error) {
	files := []string{filepath.Join(root, "boot", "vmlinuz-"+version)}
	for _, folder := range moduleFolders() {
		files = append(files, filepath.Join(root, folder, version, "vmlinuz"))
	}
	for _, file := range files {
		if _, err := os.Stat(file); err == nil {
			return file, nil
		}
	}
	installed, err := filepath.Glob(filepath.Join(root, "boot/vmlinuz-*"))
	if err != nil {
		return "", err
	}
	for i, file := range installed {
		installed[i] = strings.TrimPrefix(filepath.Base(file), "vmlinuz-")
	}
	there := "there is none"
	if installed != nil {
		there = "there are " + strings.Join(installed, ", ")
	}
	return "", fmt.Errorf("kernel %s is not installed (%s); install it (Debian: linux-image-%s)", version, there, version)
}

// packageKind is a way to pack a kernel.
type packageKind struct {
	name string
	is   func(start []byte) bool
	read func(io.Reader, func(initrd.File) error) error
}

func packages() []packageKind {
	return []packageKind{
		{"Debian package", packed.IsDeb, packed.Deb},
		{"RPM package", packed.IsRPM, packed.RPM},
	}
}

// startsAs says whether the first bytes of a file are as is wants them.
func startsAs(file string, is func([]byte) bool) (bool, error) {
	f, err := os.Open(file)
	if err != nil {
		return false, err
	}
	defer f.Close()
	start := make([]byte, 16)
	n, err := io.ReadFull(f, start)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return is(start[:n]), err
}

// kernelFromPackage takes kernel and modules out of a package. Firmware is
// packed by itself: that of this machine is used.
func kernelFromPackage(ctx context.Context, kind packageKind, c Config, a arch) (*kernel, error) {
	c.Report(fmt.Sprintf("reading %s %s", kind.name, c.Kernel))
	f, err := os.Open(c.Kernel)
	if err != nil {
		return nil, fmt.Errorf("read kernel: %w", err)
	}
	defer f.Close()
	m := fstree.NewMemory()
	if err := kind.read(f, until(ctx, initrd.Into(m, kernelFile("")))); err != nil {
		return nil, fmt.Errorf("read %s: %w", c.Kernel, err)
	}
	root := fstree.New(m)
	k := &kernel{from: c.Kernel}
	if err := k.findIn(root, c.Kernel, a); err != nil {
		return nil, err
	}
	k.firmware = os.DirFS(filepath.Join(c.Root, "lib/firmware"))
	if err := k.take(root); err != nil {
		return nil, err
	}
	for _, folder := range moduleFolders() {
		modules, err := fs.Sub(root, path.Join(folder, k.release))
		if err != nil {
			return nil, err
		}
		if exists(modules, ".") {
			if k.modules, err = kernelmodules.Indexed(kernelmodules.Place{Name: c.Kernel, FS: modules}); err != nil {
				return nil, err
			}
			return k, nil
		}
	}
	return nil, fmt.Errorf("%s has no modules for its kernel %s; unpack it with the packages that have them, and give both with -kernel and -modules (KERNEL=, MODULES=)", c.Kernel, k.release)
}

// findIn takes the kernel image of a package: the first of those in boot or,
// on Fedora and openSUSE, beside the modules, that is one. Both may have
// another file of that name, a checksum or a link.
func (k *kernel) findIn(root fs.FS, file string, a arch) error {
	var errs []error
	for _, pattern := range []string{"boot/vmlinuz-*", "boot/vmlinux-*", "boot/Image-*", "lib/modules/*/vmlinuz", "usr/lib/modules/*/vmlinuz", "usr/lib/modules/*/Image", "lib/modules/*/Image"} {
		names, err := fs.Glob(root, pattern)
		if err != nil {
			return err
		}
		for _, name := range names {
			image, err := readFile(root, name)
			if err != nil {
				continue // a link to what is made on installation
			}
			k.file = file + ":" + name
			if err = k.parse(image, a); err == nil {
				return nil
			}
			errs = append(errs, err)
		}
	}
	if errs != nil {
		return errors.Join(errs...)
	}
	return fmt.Errorf("%s has no kernel image in boot (vmlinuz-<version>); give the package that has it (Debian: linux-image-<version>, Fedora: kernel-core)", file)
}
