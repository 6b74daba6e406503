package isokernel

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"

	"github.com/liveboot/liveboot/pkg/ext4"
	"github.com/liveboot/liveboot/pkg/iso"
	"github.com/liveboot/liveboot/pkg/live"
	"github.com/liveboot/liveboot/pkg/probe"
	"github.com/liveboot/liveboot/pkg/squashfs"
)

// An UnreadableError says that a live root has a file system that the kernel reads, and this package does not.
type UnreadableError struct {
	// Name is the file that holds it, Kind the file system's name; empty for one that is not known.
	Name, Kind string
	// Err says what of a squashfs or ext4 cannot be read; nil for another file system.
	Err error
}

// Error names both.
func (e *UnreadableError) Error() string {
	switch {
	case e.Kind == "":
		return fmt.Sprintf("%s holds no known file system", e.Name)
	case e.Err != nil:
		return fmt.Sprintf("%s cannot be read without mounting: %v", e.Name, e.Err)
	}
	return fmt.Sprintf("%s is %s, and only squashfs and ext4 can be read without mounting", e.Name, e.Kind)
}

// Unwrap returns the cause.
func (e *UnreadableError) Unwrap() error { return e.Err }

// Root opens the root file system of a live ISO, as far as that can be done without mounting: an ext4 in a squashfs, or a squashfs; anything
// else is an *UnreadableError. An ISO without one is an error that wraps fs.ErrNotExist.
func Root(image io.ReaderAt, spec live.Spec) (fs.FS, error) {
	volume, err := iso.Open(image)
	if err != nil {
		return nil, err
	}
	name := path.Join(spec.Dir, spec.Container)
	offset, size, err := volume.Find(name)
	if err != nil {
		return nil, err
	}
	container, err := openFileSystem(io.NewSectionReader(image, offset, size), name)
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
			return nil, fmt.Errorf("look into %s: %w", name, err)
		}
		r, ok := f.(io.ReaderAt)
		if !ok {
			return nil, fmt.Errorf("look into %s: %s is no file", name, layout.Image)
		}
		return openFileSystem(r, layout.Image)
	}
	return container, nil
}

// openFileSystem opens a squashfs or ext4.
func openFileSystem(r io.ReaderAt, name string) (fs.FS, error) {
	kind, err := probe.FileSystem(r)
	if errors.Is(err, probe.ErrUnknown) {
		return nil, &UnreadableError{Name: name}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	open := map[string]func(io.ReaderAt) (fs.FS, error){"squashfs": squashfs.Open, "ext4": ext4.Open}[kind]
	if open == nil {
		return nil, &UnreadableError{Name: name, Kind: kind}
	}
	fsys, err := open(r)
	if errors.Is(err, errors.ErrUnsupported) {
		return nil, &UnreadableError{name, kind, err}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return fsys, nil
}

// moduleFolders are the places of lib/modules; a merged /usr has both.
func moduleFolders() []string { return []string{"lib/modules", "usr/lib/modules"} }

// RootModules returns the kernels whose modules the root of a live ISO has, by their versions as uname -r prints them: the folders of
// /lib/modules that hold the index modules.dep. A root without modules is no error. root is that of Root, and so is an error.
func RootModules(image io.ReaderAt, spec live.Spec) (versions []string, root fs.FS, err error) {
	root, err = Root(image, spec)
	if err != nil {
		return nil, nil, fmt.Errorf("look for the live system's modules: %w", err)
	}
	const folder = "lib/modules"
	entries, err := fs.ReadDir(root, folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, root, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("look for the live system's modules: %w", err)
	}
	for _, e := range entries {
		_, err := fs.Stat(root, path.Join(folder, e.Name(), "modules.dep"))
		if err == nil {
			versions = append(versions, e.Name())
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, nil, fmt.Errorf("look for the live system's modules: %w", err)
		}
	}
	slices.Sort(versions)
	return versions, root, nil
}
