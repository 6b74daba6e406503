package initramfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/liveboot/liveboot/initramfs/packed"
	"github.com/liveboot/liveboot/pkg/ext4"
	"github.com/liveboot/liveboot/pkg/fstree"
	"github.com/liveboot/liveboot/pkg/iso"
	"github.com/liveboot/liveboot/pkg/live"
	"github.com/liveboot/liveboot/pkg/probe"
	"github.com/liveboot/liveboot/pkg/squashfs"
)

// loaderMax bounds the kernel and the initrd of an ISO, in bytes.
const loaderMax = 2 << 30

// liveISO is an ISO that a kernel is taken from.
type liveISO struct {
	file   string
	image  *iso.Image
	r      io.ReaderAt
	report func(string)
}

// kernelFromISO takes kernel and modules out of a live ISO of KIWI's. The
// modules are those of the ISO's own initrd and, as that has only what its
// maker needed, those of the root in the ISO.
func kernelFromISO(ctx context.Context, file string, a arch, report func(string)) (_ *kernel, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read the ISO: %w", err)
	}
	k := &kernel{file: file, source: f}
	defer func() {
		if err != nil {
			err = errors.Join(err, k.close())
		}
	}()
	image, err := iso.Open(f)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	l := &liveISO{file, image, f, report}
	loader, err := l.loader(a)
	if err != nil {
		return nil, err
	}
	k.file = file + ":" + loader + "/linux"
	linux, err := l.read(loader + "/linux")
	if err != nil {
		return nil, err
	}
	if err := k.parse(linux, a); err != nil {
		return nil, err
	}
	report(fmt.Sprintf("kernel %s in %s", k.release, file))
	if err := l.modules(ctx, k, loader); err != nil {
		return nil, err
	}
	return k, nil
}

// loader is the folder with kernel and initrd, which KIWI names after the
// architecture as uname -m has it.
func (l *liveISO) loader(a arch) (string, error) {
	names := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}
	wanted := path.Join("boot", names[a.goarch], "loader")
	_, _, err := l.image.Find(wanted + "/linux")
	if err == nil {
		return wanted, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read %s: %w", l.file, err)
	}
	for goarch, name := range names {
		if _, _, err := l.image.Find(path.Join("boot", name, "loader/linux")); err == nil {
			return "", fmt.Errorf("%s is for %s, not for %s; say so with -arch %s", l.file, name, a.goarch, goarch)
		}
	}
	return "", fmt.Errorf("%s: %s/linux is not in it, so it is no live ISO of KIWI's; give the kernel and its modules with -kernel and -modules (KERNEL=, MODULES=)", l.file, wanted)
}

// read returns the content of a file in the ISO.
func (l *liveISO) read(name string) ([]byte, error) {
	offset, size, err := l.image.Find(name)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", l.file, err)
	}
	if size > loaderMax {
		return nil, fmt.Errorf("read %s: %s has %d bytes", l.file, name, size)
	}
	b, err := io.ReadAll(io.NewSectionReader(l.r, offset, size))
	if err == nil && int64(len(b)) < size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, fmt.Errorf("read %s in %s: %w", name, l.file, err)
	}
	return b, nil
}

// modules fills in what belongs to the kernel. Either the initrd or the root
// may be of a kind that cannot be read here; what cannot be had then is said
// with what is missing.
func (l *liveISO) modules(ctx context.Context, k *kernel, loader string) error {
	l.report("reading the initrd of the ISO")
	initrd, initrdErr := l.initrd(ctx, loader+"/initrd", k.release)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	root, rootErr := l.root()
	k.from, k.firmware = l.file, fstree.New(fstree.NewMemory())
	var places []place
	for _, tree := range []struct {
		name string
		fsys fs.FS
		err  error
	}{{"initrd", initrd, initrdErr}, {"root", root, rootErr}} {
		if tree.err != nil {
			note := fmt.Sprintf("the ISO's %s cannot be read (%v)", tree.name, tree.err)
			l.report(note)
			k.from += "; " + note
			continue
		}
		if err := k.take(tree.fsys); err != nil {
			return err
		}
		for _, folder := range moduleFolders() {
			if modules, err := fs.Sub(tree.fsys, path.Join(folder, k.release)); err == nil && exists(modules, ".") {
				places = append(places, place{l.file + ", " + tree.name, modules})
				break
			}
		}
	}
	if places == nil {
		return fmt.Errorf("modules of kernel %s are not in %s; give their folder with -kernel and -modules (KERNEL=, MODULES=)", k.release, k.from)
	}
	l.report("reading the modules of the ISO")
	var err error
	k.modules, err = mergeModules(places)
	return err
}

// take takes firmware and configuration of a root, as far as it has them.
func (k *kernel) take(root fs.FS) error {
	for _, folder := range []string{"lib/firmware", "usr/lib/firmware"} {
		if exists(root, folder) {
			firmware, err := fs.Sub(root, folder)
			if err != nil {
				return err
			}
			k.firmware = firmware
			break
		}
	}
	files := []string{path.Join("boot", "config-"+k.release)}
	for _, folder := range moduleFolders() {
		files = append(files, path.Join(folder, k.release, "config"))
	}
	for _, file := range files {
		if b, err := readFile(root, file); err == nil {
			k.config, k.configFrom = b, path.Base(file)
			return nil
		}
	}
	return nil
}

func exists(fsys fs.FS, name string) bool {
	_, err := fs.Stat(fsys, name)
	return err == nil
}

// initrd unpacks what is of use of the ISO's own initrd.
func (l *liveISO) initrd(ctx context.Context, name, release string) (fs.FS, error) {
	b, err := l.read(name)
	if err != nil {
		return nil, err
	}
	m := fstree.NewMemory()
	if err := packed.Initrd(b, until(ctx, packed.Into(m, kernelFile(release)))); err != nil {
		return nil, err
	}
	return fstree.New(m), nil
}

// root opens the root file system in the ISO.
func (l *liveISO) root() (fs.FS, error) {
	spec := live.Spec{Dir: "LiveOS", Container: "squashfs.img"}
	name := path.Join(spec.Dir, spec.Container)
	offset, size, err := l.image.Find(name)
	if err != nil {
		return nil, err
	}
	container, err := openFileSystem(io.NewSectionReader(l.r, offset, size), name)
	if err != nil {
		return nil, err
	}
	for _, layout := range live.Layouts(spec) {
		if layout.Image == "" {
			continue
		}
		f, err := container.Open(layout.Image)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		r, ok := f.(io.ReaderAt)
		if !ok {
			return nil, fmt.Errorf("%s is no file", layout.Image)
		}
		return openFileSystem(r, layout.Image)
	}
	return container, nil
}

// openFileSystem opens a squashfs or ext4.
func openFileSystem(r io.ReaderAt, name string) (fs.FS, error) {
	kind, err := probe.FileSystem(r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	open := map[string]func(io.ReaderAt) (fs.FS, error){"squashfs": squashfs.Open, "ext4": ext4.Open}[kind]
	if open == nil {
		return nil, fmt.Errorf("%s is %s, and only squashfs and ext4 can be read without mounting", name, kind)
	}
	fsys, err := open(r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return fsys, nil
}

// kernelFile says which files of a package or an initrd are of use: kernel
// images, configuration, firmware, and the modules of a release; of any if it
// is empty.
func kernelFile(release string) func(name string) bool {
	folders := []string{"boot/", "lib/firmware/", path.Join("lib/modules", release) + "/"}
	return func(name string) bool {
		name = strings.TrimPrefix(name, "usr/")
		return slices.ContainsFunc(folders, func(folder string) bool { return strings.HasPrefix(name, folder) })
	}
}

// until stops reading an archive when ctx ends.
func until(ctx context.Context, f func(packed.File) error) func(packed.File) error {
	return func(file packed.File) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return f(file)
	}
}
