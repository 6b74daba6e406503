// Package console writes for a person at a serial line or a screen, and for the log that a serial line often is.
//
// Every line carries the seconds since the kernel started, in the kernel's own form, and goes to all terminals that the kernel
// has as consoles, not only to the last one, and to the kernel's log (dmesg). There it has the level of debugging, so that the
// kernel does not print it a second time.
package console

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A Verbosity is how much is written to the terminals. The kernel's log gets everything but steps.
type Verbosity int

// The verbosities, each with what the ones before have.
const (
	Quiet  Verbosity = iota // stages, progress, warnings, failures
	Normal                  // remarks
	Debug                   // steps and decisions
)

// A Terminal is a place to write to.
type Terminal struct {
	io.Writer
	// InPlace says that a line can be rewritten: a screen, in contrast to a serial line, which may be a log.
	InPlace bool
}

// A Console writes. Its methods may be called by several goroutines.
type Console struct {
	now func() time.Duration
	// refresh, unless nil, returns the terminals when they are others than the last time.
	refresh   func() (terminals []Terminal, changed bool)
	mu        sync.Mutex
	terminals []Terminal
	kmsg      io.Writer
	log       io.Writer
	verbosity Verbosity
	progress  progress
}

// New returns a Console for the terminals and, unless nil, the kernel's log. now tells the time since the kernel started.
func New(terminals []Terminal, kmsg io.Writer, now func() time.Duration) *Console {
	return &Console{now: now, terminals: terminals, kmsg: kmsg, verbosity: Normal}
}

// Uptime is the time since the kernel started, time asleep included (CLOCK_BOOTTIME).
func Uptime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return 0 // no Linux that runs Go lacks this clock
	}
	return time.Duration(t.Nano())
}

// SetVerbosity changes how much is written from here on.
func (c *Console) SetVerbosity(v Verbosity) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.verbosity = v
}

// Stagef tells what a stage came to. It is always written.
func (c *Console) Stagef(stage, format string, args ...any) {
	c.line(Quiet, stage+": "+fmt.Sprintf(format, args...))
}

// Warnf tells of something that did not stop the boot but is not as asked for. It is always written.
func (c *Console) Warnf(format string, args ...any) {
	c.line(Quiet, "warning: "+fmt.Sprintf(format, args...))
}

// Failf tells what stopped the boot: where, why, and, unless hint is empty, what to do about it.
func (c *Console) Failf(stage string, err error, hint string) {
	c.line(Quiet, fmt.Sprintf("%s FAILED: %v", stage, err))
	if hint != "" {
		c.line(Quiet, "hint: "+hint)
	}
}

// Promptf tells a person what can be done now. It is always written.
func (c *Console) Promptf(format string, args ...any) { c.line(Quiet, fmt.Sprintf(format, args...)) }

// Remarkf tells something good to know.
func (c *Console) Remarkf(format string, args ...any) { c.line(Normal, fmt.Sprintf(format, args...)) }

// Debugf tells a step or a decision.
func (c *Console) Debugf(format string, args ...any) {
	c.line(Debug, "debug: "+fmt.Sprintf(format, args...))
}

// line writes text, which may have several lines, to all who are to see it.
func (c *Console) line(v Verbosity, text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.look()
	stamp := stamp(c.now())
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		line = printable(line)
		if c.log != nil {
			fmt.Fprintf(c.log, "%s liveboot: %s\n", stamp, line)
		}
		if v < Debug && c.kmsg != nil {
			// 31 is facility daemon (3), severity debug (7), in the encoding of syslog(3).
			fmt.Fprintf(c.kmsg, "<31>liveboot: %s", line)
		}
		if v > c.verbosity {
			continue
		}
		for i, t := range c.terminals {
			fmt.Fprintf(t, "%s%s liveboot: %s\r\n", c.progress.clear(i), stamp, line)
		}
	}
}

// look takes up terminals that appeared meanwhile.
func (c *Console) look() {
	if c.refresh == nil {
		return
	}
	if terminals, changed := c.refresh(); changed {
		c.terminals = terminals
	}
}

// stamp writes a time as the kernel does, with two places instead of six.
func stamp(t time.Duration) string {
	hundredths := t.Milliseconds() / 10
	return fmt.Sprintf("[%5d.%02d]", hundredths/100, hundredths%100)
}

// printable replaces control characters: an error may quote what a server sent, and that is not to steer the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}
