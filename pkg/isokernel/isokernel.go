// Package isokernel finds what an ISO boots with, and makes it bootable without the ISO's own way in: its kernel, its initrds, the options of
// its boot menu, and those of its modules that our own initramfs needs to run under that kernel.
//
// All is read at an offset, so that the ISO may be at a web server: the folders on the way, the kernel's first KiB, the initrd as a
// whole, and of the live root only the blocks that hold what is missing.
package isokernel

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"

	"github.com/liveboot/liveboot/pkg/bootmenu"
	"github.com/liveboot/liveboot/pkg/iso"
	"github.com/liveboot/liveboot/pkg/kernelimage"
)

// kernelMax bounds a kernel, in bytes: it is kept in memory. The largest that are in use have 60 MiB, and a damaged file system may claim anything.
const kernelMax = 512 << 20

// A File is one of an ISO.
type File struct {
	// Path in the ISO, without "/" in front.
	Path string
	// Size in bytes.
	Size int64
	io.ReaderAt
}

// A Kernel is what an ISO boots with.
type Kernel struct {
	// Image is the kernel.
	Image File
	// Info is what the image says about itself.
	Info kernelimage.Info
	// Initrds are loaded one behind the other.
	Initrds []File
	// Entry is the title of the boot menu's entry; empty where KIWI's layout was found and no menu has an entry for it.
	Entry string
	// Options is the entry's command line as it may be added to ours, see Options.
	Options string
}

// ErrNoKernel says that an ISO has neither KIWI's layout nor a boot menu that names a kernel.
var ErrNoKernel = errors.New("no kernel in the ISO: neither boot/<arch>/loader/linux nor a boot menu with one")

// kiwiArch is what KIWI calls an architecture, as uname -m does, by Go's name.
func kiwiArch(arch string) string {
	return map[string]string{"amd64": "x86_64", "arm64": "aarch64", "386": "i686"}[arch]
}

// Find finds the kernel of an ISO where Locate does, and looks into it: what is no kernel, or one for other machines (a memory test, an installer
// for another architecture), is passed over. If nothing is left, the error is about the first that was: it wraps kernelimage.ErrNotKernel if that
// is something else, and is an *ArchError if it is for other machines.
func Find(image io.ReaderAt, arch string) (*Kernel, error) {
	seen := map[string]error{} // by path: entries share a kernel
	k, err := first(image, arch, func(k *Kernel) error {
		err, known := seen[k.Image.Path]
		if !known {
			err = k.inspect(arch)
			seen[k.Image.Path] = err
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("find the ISO's kernel: %w", err)
	}
	return k, nil
}

// inspect looks into the kernel.
func (k *Kernel) inspect(arch string) (err error) {
	if k.Info, err = kernelimage.Inspect(k.Image, k.Image.Size); err != nil {
		return fmt.Errorf("%s: %w", k.Image.Path, err)
	}
	if k.Info.Arch != arch {
		return &ArchError{k.Image.Path, k.Info.Arch, arch}
	}
	return nil
}

// An ArchError says that an ISO's kernel is for machines of another architecture, by Go's names.
type ArchError struct{ Path, Arch, Machine string }

// Error names both.
func (e *ArchError) Error() string {
	return fmt.Sprintf("%s is for %s, and this machine is %s", e.Path, e.Arch, e.Machine)
}

// Locate finds what an ISO boots with on a machine of an architecture by Go's name: at KIWI's place, or else what the default entry of the
// boot menu names, or the first entry whose kernel and initrds are there. It does not look into the kernel, and leaves Info empty. Its error wraps
// ErrNoKernel if there is none.
func Locate(image io.ReaderAt, arch string) (*Kernel, error) {
	k, err := first(image, arch, func(*Kernel) error { return nil })
	if err != nil {
		return nil, fmt.Errorf("find the ISO's kernel: %w", err)
	}
	return k, nil
}

// first returns the first of what an ISO may boot with that is there and fits. If there is none, the error is that of the first one whose
// kernel is there.
func first(image io.ReaderAt, arch string, fits func(*Kernel) error) (*Kernel, error) {
	volume, err := iso.Open(image)
	if err != nil {
		return nil, err
	}
	files, err := volume.FS()
	if err != nil {
		return nil, err
	}
	entries, err := bootmenu.Entries(files, arch)
	if err != nil && !errors.Is(err, bootmenu.ErrNone) {
		return nil, err
	}
	var firstErr error
	entries = slices.Insert(entries, 0, kiwiEntry(files, path.Join("boot", kiwiArch(arch), "loader"), entries))
	for _, e := range entries {
		if _, err := fs.Stat(files, e.Kernel); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		k, err := openEntry(files, e)
		if err == nil {
			err = fits(k)
		}
		if err == nil {
			return k, nil
		}
		if firstErr == nil {
			firstErr = err
		}
	}
	return nil, cmp.Or(firstErr, ErrNoKernel)
}

// kiwiEntry is KIWI's kernel with the options of the menu's first entry that starts it, and the initrd beside it, or, if that is missing, those
// of the entry.
func kiwiEntry(files fs.FS, loader string, entries []bootmenu.Entry) bootmenu.Entry {
	kiwi := bootmenu.Entry{Kernel: path.Join(loader, "linux")}
	if k := slices.IndexFunc(entries, func(e bootmenu.Entry) bool { return e.Kernel == kiwi.Kernel }); k >= 0 {
		kiwi = entries[k]
	}
	beside := path.Join(loader, "initrd")
	if _, err := fs.Stat(files, beside); !errors.Is(err, fs.ErrNotExist) {
		kiwi.Initrds = []string{beside}
	}
	return kiwi
}

// openEntry opens the files of an entry.
func openEntry(files fs.FS, e bootmenu.Entry) (*Kernel, error) {
	k := &Kernel{Entry: e.Title, Options: Options(e.Options)}
	var err error
	if k.Image, err = open(files, e.Kernel); err != nil {
		return nil, err
	}
	if k.Image.Size > kernelMax {
		return nil, fmt.Errorf("the kernel %s has %d bytes, more than %d MiB", e.Kernel, k.Image.Size, kernelMax>>20)
	}
	for _, name := range e.Initrds {
		f, err := open(files, name)
		if err != nil {
			return nil, err
		}
		k.Initrds = append(k.Initrds, f)
	}
	_, err = initrdsSize(k.Initrds)
	return k, err
}

// open opens a file of the ISO.
func open(files fs.FS, name string) (File, error) {
	f, err := files.Open(name)
	if err != nil {
		return File{}, err
	}
	info, err := f.Stat()
	if err != nil {
		return File{}, err
	}
	r, ok := f.(io.ReaderAt)
	if !ok || !info.Mode().IsRegular() {
		return File{}, fmt.Errorf("%s is no file", name)
	}
	return File{Path: name, Size: info.Size(), ReaderAt: r}, nil
}
