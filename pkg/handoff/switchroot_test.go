package handoff

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/kernel/mount"
)

func TestRemoveTree(t *testing.T) {
	root := tree(t, map[string]string{"a": "x", "b/c/d": "x", "b/e": "->/etc/passwd", "f": "->b"})
	folder, err := os.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	if err := removeTree(int(folder.Fd()), "."); err != nil {
		t.Errorf("removeTree: %v", err)
	}
	if left, err := os.ReadDir(root); err != nil || len(left) != 0 {
		t.Errorf("removeTree left %v, %v", left, err)
	}
	if _, err := os.Stat("/etc/passwd"); err != nil {
		t.Errorf("removeTree followed a link: %v", err)
	}
}

// TestSwitchRootRefuses: a process that is not number 1 must not get as far as deleting something.
func TestSwitchRootRefuses(t *testing.T) {
	err := SwitchRoot(Ready{Root: t.TempDir(), Init: "/sbin/init"}, nil, nil, func(Freed) { t.Error("something was deleted") })
	if err == nil || !strings.Contains(err.Error(), "only process 1") {
		t.Errorf("SwitchRoot = %v, want it refused", err)
	}
}

func TestMakeFolders(t *testing.T) {
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  string // part of the error; empty for none
	}{
		{"none there", nil, ""},
		{"all there", map[string]string{"dev/null": "", "proc/": "", "sys/": "", "run/": ""}, ""},
		{"a link", map[string]string{"run": "->/var/run", "var/run/": ""}, "/run of the live system is not a folder but L"},
		{"a file", map[string]string{"proc": ""}, "/proc of the live system is not a folder"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := tree(t, tt.files)
			err := makeFolders(root)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("makeFolders = %v, want %q", err, tt.want)
			}
			if err != nil {
				return
			}
			for _, folder := range moved() {
				if info, err := os.Lstat(filepath.Join(root, folder)); err != nil || !info.IsDir() {
					t.Errorf("%s: %v, %v, want a folder", folder, info, err)
				}
			}
		})
	}
}

// refusing is a Mounter that does what it is told, but for one target.
type refusing struct {
	target string
	did    []string
}

func (r *refusing) Mount(p mount.Point) error {
	if p.Target == r.target {
		return unix.EINVAL
	}
	r.did = append(r.did, p.String())
	return nil
}

func (r *refusing) Unmount(string) error { return errors.ErrUnsupported }

// TestMoveMounts: all are moved, or all are where they were.
func TestMoveMounts(t *testing.T) {
	for _, tt := range []struct {
		name, refused string
		want          []string
	}{
		{"all", "", []string{"mount --move /dev /new/dev", "mount --move /proc /new/proc", "mount --move /sys /new/sys", "mount --move /run /new/run"}},
		{"one refused", "/new/sys", []string{"mount --move /dev /new/dev", "mount --move /proc /new/proc", "mount --move /new/dev /dev", "mount --move /new/proc /proc"}},
	} {
		kernel := &refusing{target: tt.refused}
		err := moveMounts(kernel, "/new")
		if diff := cmp.Diff(tt.want, kernel.did); diff != "" || (err != nil) != (tt.refused != "") {
			t.Errorf("%s: moveMounts = %v (-want +got):\n%s", tt.name, err, diff)
		}
	}
}

func TestStrays(t *testing.T) {
	const table = `1 1 0:2 / / rw - rootfs rootfs rw
23 1 0:21 / /proc rw,nosuid - proc proc rw
25 24 0:6 / /dev/pts rw - devpts devpts rw
30 1 8:1 / /mnt rw - ext4 /dev/sda1 rw
31 30 8:2 / /mnt/a\040b rw - ext4 /dev/sda2 rw
32 1 0:40 / /sysroot rw - overlay LiveOS_rootfs rw
33 32 0:41 / /sysroot/x rw - tmpfs tmpfs rw
34 1 0:42 / /sysroot2 rw - tmpfs tmpfs rw
35 1 0:43 / /running rw - tmpfs tmpfs rw
cut off
`
	want := []string{"/mnt", "/mnt/a b", "/sysroot2", "/running"}
	if diff := cmp.Diff(want, strays(table, append(moved(), "/sysroot"))); diff != "" {
		t.Errorf("strays (-want +got):\n%s", diff)
	}
}

// TestUseConsole: process 1 gets one open file, which blocks, is closed by nobody, and stands on three descriptors. A helper process has it done
// to itself.
func TestUseConsole(t *testing.T) {
	const mark = "HANDOFF_CONSOLE"
	if path := os.Getenv(mark); path != "" {
		if err := useConsole(path); err != nil {
			t.Fatal(err)
		}
		for fd := range 3 {
			flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
			onExec, onExecErr := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
			name, linkErr := os.Readlink("/proc/self/fd/" + string(rune('0'+fd)))
			if err := errors.Join(err, onExecErr, linkErr); err != nil || name != path || onExec != 0 || flags&(unix.O_ACCMODE|unix.O_NONBLOCK) != unix.O_RDWR {
				t.Fatalf("descriptor %d is %s, flags %#x and %#x, %v", fd, name, flags, onExec, err)
			}
		}
		return
	}
	path := filepath.Join(t.TempDir(), "console")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	helper, err := os.StartProcess("/proc/self/exe", []string{"test", "-test.run=^TestUseConsole$"}, &os.ProcAttr{
		Env: append(os.Environ(), mark+"="+path), Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
	})
	if err != nil {
		t.Fatal(err)
	}
	state, err := helper.Wait()
	said, readErr := os.ReadFile(path)
	if err != nil || readErr != nil || !state.Success() || !strings.Contains(string(said), "PASS") {
		t.Errorf("the helper: %v, %v, %v\n%s", state, err, readErr, said)
	}
	if err := useConsole(filepath.Join(t.TempDir(), "none")); err != nil {
		t.Errorf("useConsole without a console: %v", err)
	}
}
