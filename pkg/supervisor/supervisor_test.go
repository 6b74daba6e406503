package supervisor

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/signal"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/console"
	"github.com/liveboot/liveboot/pkg/handoff"
	"github.com/liveboot/liveboot/pkg/plan"
)

func newSupervisor() (*supervisor, *bytes.Buffer) {
	var screen bytes.Buffer
	return &supervisor{
		ui:     console.New([]console.Terminal{{Writer: &screen}}, nil, func() time.Duration { return 0 }),
		ttys:   func() []console.TTY { return nil },
		policy: policy{Rescue: plan.DefaultRescue()},
	}, &screen
}

// TestProtocol lets a worker's end talk to process 1's over a pair of pipes.
func TestProtocol(t *testing.T) {
	s, screen := newSupervisor()
	tell, tellEnd := io.Pipe()
	answerEnd, answers := io.Pipe()
	boss := &Boss{tell: json.NewEncoder(tellEnd), answers: bufio.NewReader(answerEnd)}
	ready := handoff.Ready{Root: "/sysroot", Init: "/sbin/init"}
	rescue := plan.Rescue{Shell: plan.ShellNever, Delay: 3 * time.Second}
	done := make(chan error, 1)
	go func() {
		for _, say := range []func() error{
			func() error { return boss.Policy(rescue, console.Debug) },
			func() error { return boss.Pause(plan.Live) },
			func() error { return boss.Ready(ready) },
		} {
			if err := say(); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	// The pipe stays open: the last word is what counts.
	got, failed := s.listen(tell, answers)
	if err := <-done; err != nil {
		t.Fatalf("worker: %v", err)
	}
	if got == nil || *got != ready || failed {
		t.Errorf("listen = %v, %v, want %v", got, failed, ready)
	}
	if s.policy != (policy{rescue, console.Debug}) {
		t.Errorf("policy = %+v, want the worker's", s.policy)
	}
	if !strings.Contains(screen.String(), "paused before live") || !strings.Contains(screen.String(), "no shell: the machine has no console") {
		t.Errorf("the screen shows %q", screen.String())
	}
}

func TestListenFailed(t *testing.T) {
	s, _ := newSupervisor()
	if ready, failed := s.listen(strings.NewReader(`{"failed":true}`+"\n"), io.Discard); ready != nil || !failed {
		t.Errorf("listen = %v, %v, want failed", ready, failed)
	}
	if ready, failed := s.listen(strings.NewReader("garbage"), io.Discard); ready != nil || failed {
		t.Errorf("listen(garbage) = %v, %v, want the end of a worker", ready, failed)
	}
}

// reaper is a children that ends with the test: it would take the processes of the next one.
func reaper(t *testing.T) *children {
	c := newChildren()
	t.Cleanup(func() {
		signal.Stop(c.signals)
		close(c.signals)
	})
	return c
}

// TestChildren: ends are told to those who started the process, and orphans are reaped.
func TestChildren(t *testing.T) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	defer unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
	c := reaper(t)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	for _, tt := range []struct{ script, want string }{
		{"exit 0", "ended too early, with status 0"},
		{"exit 2", "crashed"},
		{"exit 7", "ended too early, with status 7"},
		{"kill -KILL $$", "was killed by signal 9 (killed)"},
		{"( exec sleep 0.01 ) & exit 3", "ended too early, with status 3"},
	} {
		attr := &os.ProcAttr{Files: []*os.File{nil, nil, os.Stderr, write}}
		pid, end, err := c.start("/bin/sh", []string{"sh", "-c", tt.script}, attr)
		if err != nil || pid <= 0 {
			t.Fatalf("start(%s) = %d, %v", tt.script, pid, err)
		}
		if got := describe(<-end); got != tt.want {
			t.Errorf("describe(%s) = %q, want %q", tt.script, got, tt.want)
		}
	}
	// The pipe ends when the orphan, which holds it too, has ended; then it is to be reaped.
	write.Close()
	if _, err := io.ReadAll(read); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	// To look must not be to reap.
	for began := time.Now(); unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil) != unix.ECHILD; <-tick.C {
		if time.Since(began) > time.Minute {
			t.Fatal("the orphan was not reaped")
		}
	}
}

func TestStartMissing(t *testing.T) {
	if _, _, err := reaper(t).start("/nothing", []string{"nothing"}, &os.ProcAttr{}); err == nil {
		t.Error("start(/nothing): no error")
	}
}

func TestTuning(t *testing.T) {
	for _, tt := range []struct {
		model string
		want  int
	}{{"QEMU TCG CPU version 2.5+", 1}, {"AMD EPYC 7B13", 0}} {
		root := fstest.MapFS{"proc/cpuinfo": {Data: []byte("processor\t: 0\nmodel name\t: " + tt.model + "\n")}}
		if got := Tuning(root); len(got) != tt.want {
			t.Errorf("Tuning for a %s = %v, want %d settings", tt.model, got, tt.want)
		}
	}
}
