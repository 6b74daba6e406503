package daemon

import (
	"bytes"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/kernel/power"
)

// flushTime is how long the disks may take for what is dirty, at most: for some GiB, and not for ever where one of them is dead.
const flushTime = 30 * time.Second

// A machine is what is ended as the last resort.
type machine struct {
	say   func(text string)
	flush func()
	power func(power.Action) error
	kexec func() error
}

// end writes to the disks what is dirty, if they take it, and ends the machine. It returns where the kernel refuses.
func (m machine) end(v verb) {
	flushed := make(chan struct{})
	go func() {
		m.flush()
		close(flushed)
	}()
	select {
	case <-flushed:
	case <-time.After(flushTime):
		m.say("the disks have not taken everything in " + flushTime.String())
	}
	var err error
	switch v {
	case toPowerOff:
		if err = m.power(power.PowerOff); err != nil {
			err = m.power(power.Halt)
		}
	case toKexec:
		if err = m.kexec(); err != nil {
			err = m.power(power.Reboot)
		}
	default:
		err = m.power(power.Action(v))
	}
	if err != nil {
		m.say("the machine cannot be ended, switch it off by hand: " + err.Error())
	}
}

// flushAll writes to the disks what is dirty, and makes their file systems read-only, so that nothing is to be repaired: the writable layer's,
// too, which stays mounted.
func flushAll() {
	unix.Sync()
	log, err := os.OpenFile("/dev/kmsg", os.O_RDONLY, 0)
	if err != nil {
		return
	}
	defer log.Close()
	if _, err := log.Seek(0, 2); err != nil { // from the end
		return
	}
	// What SysRq+U does (Documentation/admin-guide/sysrq.rst). The kernel does it in the background, and tells its log when it is done.
	if err := os.WriteFile("/proc/sysrq-trigger", []byte("u"), 0); err != nil {
		return
	}
	record := make([]byte, 8192) // CONSOLE_EXT_LOG_MAX: what a shorter buffer cannot hold is an error
	for {
		n, err := log.Read(record)
		// The log may go past us: the next read goes on where it begins.
		if err != nil && !errors.Is(err, unix.EPIPE) || bytes.Contains(record[:n], []byte("Emergency Remount complete")) {
			return
		}
	}
}
