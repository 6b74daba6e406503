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
	// Options, as behind mount(8)'s -o, are put before those that make the overlay; empty for none.
	Options string
}

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

// Mount lays a writable layer in base/overlayfs over the read-only root lower and mounts both as one at target.
func Mount(s Spec, lower, base, target string, env Environment) error {
	upper, work := filepath.Join(base, "overlayfs", "rw"), filepath.Join(base, "overlayfs", "work")
	if err := errors.Join(os.MkdirAll(upper, 0o755), os.MkdirAll(work, 0o755), os.MkdirAll(target, 0o755)); err != nil {
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
