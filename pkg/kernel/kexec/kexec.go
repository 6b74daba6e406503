// Package kexec starts another kernel from the running one: kexec_file_load(2) puts it into memory, reboot(2) jumps to it.
//
// What is loaded stays in the kernel when the process that loaded it ends, so that process 1 can execute what its worker has prepared.
package kexec

import (
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// CommandLineMax is how long a command line may be, in bytes without the NUL at its end: COMMAND_LINE_SIZE of x86 and arm64 less one. A
// kernel that is to be loaded may tell its own limit (pkg/kernelimage).
const CommandLineMax = 2047

// A Loader prepares another kernel. System is the kernel's.
type Loader interface {
	// Load puts a kernel with its initrd, which may be nil, and its command line into memory, in place of what was loaded before. Its error
	// is a *LoadError. The files may be closed afterwards.
	Load(kernel, initrd *os.File, commandLine string) error
}

// System is the Loader of the running kernel.
type System struct{}

// Load calls kexec_file_load(2). The kernel takes no file that is open for writing: NewFile makes one that is not.
func (System) Load(kernel, initrd *os.File, commandLine string) error {
	if len(commandLine) > CommandLineMax {
		return &LoadError{Reason: CommandLine, Err: unix.EINVAL, detail: fmt.Sprintf("it has %d bytes, of at most %d", len(commandLine), CommandLineMax)}
	}
	fd, flags := 0, unix.KEXEC_FILE_NO_INITRAMFS
	if initrd != nil {
		fd, flags = int(initrd.Fd()), 0
	}
	if err := unix.KexecFileLoad(int(kernel.Fd()), fd, commandLine, flags); err != nil {
		return explain(os.DirFS("/"), lockdown, err)
	}
	return nil
}

// Unload calls kexec_file_load(2) with KEXEC_FILE_UNLOAD, which frees what Load took. It is no error if nothing is loaded.
func (System) Unload() error {
	if err := unix.KexecFileLoad(-1, -1, "", unix.KEXEC_FILE_UNLOAD); err != nil {
		return fmt.Errorf("unload the other kernel: %w", err)
	}
	return nil
}

// Execute jumps to the kernel that is loaded. It returns only with an error.
func Execute() error {
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_KEXEC); err != nil {
		return fmt.Errorf("start the other kernel: %w", err)
	}
	return nil
}

// Loaded reports whether a kernel is loaded; root holds "sys". A kernel that cannot do kexec has none.
func Loaded(root fs.FS) bool { return setting(root, "sys/kernel/kexec_loaded") == "1" }

// setting is a file of one line in /sys or /proc; empty if it is not there.
func setting(root fs.FS, name string) string {
	b, err := fs.ReadFile(root, name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
