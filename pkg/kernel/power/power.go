// Package power ends the kernel's run by reboot(2).
package power

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// An Action is a way to end.
type Action string

// The actions, spelled as in rd.emergency=.
const (
	Reboot   Action = "reboot"
	PowerOff Action = "poweroff"
	Halt     Action = "halt"
)

// flushTime is how long what is dirty may take.
const flushTime = 10 * time.Second

// Do flushes what is dirty and ends the kernel's run. It returns only with an error; then, where an action is not to be
// had (a machine that cannot switch itself off), the caller may try another.
func Do(a Action) error {
	commands := map[Action]int{
		Reboot:   unix.LINUX_REBOOT_CMD_RESTART,
		PowerOff: unix.LINUX_REBOOT_CMD_POWER_OFF,
		Halt:     unix.LINUX_REBOOT_CMD_HALT,
	}
	command, ok := commands[a]
	if !ok {
		return fmt.Errorf("end the kernel: %q is not one of reboot, poweroff, halt", string(a))
	}
	flushed := make(chan struct{})
	go func() {
		unix.Sync()
		close(flushed)
	}()
	select {
	case <-flushed:
	case <-time.After(flushTime): // a disk that is dead
	}
	if err := unix.Reboot(command); err != nil {
		return fmt.Errorf("%s: %w", a, err)
	}
	return nil
}
