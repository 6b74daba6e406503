package daemon

import (
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// calm is for how long nobody may have waited for a part before what is needed for the end is fetched, and hurry how long that may be put
	// off by those who do: a system is up by then, or is never calm.
	calm  = 5 * time.Second
	hurry = 2 * time.Minute
	// refresh is how often that is read where it may be given up: what is read now and then stays in memory.
	refresh = 10 * time.Minute
	// provisionLimit bounds what is read, in bytes; it is some 20 MB in Debian 12.
	provisionLimit = 64 << 20
)

// lastPrograms are what somebody executes to end the machine, and what that makes systemd execute, below the root folder. The libraries are
// those of process 1, but for few.
func lastPrograms() []string {
	return []string{
		"etc/ld.so.cache", "usr/bin/systemctl", "bin/systemctl", "sbin/poweroff", "sbin/reboot", "sbin/halt", "sbin/shutdown",
		"usr/bin/systemd-tty-ask-password-agent", "usr/lib/systemd/systemd-logind", "lib/systemd/systemd-logind", "usr/bin/dbus-daemon",
		"usr/bin/dbus-broker", "usr/lib/systemd/systemd-executor", "usr/lib/systemd/systemd-shutdown", "lib/systemd/systemd-shutdown",
	}
}

// provision has what systemd needs to end the machine come while there is a server: without it nobody could even tell systemd to.
type provision struct {
	// runs tells whether systemd is process 1, read reads what it needs, and done is told when that has come for the first time.
	runs func() bool
	read func()
	done func()
	// once is for an image that keeps what has come.
	once bool

	began, next time.Time
	reading     atomic.Bool
}

// step begins to read when it is time for that. What is read waits for its parts, and so does nobody here.
func (p *provision) step(store reading) {
	if !p.runs() || p.reading.Load() {
		return
	}
	now, want := time.Now(), store.Want()
	switch {
	case p.began.IsZero():
		p.began, p.next = now, now
		return
	case now.Before(p.next):
		return
	case now.Sub(p.began) < hurry && (!want.Since.IsZero() || now.Sub(want.Served) < calm):
		return
	}
	first := p.next.Equal(p.began)
	p.next = now.Add(refresh)
	if !first && p.once {
		return
	}
	p.reading.Store(true)
	go func() {
		defer p.reading.Store(false)
		p.read()
		if first {
			p.done()
		}
	}()
}

// readLast reads, and forgets, all that process 1 has mapped, and the last programs. What cannot be read is left out: it need not exist. It
// returns how many bytes are left of the limit.
func readLast(proc string, limit int64) (left int64) {
	left = limit
	seen := map[[2]uint64]bool{}
	mapped, _ := filepath.Glob(filepath.Join(proc, "1/map_files/*"))
	for _, name := range mapped {
		if fd, err := unix.Open(name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err == nil {
			left -= readOnce(fd, name, left, seen)
		}
	}
	root, err := unix.Open(filepath.Join(proc, "1/root"), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return left
	}
	defer unix.Close(root)
	// Its links are those of the live system's root.
	how := unix.OpenHow{Flags: unix.O_RDONLY | unix.O_NONBLOCK | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT}
	for _, name := range lastPrograms() {
		if fd, err := unix.Openat2(root, name, &how); err == nil {
			left -= readOnce(fd, name, left, seen)
		}
	}
	return left
}

// readOnce reads a file that was not seen before, if it is a file, up to a limit, and closes it. It returns how many bytes that were.
func readOnce(fd int, name string, limit int64, seen map[[2]uint64]bool) int64 {
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil || stat.Mode&unix.S_IFMT != unix.S_IFREG || seen[[2]uint64{stat.Dev, stat.Ino}] {
		return 0
	}
	seen[[2]uint64{stat.Dev, stat.Ino}] = true
	n, _ := io.CopyBuffer(io.Discard, onlyReader{io.LimitReader(f, limit)}, make([]byte, 64<<10))
	return n
}

// onlyReader keeps io.Discard from reading by itself, in pieces of 8 KiB.
type onlyReader struct{ io.Reader }
