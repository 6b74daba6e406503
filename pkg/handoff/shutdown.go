package handoff

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// ShutdownProgram is where the initramfs keeps the program that InstallShutdown installs.
const ShutdownProgram = "/usr/lib/liveboot/shutdown"

// InstallShutdown copies the program that takes the live system down from the initramfs at root to run/initramfs/shutdown, where
// systemd-shutdown looks for it (https://systemd.io/INITRD_INTERFACE), and tells systemd to leave the mounts below run/overlay to it.
// It has to be done before SwitchRoot deletes the initramfs, and run must not be mounted noexec. Other init systems look at nothing of this.
//
// An image that was built without the program has none: the error is then fs.ErrNotExist.
func InstallShutdown(root, run string) error {
	folder := filepath.Join(run, "initramfs")
	// systemd makes the folder a mount itself and pivots to it. Not each of its versions makes all the folders in it to which it binds
	// the kernel's file systems, and the one that gets the old root.
	for _, name := range []string{"dev", "oldroot", "proc", "run", "sys"} {
		if err := os.MkdirAll(filepath.Join(folder, name), 0o755); err != nil {
			return fmt.Errorf("install the shutdown program: %w", err)
		}
	}
	if err := copyProgram(filepath.Join(root, ShutdownProgram), filepath.Join(folder, "shutdown")); err != nil {
		return fmt.Errorf("install the shutdown program: %w", err)
	}
	if err := keepMounts(run); err != nil {
		return fmt.Errorf("keep systemd from unmounting what the root is made of: %w", err)
	}
	return nil
}

// keepMounts writes drop-ins (systemd.unit(5)) for the units of /run/overlay and all mounts below it. By default systemd stops each mount at the
// end; these are in use as long as its own root is, and a person would see failures where nothing is wrong.
func keepMounts(run string) error {
	for _, unit := range []string{"run-overlay.mount.d", "run-overlay-.mount.d"} {
		folder := filepath.Join(run, "systemd/system", unit)
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(folder, "10-liveboot.conf"), []byte("[Unit]\nDefaultDependencies=no\n"), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// copyProgram makes the copy appear whole or not at all: half a program that can be executed would be worse than none.
func copyProgram(from, to string) (err error) {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.CreateTemp(filepath.Dir(to), ".shutdown-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(target.Name()))
		}
	}()
	_, err = io.Copy(target, source)
	if err = errors.Join(err, target.Chmod(0o755), target.Close()); err != nil {
		return err
	}
	return os.Rename(target.Name(), to)
}
