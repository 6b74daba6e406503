package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// What systemd needs for the end is read as soon as nobody waits, and again where it may have been given up.
func TestProvision(t *testing.T) {
	for _, tt := range []struct {
		name string
		once bool
		tell func(s *story)
		want []string
	}{
		{"no systemd", false, func(s *story) { s.pass(time.Hour) }, nil},
		{"at once", true, func(s *story) {
			s.verb = "runs"
			s.pass(time.Hour)
		}, []string{"2s read", "2s has come"}},
		{"again and again", false, func(s *story) {
			s.verb = "runs"
			s.pass(25 * time.Minute)
		}, []string{"2s read", "2s has come", "10m2s read", "20m2s read"}},
		{"when it is calm", true, func(s *story) {
			s.verb = "runs"
			for range 10 {
				s.reads()
				s.pass(time.Second)
				s.comes()
				s.pass(time.Second)
			}
			s.pass(time.Hour)
		}, []string{"24s read", "24s has come"}},
		{"it never is", true, func(s *story) {
			s.verb = "runs"
			s.reads()
			for range 1000 {
				s.want.Served = time.Now()
				s.pass(2 * time.Second)
			}
		}, []string{"2m1s read", "2m1s has come"}},
		{"what does not come is read again", false, func(s *story) {
			s.verb = "runs"
			s.fails = unix.EIO
			s.pass(8 * time.Minute)
			s.fails = nil
			s.pass(30 * time.Minute)
		}, []string{"2s read", "2s has not", "1m2s read", "3m2s read", "7m2s read", "15m2s read", "15m2s has come", "25m2s read", "35m2s read"}},
		{"programs cannot be looked up", true, func(s *story) {
			s.verb = "runs"
			s.fails = unix.ENOSYS
			s.pass(time.Hour)
		}, []string{"2s read", "2s this kernel"}},
		{"nothing comes of what is waited for", false, func(s *story) {
			s.verb = "runs"
			s.pass(time.Minute)
			s.reads()
			s.pass(time.Hour)
			s.comes()
			s.pass(time.Minute)
		}, []string{"2s read", "2s has come", "1h1m1s read"}},
		{"the line does not work, and nobody waits", false, func(s *story) {
			s.verb = "runs"
			s.pass(time.Minute)
			s.trouble = hush
			s.pass(time.Hour)
			s.trouble = healthy
			s.pass(time.Minute)
		}, []string{"2s read", "2s has come", "1h1m1s read"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStory()
				s.trouble = healthy
				p := &provision{runs: func() bool { return s.verb != "" }, once: tt.once}
				p.read = func() error {
					s.note("read")
					return s.fails
				}
				p.say = func(text string) {
					s.note(strings.Join(strings.Fields(strings.TrimPrefix(text, "what systemd needs to end the machine "))[:2], " "))
				}
				s.steps = func() {
					p.step(s, s.trouble)
					synctest.Wait()
				}
				tt.tell(s)
				if diff := cmp.Diff(tt.want, s.got); diff != "" {
					t.Errorf("what happened differs (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// The files are those of the live system's root, each read once, and no more than is allowed.
func TestReadLast(t *testing.T) {
	proc, live := t.TempDir(), t.TempDir()
	for name, size := range map[string]int{
		"usr/lib/systemd/systemd-shutdown": 1000, "usr/bin/systemctl": 200, "usr/lib/libc.so": 30, "outside": 1 << 20, "usr/bin/other": 1 << 20,
	} {
		if err := replaceFile(filepath.Join(live, name), make([]byte, size)); err != nil {
			t.Fatal(err)
		}
	}
	for name, to := range map[string]string{
		filepath.Join(live, "lib"):                        "usr/lib",
		filepath.Join(live, "sbin"):                       "/usr/sbin",
		filepath.Join(live, "usr/sbin/reboot"):            "/bin/systemctl",
		filepath.Join(live, "bin"):                        "/usr/bin",
		filepath.Join(live, "usr/bin/dbus-daemon"):        "../../../../../../../../../../../../nowhere",
		filepath.Join(proc, "1/root"):                     live,
		filepath.Join(proc, "1/map_files/400000-401000"):  filepath.Join(live, "usr/lib/libc.so"),
		filepath.Join(proc, "1/map_files/401000-402000"):  filepath.Join(live, "usr/lib/libc.so"),
		filepath.Join(proc, "1/map_files/500000-501000"):  filepath.Join(live, "gone"),
		filepath.Join(proc, "1/map_files/600000-6001000"): "/dev/null",
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(to, name); err != nil {
			t.Fatal(err)
		}
	}
	for limit, want := range map[int64]int64{10000: 1230, 1230: 1230, 500: 500, 0: 0} {
		if got, err := readLast(proc, limit); got != want || (err == nil) != (limit >= 1230) {
			t.Errorf("readLast(%d) = %d, %v, want %d, and an error only where something was left out", limit, got, err, want)
		}
	}
	if got, err := readLast(t.TempDir(), 1); got != 0 || err == nil {
		t.Errorf("where there is nothing readLast gives %d, %v, want 0 and an error", got, err)
	}
	if all := strings.Join(lastPrograms(), " "); strings.Contains(" "+all, " /") {
		t.Errorf("the last programs are %s, want all below the root folder", all)
	}
}

// A read that fails, as one does that is refused, is the last one, and is told; and so is a file that cannot be opened, but not that there is
// none.
func TestReadLastFails(t *testing.T) {
	bad, good := "/proc/self/mem", filepath.Join(t.TempDir(), "good")
	if err := replaceFile(good, make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		files []string // each what opens it, or fails
		fails error    // in opening one more, before them
		want  int64
		errs  bool
	}{
		{"all is there", []string{good}, nil, 100, false},
		{"one is not there", []string{good}, unix.ENOENT, 100, false},
		{"one is not to be had", []string{good}, unix.ESTALE, 100, true},
		{"one is refused when it is looked up", []string{good}, unix.EIO, 0, true},
		{"a read fails", []string{bad, good}, nil, 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := &lastReader{left: 1000, seen: map[[2]uint64]bool{}}
			goesOn := tt.fails == nil || r.read(-1, "first", tt.fails)
			for _, name := range tt.files {
				if goesOn {
					fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
					goesOn = r.read(fd, name, err)
				}
			}
			if got := 1000 - r.left; got != tt.want || (len(r.errs) > 0) != tt.errs {
				t.Errorf("%d bytes were read, with %v, want %d, with an error %v", got, r.errs, tt.want, tt.errs)
			}
		})
	}
}

// What the kernel asks to look up again is looked up again, but not for ever.
func TestOpenIn(t *testing.T) {
	for _, tt := range []struct {
		again int
		then  error
		want  error
	}{
		{0, nil, nil}, {tries - 1, nil, nil}, {tries, nil, unix.EAGAIN}, {1, unix.ENOENT, unix.ENOENT}, {0, unix.ENOSYS, unix.ENOSYS},
	} {
		n := 0
		_, err := openIn(3, "x", func(int, string, *unix.OpenHow) (int, error) {
			if n++; n <= tt.again {
				return -1, unix.EAGAIN
			}
			return 5, tt.then
		})
		if err != tt.want {
			t.Errorf("after EAGAIN %d times, and then %v, openIn gives %v, want %v", tt.again, tt.then, err, tt.want)
		}
	}
}
