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
	"github.com/liveboot/liveboot/pkg/fstree"
	"github.com/liveboot/liveboot/pkg/initrd"
	"github.com/liveboot/liveboot/pkg/isokernel"
	"github.com/liveboot/liveboot/pkg/kernelmodules"
	"github.com/liveboot/liveboot/pkg/live"
)

// loaderMax bounds the kernel and the initrd of an ISO, in bytes.
const loaderMax = 2 << 30

// liveISO is an ISO that a kernel is taken from.
type liveISO struct {
	file   string
	r      io.ReaderAt
	report func(string)
}

// kernelFromISO takes kernel and modules out of a live ISO: one of KIWI's, or
// another that names its kernel in a boot menu. The modules are those of the
// ISO's own initrd and, as that has only what its maker needed, those of the
// root in the ISO.
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
	l := &liveISO{file, f, report}
	found, err := l.locate(a)
	if err != nil {
		return nil, err
	}
	k.file = file + ":" + found.Image.Path
	linux, err := l.read(found.Image)
	if err != nil {
		return nil, err
	}
	if err := k.parse(linux, a); err != nil {
		return nil, err
	}
	report(fmt.Sprintf("kernel %s in %s", k.release, file))
	if err := l.modules(ctx, k, found.Initrds); err != nil {
		return nil, err
	}
	return k, nil
}

// locate finds kernel and initrds, and knows what to do where there are only
// those for another architecture.
func (l *liveISO) locate(a arch) (*isokernel.Kernel, error) {
	k, err := isokernel.Locate(l.r, a.goarch)
	if !errors.Is(err, isokernel.ErrNoKernel) {
		if err != nil {
			err = fmt.Errorf("read %s: %w", l.file, err)
		}
		return k, err
	}
	for _, other := range archs() {
		if _, otherErr := isokernel.Locate(l.r, other.goarch); otherErr == nil {
			return nil, fmt.Errorf("%s is for %s, not for %s; say so with -arch %s", l.file, other.goarch, a.goarch, other.goarch)
		}
	}
	return nil, fmt.Errorf("read %s: %w; give the kernel and its modules with -kernel and -modules (KERNEL=, MODULES=)", l.file, err)
}

// read returns the content of a file in the ISO.
func (l *liveISO) read(f isokernel.File) ([]byte, error) {
	if f.Size > loaderMax {
		return nil, fmt.Errorf("read %s: %s has %d bytes", l.file, f.Path, f.Size)
	}
	b, err := io.ReadAll(io.NewSectionReader(f, 0, f.Size))
	if err == nil && int64(len(b)) < f.Size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, fmt.Errorf("read %s in %s: %w", f.Path, l.file, err)
	}
	return b, nil
}

// modules fills in what belongs to the kernel. Either the initrd or the root
// may be of a kind that cannot be read here; what cannot be had then is said
// with what is missing.
func (l *liveISO) modules(ctx context.Context, k *kernel, initrds []isokernel.File) error {
	l.report("reading the initrd of the ISO")
	initrd, initrdErr := l.initrd(ctx, initrds, k.release)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	root, rootErr := isokernel.Root(l.r, live.Spec{Dir: "LiveOS", Container: "squashfs.img"})
	k.from, k.firmware = l.file, fstree.New(fstree.NewMemory())
	var places []kernelmodules.Place
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
				places = append(places, kernelmodules.Place{Name: l.file + ", " + tree.name, FS: modules})
				break
			}
		}
	}
	if places == nil {
		return fmt.Errorf("modules of kernel %s are not in %s; give their folder with -kernel and -modules (KERNEL=, MODULES=)", k.release, k.from)
	}
	l.report("reading the modules of the ISO")
	var err error
	k.modules, err = kernelmodules.Merge(places)
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

// initrd unpacks what is of use of the ISO's own initrds, which are loaded
// one behind the other.
func (l *liveISO) initrd(ctx context.Context, files []isokernel.File, release string) (fs.FS, error) {
	m := fstree.NewMemory()
	for _, f := range files {
		b, err := l.read(f)
		if err != nil {
			return nil, err
		}
		if err := initrd.Read(b, kernelmodules.Members(until(ctx, initrd.Into(m, kernelFile(release)))), packed.LZMA()); err != nil {
			return nil, err
		}
	}
	return fstree.New(m), nil
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
func until(ctx context.Context, f func(initrd.File) error) func(initrd.File) error {
	return func(file initrd.File) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return f(file)
	}
}
