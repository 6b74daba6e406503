package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
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
		}, []string{"2s read", "2s done"}},
		{"again and again", false, func(s *story) {
			s.verb = "runs"
			s.pass(25 * time.Minute)
		}, []string{"2s read", "2s done", "10m2s read", "20m2s read"}},
		{"when it is calm", true, func(s *story) {
			s.verb = "runs"
			for range 10 {
				s.reads()
				s.pass(time.Second)
				s.comes()
				s.pass(time.Second)
			}
			s.pass(time.Hour)
		}, []string{"24s read", "24s done"}},
		{"it never is", true, func(s *story) {
			s.verb = "runs"
			s.reads()
			s.pass(time.Hour)
		}, []string{"2m1s read", "2m1s done"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStory()
				p := &provision{runs: func() bool { return s.verb != "" }, read: func() { s.note("read") }, done: func() { s.note("done") }, once: tt.once}
				s.steps = func() {
					p.step(s)
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
	for limit, want := range map[int64]int64{10000: 1230, 500: 500, 0: 0} {
		if got := limit - readLast(proc, limit); got != want {
			t.Errorf("of %d bytes readLast read %d, want %d", limit, got, want)
		}
	}
	if left := readLast(t.TempDir(), 1); left != 1 {
		t.Errorf("where there is nothing readLast left %d, want 1", left)
	}
	if all := strings.Join(lastPrograms(), " "); strings.Contains(" "+all, " /") {
		t.Errorf("the last programs are %s, want all below the root folder", all)
	}
}
