package kexec

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/kernel/mount"
)

// lockdown is what the running kernel says of its lockdown (kernel_lockdown(7)); empty where it does not. The file system that says it is mounted
// for as long as it is read: an initramfs has no other use for it.
func lockdown() string {
	const securityfs, file = "/sys/kernel/security", "sys/kernel/security/lockdown"
	root := os.DirFS("/")
	if state := setting(root, file); state != "" {
		return state
	}
	kernel := mount.System{}
	if err := kernel.Mount(mount.Point{Source: "securityfs", Target: securityfs, Type: "securityfs", Flags: mount.NoSUID | mount.NoDev | mount.NoExec}); err != nil {
		return ""
	}
	defer unix.Unmount(securityfs, unix.MNT_DETACH)
	return setting(root, file)
}
