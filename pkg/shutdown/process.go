package shutdown

import (
	"syscall"
	"unsafe"
)

// inherited is more than the files that anybody leaves open for the program.
const inherited = 64

// Become makes the calling process fit for being the last one: signals do not end it, it says what it says on the console, holds no
// folder of the old root, and sees the kernel's files.
func Become() {
	ignoreSignals()
	_ = syscall.Chdir("/")
	// systemd has bound these here, where it could.
	for _, kind := range []struct{ point, name string }{{"/proc", "proc"}, {"/sys", "sysfs"}} {
		if !exists(kind.point + "/fs") {
			_ = syscall.Mount(kind.name, kind.point, kind.name, 0, "")
		}
	}
	// What systemd left open, of the old root's /dev for one, would keep that mounted.
	for fd := 3; fd < inherited; fd++ {
		_ = syscall.Close(fd)
	}
	console, err := open("/dev/console", syscall.O_RDWR|syscall.O_NOCTTY)
	if err != nil {
		return // a machine without a console
	}
	for fd := range 3 {
		_ = syscall.Dup3(console, fd, 0)
	}
}

// ignoreSignals keeps the Go runtime from ending process 1, and with it the kernel, for a signal that by default ends a process: a
// hangup comes from a console, an interrupt from Ctrl+Alt+Delete.
func ignoreSignals() {
	const ignore = 1                     // SIG_IGN
	action := [4]uint64{ignore, 0, 0, 0} // struct sigaction: handler, flags, restorer, mask
	for _, signal := range []syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM} {
		_, _, _ = syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(signal), uintptr(unsafe.Pointer(&action)), 0, unsafe.Sizeof(action[3]), 0, 0)
	}
}

// Sleep sleeps for a tick.
func Sleep() {
	left := syscall.NsecToTimespec(1e9 / Second)
	for syscall.Nanosleep(&left, &left) == syscall.EINTR {
	}
}
