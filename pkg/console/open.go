package console

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A TTY is a console of the kernel.
type TTY struct {
	// Path is the terminal's device, /dev/ttyS0 for example.
	Path string
}

// open opens the terminal without making it anybody's controlling one. With O_NONBLOCK a serial line without a peer (no carrier) does not
// hold us, and a read can be given up.
func (t TTY) open() (*os.File, error) {
	return os.OpenFile(t.Path, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
}

// Open returns a Console on all of the machine's. One that appears later, with its driver, is taken up then.
func Open(root string) *Console {
	c := New(nil, OpenKmsg(root), Uptime)
	known := make(map[string]Terminal)
	last := ""
	c.refresh = func() (terminals []Terminal, changed bool) {
		now := active(root)
		if now == last {
			return nil, false
		}
		last = now
		for _, tty := range TTYs(root) {
			terminal, ok := known[tty.Path]
			if !ok {
				terminal = tty.Terminal()
				known[tty.Path] = terminal
			}
			terminals = append(terminals, terminal)
		}
		return terminals, true
	}
	return c
}

// active returns the names of the kernel's consoles, the last one being that of /dev/console.
func active(root string) string {
	names, err := os.ReadFile(filepath.Join(root, "sys/class/tty/console/active"))
	if err != nil {
		return ""
	}
	return string(names)
}

// TTYs lists the terminals that the kernel uses as its consoles and that can be opened. Below root, the path of the root folder, proc,
// sys and dev are mounted. A machine may have none.
func TTYs(root string) []TTY {
	var ttys []TTY
	for _, name := range strings.Fields(active(root)) {
		t := TTY{filepath.Join(root, "dev", name)}
		if f, err := t.open(); err == nil {
			f.Close()
			ttys = append(ttys, t)
		}
	}
	return ttys
}

// Terminal returns the TTY as a place to write to.
func (t TTY) Terminal() Terminal {
	return Terminal{Writer: &patient{tty: t, patience: firstPatience}, InPlace: t.screen()}
}

// A terminal whose flow was stopped (Ctrl-S, a terminal server that is full) must not stop the boot: after firstPatience its
// lines are lost, and each further one waits only for laterPatience, until one goes through.
const (
	firstPatience = 2 * time.Second
	laterPatience = 10 * time.Millisecond
)

type patient struct {
	tty      TTY
	file     *os.File // nil until the first write
	patience time.Duration
}

func (p *patient) Write(b []byte) (int, error) {
	n, err := p.write(b)
	if errors.Is(err, unix.EIO) {
		// A shell ran there and ended: the end of a session leader hangs the terminal up, and what was opened before is dead.
		p.file.Close()
		p.file = nil
		return p.write(b)
	}
	return n, err
}

func (p *patient) write(b []byte) (n int, err error) {
	if p.file == nil {
		if p.file, err = p.tty.open(); err != nil {
			return 0, err
		}
	}
	if err := p.file.SetWriteDeadline(time.Now().Add(p.patience)); err != nil {
		return p.file.Write(b) // a file without deadlines does not block
	}
	n, err = p.file.Write(b)
	p.patience = firstPatience
	if errors.Is(err, os.ErrDeadlineExceeded) {
		p.patience = laterPatience
	}
	return n, err
}

// screen tells a virtual terminal (/dev/tty0, /dev/tty1) from a serial line.
func (t TTY) screen() bool {
	number, ok := strings.CutPrefix(filepath.Base(t.Path), "tty")
	return ok && number != "" && strings.Trim(number, "0123456789") == ""
}

// OpenKmsg opens the kernel's log for writing, or returns nil. The kernel takes ten lines in five seconds from a process and drops the
// others; KmsgUnlimited lifts that.
func OpenKmsg(root string) io.Writer {
	f, err := os.OpenFile(filepath.Join(root, "dev/kmsg"), os.O_WRONLY, 0)
	if err != nil {
		return nil
	}
	return f
}

// KmsgUnlimited switches the kernel's limit for /dev/kmsg off, or, given false, back to its default. It has no effect where the
// kernel's command line has printk.devkmsg=.
func KmsgUnlimited(root string, on bool) {
	value := "ratelimit"
	if on {
		value = "on"
	}
	_ = os.WriteFile(filepath.Join(root, "proc/sys/kernel/printk_devkmsg"), []byte(value), 0o644) // a log with gaps is better than no boot
}

// LogPath is where the live system finds what rd.debug wrote, as in KIWI's own initrd.
const LogPath = "run/initramfs/log/boot.kiwi"

// OpenLog makes the Console write everything to LogPath below root too.
func (c *Console) OpenLog(root string) error {
	path := filepath.Join(root, LogPath)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("keep a log: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("keep a log: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log = f
	return nil
}
