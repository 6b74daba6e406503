// Package live finds and mounts the root file system inside a live ISO.
//
// A live ISO holds a container, a squashfs or erofs, in one of its folders. In the container lies an image of the root file system,
// or the container is the root itself. Where things are mounted is a promise to the software in the images, see Paths.
package live

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/liveboot/liveboot/pkg/iso"
	"github.com/liveboot/liveboot/pkg/kernel/loop"
	"github.com/liveboot/liveboot/pkg/kernel/mount"
	"github.com/liveboot/liveboot/pkg/probe"
)

// A Spec says where in the ISO the root is.
type Spec struct {
	// Dir is the folder on the ISO, and inside the container, that holds the root: "LiveOS".
	Dir string
	// Container is the container's file name: "squashfs.img".
	Container string
}

// A Layout is a way to lay out a live ISO.
type Layout struct {
	Name string
	// Image is the root's image inside the container; empty if the container is the root.
	Image string
	// Marks are folders of which one must be there for the layout to be this one; empty if Image decides.
	Marks []string
}

// Layouts returns the known layouts for s, in the order in which they are looked for.
func Layouts(s Spec) []Layout {
	return []Layout{
		{Name: "a root image in the container", Image: filepath.Join(s.Dir, "rootfs.img")},
		{Name: "the container is the root", Marks: []string{"proc", "usr"}},
	}
}

// Paths are the places where things are mounted, below one folder.
type Paths struct{ Base string }

// DefaultBase is the folder that KIWI's live systems know.
const DefaultBase = "/run/overlay"

// Device is a symbolic link to the device that is mounted as the ISO.
func (p Paths) Device() string { return filepath.Join(p.Base, "isodev") }

// ISO is where the ISO is mounted.
func (p Paths) ISO() string { return filepath.Join(p.Base, "live") }

// Container is where the container is mounted.
func (p Paths) Container() string { return filepath.Join(p.Base, "squashfs_container") }

// Root is where the read-only root is mounted.
func (p Paths) Root() string { return filepath.Join(p.Base, "rootfsbase") }

// A Medium is what holds an ISO.
type Medium struct {
	// Device holds it from its first byte on.
	Device string
	// ISO is the device that is mounted as the ISO; empty for Device.
	ISO string
	// Size in bytes is that of the ISO where it is shown by a loop device, because the kernel can mount neither of them: of a disk whose
	// partitions are in use, or whose sectors are larger than those of an ISO. 0 for no loop device.
	Size int64
	// Buffered reads through the page cache of Device, whose sectors are too large for what lies in an ISO.
	Buffered bool
}

// Environment is what the machine does for a live image.
type Environment struct {
	mount.Mounter
	loop.Attacher
	// LoadModule loads a driver, by its name or by "fs-" and the file system's.
	LoadModule func(name string) error
	// Open opens a device or a file for reading.
	Open func(path string) (File, error)
}

// A File is a device or a file that is looked into.
type File interface {
	ReadAt(p []byte, offset int64) (int, error)
	Close() error
}

// A Root is a mounted root.
type Root struct {
	// Path is where it is mounted, read-only.
	Path string
	// Layout says how it was found.
	Layout Layout
	// VolumeID of the ISO.
	VolumeID string
	// FileSystems names those of the container and, where there is one, of the root's image.
	FileSystems []string
	undo        []func() error
}

// Close unmounts everything that Mount mounted, in the reverse order.
func (r *Root) Close() error {
	var errs []error
	for i := len(r.undo) - 1; i >= 0; i-- {
		errs = append(errs, r.undo[i]())
	}
	r.undo = nil
	return errors.Join(errs...)
}

// NoRootError says that an ISO is no live ISO, or one of another layout.
type NoRootError struct {
	// Missing is what was looked for.
	Missing string
	// VolumeID of the ISO.
	VolumeID string
	err      error
}

// Error names what is missing, and which image it is missing from.
func (e *NoRootError) Error() string {
	return fmt.Sprintf("the ISO %q holds no live system: %s", e.VolumeID, e.Missing)
}

// Unwrap returns the cause.
func (e *NoRootError) Unwrap() error { return e.err }

// Mount mounts the live root of the ISO on m at the places of p, whose base folder exists. What it mounted
// before an error is unmounted again.
func Mount(s Spec, m Medium, p Paths, env Environment) (root *Root, err error) {
	r := &Root{Path: p.Root()}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close())
		}
	}()
	offset, size, err := r.locate(s, m.Device, env)
	if err != nil {
		return nil, err
	}
	if err := r.mountISO(m, p, env); err != nil {
		return nil, err
	}
	// The container is one piece of the device: a loop device on that piece reads it without a detour, and a second copy, through
	// the ISO's file system.
	container := loop.Config{File: m.Device, Offset: offset, Size: size, DirectIO: !m.Buffered}
	if err := r.mountLoop(container, p.Container(), env); err != nil {
		return nil, fmt.Errorf("mount the container %s: %w", filepath.Join(s.Dir, s.Container), err)
	}
	if r.Layout, err = detect(s, p.Container()); err != nil {
		var none *NoRootError
		if errors.As(err, &none) {
			none.VolumeID = r.VolumeID
		}
		return nil, err
	}
	if r.Layout.Image == "" {
		err = r.mount(mount.Point{Source: p.Container(), Target: p.Root(), Flags: mount.Bind}, env)
	} else {
		err = r.mountLoop(loop.Config{File: filepath.Join(p.Container(), r.Layout.Image), DirectIO: true}, p.Root(), env)
	}
	if err != nil {
		return nil, fmt.Errorf("mount the root: %w", err)
	}
	return r, nil
}

// locate finds the container on the device.
func (r *Root) locate(s Spec, device string, env Environment) (offset, size int64, err error) {
	f, err := env.Open(device)
	if err != nil {
		return 0, 0, fmt.Errorf("read the ISO: %w", err)
	}
	defer f.Close()
	image, err := iso.Open(f)
	if err != nil {
		return 0, 0, fmt.Errorf("read the ISO on %s: %w", device, err)
	}
	r.VolumeID = image.VolumeID
	name := filepath.Join(s.Dir, s.Container)
	offset, size, err = image.Find(name)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, 0, &NoRootError{Missing: "it has no file " + name, VolumeID: image.VolumeID, err: err}
	}
	return offset, size, err
}

func (r *Root) mountISO(m Medium, p Paths, env Environment) error {
	if err := env.LoadModule("fs-iso9660"); err != nil {
		return err
	}
	device := cmp.Or(m.ISO, m.Device)
	if m.Size > 0 {
		var err error
		if device, err = r.attach(loop.Config{File: m.Device, Size: m.Size, DirectIO: !m.Buffered}, env); err != nil {
			return err
		}
	}
	if err := os.Symlink(device, p.Device()); err != nil {
		return fmt.Errorf("name the ISO's device: %w", err)
	}
	r.undo = append(r.undo, func() error { return os.Remove(p.Device()) })
	return r.mount(mount.Point{Source: device, Target: p.ISO(), Type: "iso9660", Flags: mount.ReadOnly}, env)
}

// mountLoop mounts the file system that a loop device shows.
func (r *Root) mountLoop(c loop.Config, target string, env Environment) error {
	device, err := r.attach(c, env)
	if err != nil {
		return err
	}
	f, err := env.Open(device)
	if err != nil {
		return err
	}
	kind, err := probe.FileSystem(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := env.LoadModule("fs-" + kind); err != nil {
		return err
	}
	r.FileSystems = append(r.FileSystems, kind)
	return r.mount(mount.Point{Source: device, Target: target, Type: kind, Flags: mount.ReadOnly}, env)
}

// attach makes a loop device.
func (r *Root) attach(c loop.Config, env Environment) (string, error) {
	if err := env.LoadModule("loop"); err != nil {
		return "", err
	}
	device, err := env.Attach(c)
	if err == nil {
		r.undo = append(r.undo, func() error { return env.Detach(device) })
	}
	return device, err
}

func (r *Root) mount(point mount.Point, env Environment) error {
	if err := os.MkdirAll(point.Target, 0o755); err != nil {
		return err
	}
	if err := env.Mount(point); err != nil {
		return err
	}
	r.undo = append(r.undo, func() error { return env.Unmount(point.Target) })
	return nil
}

// detect tells the layout of the container that is mounted at folder.
func detect(s Spec, folder string) (Layout, error) {
	for _, layout := range Layouts(s) {
		for _, name := range append([]string{layout.Image}, layout.Marks...) {
			if name == "" {
				continue
			}
			if _, err := os.Lstat(filepath.Join(folder, name)); err == nil {
				return layout, nil
			} else if !errors.Is(err, fs.ErrNotExist) {
				return Layout{}, fmt.Errorf("look into the container: %w", err)
			}
		}
	}
	missing := fmt.Sprintf("its %s holds neither %s nor a root file system (proc, usr)", filepath.Join(s.Dir, s.Container), filepath.Join(s.Dir, "rootfs.img"))
	return Layout{}, &NoRootError{Missing: missing, err: fs.ErrNotExist}
}
