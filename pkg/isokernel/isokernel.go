// Package isokernel finds what an ISO boots with, and makes it bootable without the ISO's own way in: its kernel, its initrds, the options of
// its boot menu, and those of its modules that our own initramfs needs to run under that kernel.
//
// All is read at an offset, so that the ISO may be at a web server: the folders on the way, the kernel's first KiB, the initrd as a
// whole, and of the live root only the blocks that hold what is missing.
package isokernel

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"

	"github.com/liveboot/liveboot/pkg/bootmenu"
	"github.com/liveboot/liveboot/pkg/iso"
	"github.com/liveboot/liveboot/pkg/kernelimage"
)

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

// Find finds the kernel of an ISO, as Locate does, and looks into it. The error wraps kernelimage.ErrNotKernel if what is there is something
// else, and is an *ArchError if it is for other machines.
func Find(image io.ReaderAt, arch string) (*Kernel, error) {
	k, err := Locate(image, arch)
	if err != nil {
		return nil, err
	}
	if k.Info, err = kernelimage.Inspect(k.Image, k.Image.Size); err != nil {
		return nil, fmt.Errorf("find the ISO's kernel: %s: %w", k.Image.Path, err)
	}
	if k.Info.Arch != arch {
		return nil, fmt.Errorf("find the ISO's kernel: %w", &ArchError{k.Image.Path, k.Info.Arch, arch})
	}
	return k, nil
}

// An ArchError says that an ISO's kernel is for machines of another architecture, by Go's names.
type ArchError struct{ Path, Arch, Machine string }

// Error names both.
func (e *ArchError) Error() string {
	return fmt.Sprintf("%s is for %s, and this machine is %s", e.Path, e.Arch, e.Machine)
}

// Locate finds what an ISO boots with on a machine of an architecture by Go's name: at KIWI's place, or else what the default entry of the
// boot menu names. It does not look into the kernel, and leaves Info empty. Its error wraps ErrNoKernel if there is none.
func Locate(image io.ReaderAt, arch string) (*Kernel, error) {
	k, err := locate(image, arch)
	if err != nil {
		return nil, fmt.Errorf("find the ISO's kernel: %w", err)
	}
	return k, nil
}

func locate(image io.ReaderAt, arch string) (*Kernel, error) {
	volume, err := iso.Open(image)
	if err != nil {
		return nil, err
	}
	files, err := volume.FS()
	if err != nil {
		return nil, err
	}
	entries, err := bootmenu.Entries(files)
	if err != nil && !errors.Is(err, bootmenu.ErrNone) {
		return nil, err
	}
	entry, err := choose(files, path.Join("boot", kiwiArch(arch), "loader"), entries)
	if err != nil {
		return nil, err
	}
	k := &Kernel{Entry: entry.Title, Options: Options(entry.Options)}
	if k.Image, err = open(files, entry.Kernel); err != nil {
		return nil, err
	}
	for _, name := range entry.Initrds {
		f, err := open(files, name)
		if err != nil {
			return nil, err
		}
		k.Initrds = append(k.Initrds, f)
	}
	return k, nil
}

// choose returns the entry to boot: KIWI's kernel and initrd with the options of the menu's first entry that starts them, or the menu's
// default entry, or the first one whose kernel is there.
func choose(files fs.FS, loader string, entries []bootmenu.Entry) (bootmenu.Entry, error) {
	kiwi := bootmenu.Entry{Kernel: path.Join(loader, "linux"), Initrds: []string{path.Join(loader, "initrd")}}
	if _, err := fs.Stat(files, kiwi.Kernel); err == nil {
		for _, e := range entries {
			if e.Kernel == kiwi.Kernel {
				kiwi.Title, kiwi.Options = e.Title, e.Options
				break
			}
		}
		return kiwi, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return kiwi, err
	}
	for _, e := range entries {
		_, err := fs.Stat(files, e.Kernel)
		if err == nil {
			return e, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return kiwi, err
		}
	}
	return kiwi, ErrNoKernel
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
