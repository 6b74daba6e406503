package daemon

import (
	"context"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/kernel/power"
)

const (
	// repeat is how often it is said that the image is wrong, and grace how long before the machine is rebooted for it.
	repeat = 10 * time.Minute
	grace  = 10 * time.Second
)

// alarm says on every terminal and in the kernel's log that the image is not the one that it should be: at once and then every ten minutes,
// or until the machine reboots, where that is asked for.
func (d *daemon) alarm(ctx context.Context, m Mismatch) {
	for {
		d.teller.tell(Message{Mismatch: &m})
		d.shout(m.String())
		pause := repeat
		if m.Reboot {
			go unix.Sync() // which may not return where a disk is dead
			pause = grace
		}
		if sleep(ctx, pause) != nil {
			return
		}
		if !m.Reboot {
			continue
		}
		err := d.power(power.Reboot)
		if err == nil {
			return
		}
		m.Reboot = false
		d.loud("the machine cannot be rebooted, reboot it by hand: " + err.Error())
	}
}

// shout writes a line to the terminals of those who are logged in below /dev. The consoles have it from the kernel's log. It waits for
// nobody.
func shout(text string) {
	for _, name := range terminals("/dev") {
		fd, err := unix.Open(name, unix.O_WRONLY|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			continue // it was closed meanwhile
		}
		_, _ = unix.Write(fd, []byte("\r\n\a*** liveboot: "+text+" ***\r\n"))
		_ = unix.Close(fd)
	}
}

// terminals are those that there are in a folder as /dev is: terminal windows and logins over the network, and those virtual terminals of the
// kernel that are in use, which those are that have a screen, vcs(4): to open another one would make it.
func terminals(dev string) []string {
	list, _ := filepath.Glob(filepath.Join(dev, "pts/[0-9]*"))
	screens, _ := filepath.Glob(filepath.Join(dev, "vcs[0-9]*"))
	for _, screen := range screens {
		list = append(list, filepath.Join(dev, "tty"+strings.TrimPrefix(filepath.Base(screen), "vcs")))
	}
	return list
}
