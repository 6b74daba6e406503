package supervisor

import (
	"errors"
	"math/rand/v2"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/console"
	"github.com/liveboot/liveboot/pkg/kernel/power"
	"github.com/liveboot/liveboot/pkg/plan"
)

// shells returns the programs that can be the rescue shell, the best first.
func shells() []string { return []string{"/bin/sh", "/bin/defaultsh", "/bbin/gosh"} }

func shellEnvironment() []string {
	return []string{"PATH=/bbin:/bin:/sbin:/usr/bin:/usr/sbin", "HOME=/root", "TERM=linux", "USER=root"}
}

// rescue is what is left after a failure: a shell for whoever is there, and the end of this run of the machine. It does not return.
func (s *supervisor) rescue() {
	r := s.policy.Rescue
	if r.Shell != plan.ShellNever {
		s.startDrivers()
	}
	if r.Shell == plan.ShellAtOnce {
		s.shell(s.firstTTY())
	}
	for {
		tty, asked := s.countDown(r)
		if !asked {
			break
		}
		s.shell(tty)
	}
	s.ui.Promptf("%s now", r.Action)
	for _, action := range []power.Action{r.Action, power.Reboot, power.Halt} {
		if err := power.Do(action); err != nil {
			s.ui.Warnf("%v", err)
		}
	}
	select {} // process 1 must not end
}

// DriversArg is the argument with which process 1 starts the process that loads drivers for who looks at the machine.
const DriversArg = "-drivers"

// startDrivers sees to it that a person has a keyboard and disks, also ones that are plugged in only now. The boot may have stopped before it came to any
// driver, and its process, which listened for devices, is gone.
func (s *supervisor) startDrivers() {
	_, _, err := s.children.start(self, []string{"liveboot", DriversArg}, &os.ProcAttr{
		Dir: "/", Env: shellEnvironment(), Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
	})
	if err != nil {
		s.ui.Warnf("no drivers for devices that nothing was loaded for yet (load them in the shell, with modprobe): %v", err)
	}
}

// reminders are the seconds left at which the way out is shown again.
func reminders() map[int]bool { return map[int]bool{30: true, 10: true, 5: true} }

// countDown waits for somebody to press Enter on one of the consoles and returns that one, or false when the time is over.
func (s *supervisor) countDown(r plan.Rescue) (console.TTY, bool) {
	ttys := s.ttys()
	offered := r.Shell != plan.ShellNever && len(ttys) > 0
	left := -1
	if r.Delay >= 0 {
		delay := r.Delay
		if r.Jitter > 0 {
			delay += rand.N(r.Jitter)
		}
		left = int(delay.Seconds())
	}
	var pressed <-chan console.TTY
	if offered {
		var stop func()
		pressed, stop = console.WaitForEnter(ttys)
		defer stop()
	}
	s.offer(r, offered, left)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for left != 0 {
		select {
		case tty := <-pressed:
			return tty, true
		case <-tick.C:
			if left > 0 {
				left--
				if reminders()[left] {
					s.offer(r, offered, left)
				}
			}
		}
	}
	return console.TTY{}, false
}

func (s *supervisor) offer(r plan.Rescue, offered bool, left int) {
	switch {
	case offered && left < 0:
		s.ui.Promptf("press Enter for a shell")
	case offered && left > 0:
		s.ui.Promptf("press Enter for a shell; %s in %d s", r.Action, left)
	case left > 0:
		s.ui.Promptf("%s in %d s", r.Action, left)
	}
}

// firstTTY is the console that /dev/console stands for: the last one on the kernel's list.
func (s *supervisor) firstTTY() console.TTY {
	ttys := s.ttys()
	if len(ttys) == 0 {
		return console.TTY{}
	}
	return ttys[len(ttys)-1]
}

// shell runs a shell on tty until the person leaves it.
func (s *supervisor) shell(tty console.TTY) {
	if tty.Path == "" {
		s.ui.Warnf("no shell: the machine has no console")
		return
	}
	terminal, err := os.OpenFile(tty.Path, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		s.ui.Warnf("no shell: %v", err)
		return
	}
	defer terminal.Close()
	console.Sane(terminal)
	attr := &os.ProcAttr{
		Dir:   "/",
		Env:   shellEnvironment(),
		Files: []*os.File{terminal, terminal, terminal},
		Sys:   &unix.SysProcAttr{Setsid: true, Setctty: true},
	}
	var errs []error
	for _, program := range shells() {
		s.ui.Promptf("shell on %s; leave it with exit. The kernel's messages: dmesg, what was to be done: cat /proc/cmdline", tty.Path)
		// The busybox finds its command by following the links from its own name: that must be the path.
		_, end, err := s.children.start(program, []string{program}, attr)
		if err == nil {
			<-end
			return
		}
		errs = append(errs, err)
	}
	s.ui.Warnf("no shell: %v", errors.Join(errs...))
}
