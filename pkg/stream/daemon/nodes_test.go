package daemon

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// systemd is what process 1 of a live system does with the nodes.
type systemd struct {
	t    *testing.T
	n    *nodes
	open map[verb]int
}

func newSystemd(t *testing.T) *systemd {
	root := t.TempDir()
	s := &systemd{t: t, n: &nodes{folder: filepath.Join(root, "end"), proc: filepath.Join(root, "proc")}, open: map[verb]int{}}
	s.process1("/sbin/init\x00", "1 (systemd (1)) S 0 1 1")
	return s
}

func (s *systemd) path(v verb) string { return filepath.Join(s.n.folder, string(v)) }

// listen makes a node, and has it open as systemd has (socket.c: open_fifo).
func (s *systemd) listen(all ...verb) {
	s.t.Helper()
	for _, v := range all {
		if err := os.MkdirAll(s.n.folder, 0o755); err != nil {
			s.t.Fatal(err)
		}
		if err := unix.Mkfifo(s.path(v), 0o600); err != nil {
			s.t.Fatal(err)
		}
		fd, err := unix.Open(s.path(v), unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			s.t.Fatal(err)
		}
		s.open[v] = fd
	}
}

func (s *systemd) close(all ...verb) {
	for _, v := range all {
		_ = unix.Close(s.open[v]) // nothing was written to it
		delete(s.open, v)
	}
}

// process1 is what /proc says of it.
func (s *systemd) process1(cmdline, stat string) {
	s.t.Helper()
	for name, text := range map[string]string{"cmdline": cmdline, "stat": stat} {
		if err := replaceFile(filepath.Join(s.n.proc, "1", name), []byte(text)); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *systemd) remove(all ...verb) {
	s.t.Helper()
	for _, v := range all {
		if err := os.Remove(s.path(v)); err != nil {
			s.t.Fatal(err)
		}
	}
}

func TestNodes(t *testing.T) {
	const shutdown = "/usr/lib/systemd/systemd-shutdown\x00"
	crash := func(s *systemd) {
		s.listen(verbs()...)
		s.n.look()
		s.close(verbs()...)
	}
	for _, tt := range []struct {
		name string
		do   func(s *systemd)
		want verb
		last bool
	}{
		{"no systemd", func(*systemd) {}, "", false},
		{"it runs", func(s *systemd) { s.listen(verbs()...) }, "", false},
		{"removed before it was seen", func(s *systemd) {
			s.listen(toReboot, toHalt)
			s.close(toHalt)
			s.remove(toHalt)
		}, "", false},
		{"to be rebooted", func(s *systemd) {
			s.listen(verbs()...)
			s.n.look()
			s.close(toReboot)
			s.remove(toReboot)
		}, toReboot, false},
		{"all is stopped", func(s *systemd) {
			s.listen(verbs()...)
			s.n.look()
			s.close(toKexec)
			s.remove(toKexec)
			s.n.look()
			s.close(toHalt, toReboot, toPowerOff)
		}, toKexec, true},
		{"it listens again", func(s *systemd) {
			s.listen(verbs()...)
			s.n.look()
			s.close(toHalt)
			s.remove(toHalt)
			s.n.look()
			s.listen(toHalt)
		}, "", false},
		{"it listens anew, and lets go of that", func(s *systemd) {
			s.listen(verbs()...)
			s.n.look()
			old := s.open[toPowerOff]
			s.remove(toPowerOff)
			s.listen(toPowerOff)
			s.n.look()
			_ = unix.Close(old)
			s.close(verbs()...)
			s.process1(shutdown+"halt\x00", "1 (systemd-shutdow) S 0")
		}, toHalt, true},
		{"somebody removes the folder", func(s *systemd) {
			s.listen(verbs()...)
			s.n.look()
			s.remove(verbs()...)
		}, "", false},
		{"somebody removes one", func(s *systemd) {
			s.listen(verbs()...)
			s.n.look()
			s.remove(toPowerOff)
		}, "", false},
		{"somebody removes the folder, and then it is to end", func(s *systemd) {
			s.listen(verbs()...)
			s.n.look()
			s.remove(verbs()...)
			s.n.look()
			s.close(toReboot)
		}, toReboot, false},
		{"somebody removes the folder, then it is to end, and then all is stopped", func(s *systemd) {
			s.listen(verbs()...)
			s.n.look()
			s.remove(verbs()...)
			s.close(toKexec)
			s.n.look()
			s.close(verbs()[:3]...)
		}, toKexec, true},
		{"somebody removes the folder, and then all is stopped", func(s *systemd) {
			s.listen(verbs()...)
			s.n.look()
			s.remove(verbs()...)
			s.close(verbs()...)
			s.process1(shutdown+"halt\x00", "1 (systemd-shutdow) S 0")
		}, toHalt, true},
		{"no FIFO", func(s *systemd) {
			if err := replaceFile(s.path(toReboot), nil); err != nil {
				s.t.Fatal(err)
			}
			s.n.look()
			s.remove(toReboot)
		}, "", false},
		{"by force", func(s *systemd) {
			crash(s)
			s.process1(shutdown+"poweroff\x00--log-level\x006\x00", "1 (systemd-shutdow) R 0")
		}, toPowerOff, true},
		{"by force, to something new", func(s *systemd) {
			crash(s)
			s.process1(shutdown+"hibernate\x00", "1 (systemd-shutdow) R 0")
		}, toReboot, true},
		{"by force, and its program does not come", func(s *systemd) {
			crash(s)
			s.process1("/sbin/init\x00", "1 (systemd (1) S) D 0 1 1")
		}, toReboot, true},
		{"it has crashed", crash, "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSystemd(t)
			tt.do(s)
			v, last := s.n.look()
			if v != tt.want || last != tt.last || s.n.isLast() != tt.last {
				t.Errorf("look() = %q, %v, want %q, %v", v, last, tt.want, tt.last)
			}
			s.close(verbs()...)
			for _, held := range s.n.held {
				_ = unix.Close(held.fd)
			}
		})
	}
}

// The units are as systemd wants them, and nobody takes the machine for one with systemd because of them.
func TestUnits(t *testing.T) {
	root := t.TempDir()
	for range 2 {
		if err := layUnits(root); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(filepath.Join(root, "run/systemd/system.control/liveboot-poweroff.socket"))
	const want = `[Unit]
Description=Notice of poweroff, for the image that streams
DefaultDependencies=no
IgnoreOnIsolate=yes
RefuseManualStop=yes
Conflicts=poweroff.target exit.target

[Socket]
ListenFIFO=/run/liveboot/end/poweroff
SocketMode=0600
RemoveOnStop=yes
Service=liveboot-end.service
`
	if err != nil || string(got) != want {
		t.Errorf("the unit for poweroff is %q, %v, want %q", got, err, want)
	}
	for _, target := range []string{"sysinit", "emergency"} {
		got, err := os.ReadFile(filepath.Join(root, "run/systemd/system.control", target+".target.d/liveboot.conf"))
		const want = "[Unit]\nWants= liveboot-poweroff.socket liveboot-reboot.socket liveboot-halt.socket liveboot-kexec.socket\n"
		if err != nil || string(got) != want {
			t.Errorf("what %s.target wants is %q, %v, want %q", target, got, err, want)
		}
	}
	if _, err := os.Stat(filepath.Join(root, "run/systemd/system")); err == nil {
		t.Error("there is a folder /run/systemd/system: programs believe that systemd runs")
	}
}
