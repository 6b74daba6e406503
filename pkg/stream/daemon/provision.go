package daemon

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// calm is for how long nobody may have waited for a part before what is needed for the end is fetched, and hurry how long that may be put
	// off by those who do: a system is up by then, or is never calm.
	calm  = 5 * time.Second
	hurry = 2 * time.Minute
	// refresh is how often that is read where it may be given up: what is read now and then stays in memory. soon is when it is read again that
	// did not come whole, and then after twice that time, and so on up to refresh.
	refresh = 10 * time.Minute
	soon    = time.Minute
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
	// runs tells whether systemd is process 1, and read reads what it needs.
	runs func() bool
	read func() error
	say  func(text string)
	// once is for an image that keeps what has come.
	once bool

	began   time.Time
	reading atomic.Bool
	// While reading is set these are for who reads.
	next       time.Time
	again      time.Duration // after which what did not come whole is read again
	came, told bool          // all of it, and that something did not
}

// step begins to read when it is time for that, while the line works: trouble is for how long it has not. What is read waits for its parts,
// and so does nobody here; but for the store it is somebody who waits, as any other.
func (p *provision) step(store reading, trouble time.Duration) {
	if !p.runs() || p.reading.Load() {
		return
	}
	now, want := time.Now(), store.Want()
	switch {
	case p.began.IsZero():
		p.began, p.next, p.again = now, now, soon
		return
	case now.Before(p.next), p.came && p.once:
		return
	case trouble >= hush, !want.Since.IsZero() && now.Sub(latest(want.Since, want.Served)) >= hush:
		return
	case now.Sub(p.began) < hurry && (!want.Since.IsZero() || now.Sub(want.Served) < calm):
		return
	}
	p.reading.Store(true)
	go func() {
		defer p.reading.Store(false)
		p.note(p.read())
	}()
}

// note takes note of what became of a read, and says it once.
func (p *provision) note(err error) {
	p.next = time.Now().Add(refresh)
	switch {
	case err == nil:
		if !p.came {
			p.say("what systemd needs to end the machine has come")
		}
		p.came, p.again = true, soon
	case errors.Is(err, unix.ENOSYS): // openat2(2), which is in Linux since 5.6
		if !p.came {
			p.say("this kernel does not let the programs be looked up that end the machine: they are not fetched beforehand")
		}
		p.came = true
	default:
		if !p.told {
			p.say("what systemd needs to end the machine has not come whole, and is read again: " + err.Error())
		}
		p.told = true
		p.next = time.Now().Add(p.again)
		p.again = min(2*p.again, refresh)
	}
}

// A lastReader reads, and forgets, files, each once.
type lastReader struct {
	left int64 // in bytes, of what it may read
	seen map[[2]uint64]bool
	errs []error // why files were not read, or not to their end
}

// readLast reads all that process 1 has mapped, and the last programs, as far as they exist, and returns how many bytes those were. It ends
// at a read that fails, as those do that are refused. Its error is ENOSYS where nothing was wrong but that the programs cannot be looked up.
func readLast(proc string, limit int64) (int64, error) {
	r := &lastReader{left: limit, seen: map[[2]uint64]bool{}}
	if r.mapped(filepath.Join(proc, "1/map_files")) {
		r.programs(filepath.Join(proc, "1/root"))
	}
	return limit - r.left, errors.Join(r.errs...)
}

// mapped reads the files that are mapped in a process, proc_pid_map_files(5), and tells whether to go on.
func (r *lastReader) mapped(folder string) bool {
	list, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, unix.ENOENT) { // it is in every kernel since 4.3
		r.errs = append(r.errs, err)
	}
	for _, each := range list {
		name := filepath.Join(folder, each.Name())
		fd, err := unix.Open(name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if !r.read(fd, name, err) {
			return false
		}
	}
	return true
}

// programs reads the last programs below a root folder.
func (r *lastReader) programs(root string) {
	folder, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		r.errs = append(r.errs, &fs.PathError{Op: "open", Path: root, Err: err})
		return
	}
	defer unix.Close(folder)
	for _, name := range lastPrograms() {
		fd, err := openIn(folder, name, unix.Openat2)
		if err == unix.ENOSYS {
			if len(r.errs) == 0 {
				r.errs = []error{err}
			}
			return
		}
		if !r.read(fd, name, err) {
			return
		}
	}
}

// tries is how often a path is looked up at most that has ".." in it, when something is mounted beside it meanwhile: openat2(2) gives EAGAIN.
const tries = 10

// openIn opens a file as who has folder as the root folder would, with openat2(2).
func openIn(folder int, name string, openat2 func(folder int, name string, how *unix.OpenHow) (int, error)) (fd int, err error) {
	how := &unix.OpenHow{Flags: unix.O_RDONLY | unix.O_NONBLOCK | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT}
	for range tries {
		if fd, err = openat2(folder, name, how); err != unix.EAGAIN {
			break
		}
	}
	return fd, err
}

// isAbsent tells whether an error of open(2) is that there is nothing to be read, now or later.
func isAbsent(err error) bool {
	return slices.ContainsFunc([]error{unix.ENOENT, unix.ENOTDIR, unix.ELOOP, unix.EACCES, unix.ENXIO, unix.ENODEV},
		func(absent error) bool { return errors.Is(err, absent) })
}

// read reads what was opened as fd, unless openErr is why it was not, or it is no file, or was read before, and closes it. It tells whether
// to go on.
func (r *lastReader) read(fd int, name string, openErr error) bool {
	if openErr != nil {
		if !isAbsent(openErr) {
			r.errs = append(r.errs, &fs.PathError{Op: "open", Path: name, Err: openErr})
		}
		return openErr != unix.EIO
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	err := r.readFile(f)
	if err != nil {
		r.errs = append(r.errs, err)
	}
	return err == nil
}

// readFile reads a file, as far as it is allowed.
func (r *lastReader) readFile(f *os.File) error {
	var stat unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &stat); err != nil {
		return &fs.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	id := [2]uint64{stat.Dev, stat.Ino}
	if stat.Mode&unix.S_IFMT != unix.S_IFREG || r.seen[id] {
		return nil
	}
	r.seen[id] = true
	n, err := io.CopyBuffer(io.Discard, onlyReader{io.LimitReader(f, r.left)}, make([]byte, 64<<10))
	r.left -= n
	if err == nil && r.left == 0 && n < stat.Size {
		err = fmt.Errorf("read %s: it is beyond what may be read beforehand", f.Name())
	}
	return err
}

// onlyReader keeps io.Discard from reading by itself, in pieces of 8 KiB.
type onlyReader struct{ io.Reader }
