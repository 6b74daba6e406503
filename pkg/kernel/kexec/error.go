package kexec

import (
	"errors"
	"io/fs"
	"strings"

	"golang.org/x/sys/unix"
)

// A Reason is why a kernel was not loaded.
type Reason int

// The reasons.
const (
	// Other is what is explained nowhere.
	Other Reason = iota
	// Lockdown: the running kernel is locked down and does not trust the file.
	Lockdown
	// Disabled: sysctl kernel.kexec_load_disabled is 1, or kexec_load_limit_reboot is used up.
	Disabled
	// NotPermitted: the process lacks CAP_SYS_BOOT, or a security module says no.
	NotPermitted
	// Signature: the file's signature is missing, damaged, or made with a key that the running kernel does not trust.
	Signature
	// Unsupported: the running kernel was built without kexec_file_load(2).
	Unsupported
	// Format: the file is no kernel that the running one can start.
	Format
	// CommandLine: the command line is too long.
	CommandLine
	// Busy: another one is loading or executing a kernel.
	Busy
	// Memory: kernel and initrd do not fit into the memory that is free, or into one piece of it.
	Memory
)

// String says it for people, with what to do.
func (r Reason) String() string {
	switch r {
	case Lockdown:
		return "the running kernel is locked down, as with Secure Boot, and takes only kernels with a signature that it trusts"
	case Disabled:
		return "it was forbidden until the machine starts again (sysctl kernel.kexec_load_disabled)"
	case NotPermitted:
		return "it is not permitted: the process lacks CAP_SYS_BOOT, or a security module forbids it"
	case Signature:
		return "the running kernel does not trust the other one's signature, or there is none"
	case Unsupported:
		return "the running kernel was built without kexec_file_load (CONFIG_KEXEC_FILE)"
	case Format:
		return "it is no kernel that the running one can start: it is damaged, or for another architecture"
	case CommandLine:
		return "its command line is too long"
	case Busy:
		return "another kernel is being loaded or started at this moment"
	case Memory:
		return "there is not enough free memory for the other kernel and its initramfs"
	}
	return "the running kernel refuses it"
}

// A LoadError says why a kernel was not loaded.
type LoadError struct {
	Reason Reason
	// Err is the error of kexec_file_load(2).
	Err error

	detail string
}

// Error says what the kernel's number means here.
func (e *LoadError) Error() string {
	s := "load the other kernel: " + e.Reason.String()
	if e.detail != "" {
		s += " (" + e.detail + ")"
	}
	return s + ": " + e.Err.Error()
}

// Unwrap returns the kernel's error.
func (e *LoadError) Unwrap() error { return e.Err }

// Refused reports whether the running kernel could have loaded the file, but is not allowed to: no other file of the same origin will do.
func (e *LoadError) Refused() bool {
	switch e.Reason {
	case Lockdown, Disabled, NotPermitted, Signature:
		return true
	}
	return false
}

// explain finds the reason behind an error of kexec_file_load(2), with the settings in /proc below root, and the state of the lockdown.
func explain(root fs.FS, lockdown func() string, err error) *LoadError {
	e := &LoadError{Err: err}
	var errno unix.Errno
	if !errors.As(err, &errno) {
		return e
	}
	switch errno {
	case unix.EPERM, unix.EACCES:
		e.Reason, e.detail = forbidden(root, lockdown)
	case unix.EKEYREJECTED, unix.ENOKEY, unix.EBADMSG, unix.EKEYEXPIRED, unix.EKEYREVOKED, unix.ENODATA, unix.ENOPKG:
		e.Reason = Signature
	case unix.ENOSYS, unix.EOPNOTSUPP:
		e.Reason = Unsupported
	case unix.ENOEXEC, unix.EINVAL, unix.ELIBBAD, unix.EFBIG:
		e.Reason = Format
	case unix.ETXTBSY:
		e.detail = "the file is open for writing"
	case unix.EBUSY:
		e.Reason = Busy
	case unix.ENOMEM, unix.EADDRNOTAVAIL:
		e.Reason = Memory
	}
	return e
}

// forbidden tells what forbids to load a kernel. Lockdown is looked at last: while it is on, a file that is trusted is loaded all the same.
func forbidden(root fs.FS, lockdown func() string) (r Reason, detail string) {
	if setting(root, "proc/sys/kernel/kexec_load_disabled") == "1" {
		return Disabled, ""
	}
	if setting(root, "proc/sys/kernel/kexec_load_limit_reboot") == "0" {
		return Disabled, "kernel.kexec_load_limit_reboot is 0"
	}
	if level := lockdownLevel(lockdown()); level != "" {
		return Lockdown, "lockdown is " + level
	}
	return NotPermitted, ""
}

// lockdownLevel reads "none [integrity] confidentiality", where the one in brackets is on; empty is none.
func lockdownLevel(state string) string {
	_, rest, _ := strings.Cut(state, "[")
	if level, _, ok := strings.Cut(rest, "]"); ok && level != "none" {
		return level
	}
	return ""
}
