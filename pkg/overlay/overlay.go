// Package overlay lays a writable layer over a read-only root, by the kernel's overlayfs (Documentation/filesystems/overlayfs.rst).
package overlay

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/liveboot/liveboot/pkg/kernel/mount"
)

// Source is the name under which the root stands in /proc/mounts; software in KIWI's images looks for it.
const Source = "LiveOS_rootfs"

// A Spec says how the layer is made.
type Spec struct {
	// Size bounds the tmpfs that holds the layer, as tmpfs(5) writes it: bytes, or with k, m, g, or per cent of the memory.
	Size string
	// Persistence says whether what is written is kept.
	Persistence Persistence
	// FileSystem is made for a writable layer that is kept: "ext4" or "xfs".
	FileSystem string
	// Options, as behind mount(8)'s -o, are put before those that make the overlay; empty for none.
	Options string
}

// Persistence says whether what the live system writes is kept on the image's disk.
type Persistence int

const (
	// Volatile keeps it in memory.
	Volatile Persistence = iota
	// Persistent keeps it, or the boot stops.
	Persistent
	// PersistentIfPossible keeps it, or goes on without.
	PersistentIfPossible
)

// A Layer is the file system that keeps what the live system writes.
type Layer struct {
	// Device is its path, FileSystem the kernel's name of what is on it.
	Device, FileSystem string
}

// LayerError says that a layer could not be mounted.
type LayerError struct {
	Layer
	err error
}

// Error names the device.
func (e *LayerError) Error() string {
	return fmt.Sprintf("mount the writable layer %s (%s): %v", e.Device, e.FileSystem, e.err)
}

// Unwrap returns the cause.
func (e *LayerError) Unwrap() error { return e.err }

// Environment is what the machine does for an overlay.
type Environment struct {
	mount.Mounter
	// LoadModule loads a driver, by its name or by "fs-" and the file system's.
	LoadModule func(name string) error
}

// MountTmpfs mounts the tmpfs that holds the layer, and all that belongs to the live system's root, at base.
func MountTmpfs(s Spec, base string, env Environment) error {
	if err := os.MkdirAll(base, 0o755); err != nil {
		return fmt.Errorf("mount the overlay's tmpfs: %w", err)
	}
	err := env.Mount(mount.Point{Source: "tmpfs", Target: base, Type: "tmpfs", Data: "mode=0755,size=" + s.Size})
	if err != nil {
		return fmt.Errorf("mount the overlay's tmpfs: %w", err)
	}
	return nil
}

// MountLayer mounts l where Mount puts the writable layer. A journal that needs it is replayed by the kernel. Its error is a *LayerError.
func MountLayer(l Layer, base string, env Environment) error {
	target := layerPath(base)
	err := os.MkdirAll(target, 0o755)
	if err == nil {
		err = env.LoadModule("fs-" + l.FileSystem)
	}
	if err == nil {
		err = env.Mount(mount.Point{Source: l.Device, Target: target, Type: l.FileSystem})
	}
	if err == nil {
		// One that is full, or that the kernel took to be broken, shows here.
		if err = makeFolders(base); err != nil {
			err = errors.Join(err, env.Unmount(target))
		}
	}
	if err != nil {
		return &LayerError{l, err}
	}
	return nil
}

// makeFolders makes those of the writable layer.
func makeFolders(base string) error {
	upper, work := folders(base)
	return errors.Join(os.MkdirAll(upper, 0o755), os.MkdirAll(work, 0o755))
}

func folders(base string) (upper, work string) {
	return filepath.Join(layerPath(base), "rw"), filepath.Join(layerPath(base), "work")
}

// layerPath is where the file system of the writable layer is mounted; without one it is a folder of the tmpfs.
func layerPath(base string) string { return filepath.Join(base, "overlayfs") }

// Mount lays a writable layer in base/overlayfs over the read-only root lower and mounts both as one at target.
func Mount(s Spec, lower, base, target string, env Environment) error {
	upper, work := folders(base)
	if err := errors.Join(makeFolders(base), os.MkdirAll(target, 0o755)); err != nil {
		return fmt.Errorf("mount the overlay: %w", err)
	}
	if err := env.LoadModule("fs-overlay"); err != nil {
		return fmt.Errorf("mount the overlay: %w", err)
	}
	options := []string{"lowerdir=" + lower, "upperdir=" + upper, "workdir=" + work}
	flags, own := mount.ParseOptions(s.Options)
	if own != "" {
		options = append([]string{own}, options...)
	}
	if err := env.Mount(mount.Point{Source: Source, Target: target, Type: "overlay", Flags: flags, Data: strings.Join(options, ",")}); err != nil {
		return fmt.Errorf("mount the overlay: %w", err)
	}
	return nil
}
