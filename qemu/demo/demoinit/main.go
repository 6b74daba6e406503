// Demoinit is process 1 of the demo's live system: it says what happened on the way and opens a shell.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// shell is the shell under its own name, by which the busybox knows what it is to be.
const shell = "/bbin/gosh"

func main() {
	console, err := os.OpenFile("/dev/console", os.O_RDWR, 0)
	if err != nil {
		console = os.Stdout
	}
	fmt.Fprint(console, greeting(os.DirFS("/")))
	if err := runShell(console); err != nil {
		fmt.Fprintf(console, "\nshell: %v\n", err)
	}
	fmt.Fprintln(console, "\nPowering off.")
	unix.Sync()
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF); err != nil {
		fmt.Fprintln(console, "power off:", err)
	}
	select {}
}

// runShell opens a shell with the console as its controlling terminal, and waits until the person leaves it.
func runShell(console *os.File) error {
	cmd := exec.Command(shell)
	cmd.Dir = "/root"
	cmd.Env = []string{"PATH=/bbin:/bin:/sbin:/usr/bin:/usr/sbin", "HOME=/root", "TERM=" + term()}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = console, console, console
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	// Process 1 inherits the orphans of everything that the person starts.
	for {
		pid, err := unix.Wait4(-1, nil, 0, nil)
		if pid == cmd.Process.Pid {
			return nil
		}
		if err != nil && err != unix.EINTR {
			return fmt.Errorf("wait: %w", err)
		}
	}
}

// term is the kind of terminal, which the kernel hands to process 1 for consoles that are screens.
func term() string {
	if t := os.Getenv("TERM"); t != "" {
		return t
	}
	return "vt100"
}
