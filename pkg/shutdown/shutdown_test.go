package shutdown

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// fake is a machine with mounts, and a transcript of what is done to it.
type fake struct {
	mounts []Mount
	// busy says why a mount cannot be unmounted now; nil that it can.
	busy func(f *fake, point string) error
	// slow are the points of which an unmount never ends.
	slow []string
	// loops are free when what is mounted from them is gone.
	loops map[string]string
	// processes left, and those of them that ask to be spared.
	processes, spared int
	// kept are file systems that are in use without a mount.
	kept       []string
	unreadable bool
	log        *transcript
}

// A transcript may be written by a call that was given up, too.
type transcript struct {
	mu   sync.Mutex
	done []string
}

func (f *fake) note(format string, args ...any) {
	f.log.mu.Lock()
	defer f.log.mu.Unlock()
	f.log.done = append(f.log.done, fmt.Sprintf(format, args...))
}

func (f *fake) mountinfo() (string, error) {
	if f.unreadable {
		return "", syscall.ENOENT
	}
	var text strings.Builder
	for _, m := range f.mounts {
		fmt.Fprintf(&text, "%d %d 0:1 / %s rw - %s %s rw\n", m.ID, m.Parent, m.Point, m.Type, m.Source)
	}
	return text.String(), nil
}

func (f *fake) unmount(point string, lazy bool) error {
	if slices.Contains(f.slow, point) {
		time.Sleep(time.Hour)
		return syscall.EIO
	}
	if lazy {
		f.note("detach %s", point)
		f.mounts = slices.DeleteFunc(f.mounts, func(m Mount) bool { return m.Point == point || strings.HasPrefix(m.Point, point+"/") })
		return nil
	}
	if slices.ContainsFunc(f.mounts, func(m Mount) bool { return strings.HasPrefix(m.Point, point+"/") }) {
		return syscall.EBUSY
	}
	if f.busy != nil {
		if err := f.busy(f, point); err != nil {
			return err
		}
	}
	f.note("umount %s", point)
	f.mounts = slices.DeleteFunc(f.mounts, func(m Mount) bool { return m.Point == point })
	return nil
}

func (f *fake) detachLoops() (freed int) {
	for device, point := range f.loops {
		if !slices.ContainsFunc(f.mounts, func(m Mount) bool { return m.Point == point }) {
			f.note("losetup -d %s", device)
			delete(f.loops, device)
			freed++
		}
	}
	return freed
}

func (f *fake) kill(all bool) int {
	left := f.processes
	if f.processes > 0 {
		f.note("kill %d", f.processes)
		f.processes = 0
	}
	if all && f.spared > 0 {
		f.note("kill also %d", f.spared)
		left, f.spared = left+f.spared, 0
	}
	return left
}

// shutDown runs the machine down and returns what was done, and how long it took.
func (f *fake) shutDown(t *testing.T) (done []string, took time.Duration) {
	t.Helper()
	f.log = new(transcript)
	synctest.Test(t, func(t *testing.T) {
		tick, end := make(chan struct{}, 1), make(chan struct{})
		go func() {
			for {
				select {
				case <-end:
					return
				case <-time.After(time.Second / Second):
				}
				select {
				case tick <- struct{}{}:
				default:
				}
			}
		}()
		start := time.Now()
		go func() {
			defer close(end)
			Run(Machine{
				Mountinfo: f.mountinfo, Unmount: f.unmount, DetachLoops: f.detachLoops, Kill: f.kill,
				ReadOnly: func(point string) error {
					f.note("remount %s", point)
					if strings.HasSuffix(point, "stubborn") {
						return syscall.EBUSY
					}
					return nil
				},
				InUse:       func() []string { return f.kept },
				ReadOnlyAll: func() error { f.note("remount all"); f.kept = nil; return nil },
				Sync:        func() { f.note("sync") },
				Say:         func(line string) { f.note("say %s", line) },
				Tick:        tick,
			})
		}()
		select {
		case <-end:
		case <-time.After(Limit * time.Second / Second):
			f.note("time is up")
			<-end // after an hour
		}
		took = time.Since(start)
	})
	f.log.mu.Lock()
	defer f.log.mu.Unlock()
	return slices.Clone(f.log.done), took
}

// liveMounts is a live system after the pivot, as small as it can be.
func liveMounts(more ...Mount) []Mount {
	return append([]Mount{
		{1, 0, "/", "tmpfs", "tmpfs"}, {2, 1, "/proc", "proc", "proc"}, {3, 1, "/run", "tmpfs", "tmpfs"},
		{9, 1, "/oldroot", "overlay", "LiveOS_rootfs"}, {4, 9, "/oldroot/run", "tmpfs", "tmpfs"},
	}, more...)
}

func TestRun(t *testing.T) {
	const clean = "say all file systems are unmounted"
	cow := Mount{5, 4, "/oldroot/run/cow", "ext4", "/dev/vdb"}
	mnt := Mount{6, 9, "/oldroot/mnt", "ext4", "/dev/loop3"}
	for _, tt := range []struct {
		name    string
		machine fake
		want    []string
		within  time.Duration
	}{
		{
			"nothing in the way", fake{mounts: liveMounts(cow)},
			[]string{"sync", "umount /oldroot/run/cow", "umount /oldroot/run", "umount /oldroot", clean, "sync"}, 0,
		},
		{
			"processes, and none that was spared is killed without need", fake{mounts: liveMounts(), processes: 2, spared: 1},
			[]string{"sync", "kill 2", "umount /oldroot/run", "umount /oldroot", clean, "sync"}, time.Second / Second,
		},
		{
			"a spared process holds the root", fake{mounts: liveMounts(), spared: 1, busy: func(f *fake, point string) error {
				if point == "/oldroot" && f.spared > 0 {
					return syscall.EBUSY
				}
				return nil
			}},
			[]string{"sync", "umount /oldroot/run", "kill also 1", "umount /oldroot", clean, "sync"}, time.Second,
		},
		{
			"a loop device on a file of another", fake{mounts: liveMounts(cow, mnt), loops: map[string]string{"/dev/loop3": "/oldroot/mnt"}, busy: func(f *fake, point string) error {
				if point == "/oldroot/run/cow" && len(f.loops) > 0 {
					return syscall.EBUSY
				}
				return nil
			}},
			[]string{"sync", "umount /oldroot/mnt", "losetup -d /dev/loop3", "umount /oldroot/run/cow", "umount /oldroot/run", "umount /oldroot", clean, "sync"}, 0,
		},
		{
			"what cannot be unmounted", fake{mounts: liveMounts(mnt), busy: func(_ *fake, point string) error {
				if point == "/oldroot/mnt" {
					return syscall.EBUSY
				}
				return nil
			}},
			[]string{
				"sync", "umount /oldroot/run", "remount /oldroot/mnt",
				"say cannot unmount /oldroot/mnt (ext4 of /dev/loop3): device or resource busy; it is read-only now",
				"remount /oldroot", "say cannot unmount /oldroot (overlay of LiveOS_rootfs): device or resource busy; it is read-only now",
				"detach /oldroot/mnt", "detach /oldroot", "sync",
			}, 2 * time.Second,
		},
		{
			"what cannot be made read-only either, and is still in use", fake{
				mounts: []Mount{{5, 1, "/oldroot/stubborn", "xfs", "/dev/vdb"}}, kept: []string{"xfs of /dev/vdb"},
				busy: func(*fake, string) error { return syscall.EBUSY },
			},
			[]string{
				"sync", "remount /oldroot/stubborn",
				"say cannot unmount /oldroot/stubborn (xfs of /dev/vdb): device or resource busy; nor can it be made read-only: device or resource busy",
				"detach /oldroot/stubborn", "remount all", "say still in use: xfs of /dev/vdb; made read-only by force", "sync",
			}, 3 * time.Second,
		},
		{
			"in memory, and a server's", fake{
				mounts: []Mount{{5, 1, "/oldroot/dev", "devtmpfs", "devtmpfs"}, {6, 1, "/oldroot/net", "nfs", "server:/dev/x"}},
				busy:   func(*fake, string) error { return syscall.EBUSY },
			},
			[]string{
				"sync", "detach /oldroot/dev", "say cannot unmount /oldroot/net (nfs of server:/dev/x): device or resource busy", "detach /oldroot/net", "sync",
			}, 2 * time.Second,
		},
		{
			"a loop device whose file was opened in the old root's /dev", fake{
				mounts: liveMounts(cow, Mount{8, 9, "/oldroot/dev", "devtmpfs", "devtmpfs"}), loops: map[string]string{"/dev/loop0": "/oldroot/run/cow"},
				busy: func(f *fake, point string) error {
					if point == "/oldroot/dev" && len(f.loops) > 0 {
						return syscall.EBUSY
					}
					return nil
				},
			},
			[]string{"sync", "umount /oldroot/run/cow", "detach /oldroot/dev", "umount /oldroot/run", "umount /oldroot", "losetup -d /dev/loop0", clean, "sync"}, 0,
		},
		{
			"mounts that nobody sees", fake{mounts: liveMounts(), kept: []string{"ext4 of /dev/vdb"}},
			[]string{"sync", "umount /oldroot/run", "umount /oldroot", "remount all", "say still in use: ext4 of /dev/vdb; made read-only by force", "sync"}, time.Second,
		},
		{
			"no list of the mounts", fake{unreadable: true, mounts: liveMounts(cow)},
			[]string{
				"sync", "remount /oldroot", "say cannot unmount /oldroot (overlay of the live system): no such file or directory; it is read-only now",
				"detach /oldroot", "sync",
			}, 3 * time.Second,
		},
		{
			"a server that does not answer", fake{slow: []string{"/oldroot/run/net"}, mounts: liveMounts(cow, Mount{7, 4, "/oldroot/run/net", "nfs", "server:/x"})},
			[]string{
				"sync", "umount /oldroot/run/cow", "say cannot unmount /oldroot/run/net (nfs of server:/x): the kernel does not come back from it",
				"remount /oldroot", "say cannot unmount /oldroot (overlay of LiveOS_rootfs): device or resource busy; it is read-only now",
				"detach /oldroot/run", "detach /oldroot", "sync", "time is up",
			}, 2 * time.Hour,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, took := tt.machine.shutDown(t)
			got = slices.DeleteFunc(got, func(s string) bool { return strings.Contains(s, "/oldroot/run (tmpfs") })
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Run (-want +got):\n%s", diff)
			}
			if took > tt.within {
				t.Errorf("Run took %v, want at most %v", took, tt.within)
			}
		})
	}
}

// TestRunManySlow: however many servers do not answer, the disk is unmounted in time.
func TestRunManySlow(t *testing.T) {
	f := fake{mounts: liveMounts(Mount{5, 4, "/oldroot/run/cow", "ext4", "/dev/vdb"})}
	for i := range 12 {
		point := fmt.Sprintf("/oldroot/net%d", i)
		f.slow = append(f.slow, point)
		f.mounts = append(f.mounts, Mount{20 + i, 9, point, "nfs", "server:/x"})
	}
	got, _ := f.shutDown(t)
	cow, up := slices.Index(got, "umount /oldroot/run/cow"), slices.Index(got, "time is up")
	if cow < 0 || up < cow {
		t.Errorf("Run did %q, want the disk unmounted before the time is up", got)
	}
}
