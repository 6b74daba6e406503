// Package clock reads and sets the kernel's wall clock, CLOCK_REALTIME of clock_settime(2). The battery-backed clock of the machine
// is left alone: the live system looks after that.
package clock

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// System is the kernel's clock.
type System struct{}

// Now returns the time.
func (System) Now() time.Time { return time.Now() }

// Set makes the clock show t, from this moment on.
func (System) Set(t time.Time) error {
	ts, err := unix.TimeToTimespec(t)
	if err == nil {
		err = unix.ClockSettime(unix.CLOCK_REALTIME, &ts)
	}
	if err != nil {
		return fmt.Errorf("set clock to %s: %w", t.UTC().Format(time.RFC3339), err)
	}
	return nil
}
