package shutdown

import (
	"syscall"
	"unsafe"
)

// An End is how the kernel's run ends.
type End struct {
	// Verb is systemd's: reboot, poweroff, halt, kexec, or exit.
	Verb string
	// Argument is what the firmware is told with a reboot, as in "systemctl reboot --reboot-argument="; most know none.
	Argument string
}

// ReadEnd takes the verb from the program's command line, a file like /proc/self/cmdline, and what belongs to it from where systemd leaves it
// below the folder run. It is to be called while that is still mounted. What is not known is a reboot: a machine that nobody can reach any more
// comes back.
func ReadEnd(commandLine, run string) End {
	e := End{Verb: "reboot"}
	if line, err := readFile(commandLine); err == nil {
		_, arguments, _ := cut(string(line), "\x00")
		if verb, _, ok := cut(arguments, "\x00"); ok {
			e.Verb = verb
		}
	}
	if argument, err := readFile(run + "/systemd/reboot-param"); err == nil {
		e.Argument, _, _ = cut(string(argument), "\n")
	}
	return e
}

// commands returns those of reboot(2) that do what e says, the best first: where one cannot be had, the next is tried.
func (e End) commands() []int {
	switch e.Verb {
	case "poweroff", "exit": // the machine itself has nowhere to exit to
		return []int{syscall.LINUX_REBOOT_CMD_POWER_OFF, syscall.LINUX_REBOOT_CMD_HALT}
	case "halt":
		return []int{syscall.LINUX_REBOOT_CMD_HALT}
	case "kexec":
		return []int{syscall.LINUX_REBOOT_CMD_KEXEC, syscall.LINUX_REBOOT_CMD_RESTART}
	}
	if e.Argument != "" {
		return []int{syscall.LINUX_REBOOT_CMD_RESTART2, syscall.LINUX_REBOOT_CMD_RESTART}
	}
	return []int{syscall.LINUX_REBOOT_CMD_RESTART}
}

// Do ends the kernel's run. It returns only when the kernel refuses.
func (e End) Do() error {
	var last error
	argument, err := syscall.BytePtrFromString(e.Argument)
	if err != nil {
		argument = new(byte)
	}
	for _, command := range e.commands() {
		_, _, errno := syscall.Syscall6(syscall.SYS_REBOOT, syscall.LINUX_REBOOT_MAGIC1, syscall.LINUX_REBOOT_MAGIC2, uintptr(command),
			uintptr(unsafe.Pointer(argument)), 0, 0)
		if errno != 0 {
			last = errno
		}
	}
	return last
}
