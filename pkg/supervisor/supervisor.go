// Package supervisor is process 1. It does little, so that little can go wrong: it mounts the early file systems, starts the
// boot as a child of the same program, reaps, opens shells, and does the last step, which only process 1 can do. A panic, a
// fatal error of the runtime, or the kernel's out-of-memory killer (which never takes process 1) ends the child; process 1
// says so and goes on.
package supervisor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/console"
	"github.com/liveboot/liveboot/pkg/handoff"
	"github.com/liveboot/liveboot/pkg/kernel/module"
	"github.com/liveboot/liveboot/pkg/kernel/mount"
	"github.com/liveboot/liveboot/pkg/plan"
)

// self is the running program.
const self = "/proc/self/exe"

// early are the file systems without which nothing works. /run goes on to the live system, which executes programs from it.
func early() []mount.Point {
	return []mount.Point{
		{Source: "proc", Target: "/proc", Type: "proc", Flags: mount.NoSUID | mount.NoDev | mount.NoExec},
		{Source: "sysfs", Target: "/sys", Type: "sysfs", Flags: mount.NoSUID | mount.NoDev | mount.NoExec},
		{Source: "devtmpfs", Target: "/dev", Type: "devtmpfs", Flags: mount.NoSUID, Data: "mode=0755"},
		{Source: "devpts", Target: "/dev/pts", Type: "devpts", Flags: mount.NoSUID | mount.NoExec, Data: "mode=0620,gid=5"},
		{Source: "tmpfs", Target: "/run", Type: "tmpfs", Flags: mount.NoSUID | mount.NoDev, Data: "mode=0755"},
	}
}

// Run is process 1's whole life. args are the arguments and environment that the kernel passed, which are the live system's.
// It never returns: it ends as the live system's init, or with the machine.
func Run(args, environment []string) {
	mountErr := mountEarly()
	restorePanic := rebootAfterPanic()
	console.KmsgUnlimited("/", true)
	s := &supervisor{
		ui:       console.Open("/"),
		ttys:     func() []console.TTY { return console.TTYs("/") },
		children: newChildren(),
		policy:   policy{Rescue: plan.DefaultRescue(), Verbosity: console.Normal},
	}
	if mountErr != nil {
		s.ui.Failf("start", mountErr, "is this a kernel for the machine? It lacks a file system that every kernel has")
		s.rescue()
	}
	if err := module.InstallProgram("/"); err != nil {
		s.ui.Warnf("the kernel cannot load modules by itself: %v", err)
	}
	ready, err := s.work()
	if err == nil {
		console.KmsgUnlimited("/", false)
		if !ready.Streamed { // of one that is, the init was not looked at as far, and may die for want of the server
			restorePanic()
		}
		hint, err := s.handOver(*ready, args, environment)
		s.ui.Failf(string(plan.Handoff), err, hint)
	}
	s.rescue()
}

// handOver is the last step. It returns only when it failed, with what people should know then.
func (s *supervisor) handOver(ready handoff.Ready, args, environment []string) (hint string, err error) {
	if ready.Kexec {
		err := handoff.Kexec(func(line string) { s.ui.Stagef(string(plan.Handoff), "%s", line) })
		return "keep the running kernel with rd.liveboot.handoff=switch_root, or give this image a pair of its own kernel", err
	}
	err = handoff.SwitchRoot(ready, args, environment, s.freed)
	return "the initramfs may be gone already; if there is no shell, the machine starts again", err
}

// freed tells what the hand-over gave back.
func (s *supervisor) freed(f handoff.Freed) {
	const miB = 1 << 20
	s.ui.Stagef(string(plan.Handoff), "the initramfs is deleted: %d MiB of memory available, %d MiB before", f.After/miB, f.Before/miB)
}

// mountEarly makes the folders and mounts the file systems that are not there yet.
func mountEarly() error {
	var errs []error
	for _, p := range early() {
		if err := os.MkdirAll(p.Target, 0o755); err != nil {
			errs = append(errs, err)
			continue
		}
		if err := (mount.System{}).Mount(p); err != nil && !errors.Is(err, unix.EBUSY) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// rebootAfterPanic makes the kernel start the machine again a minute after it, or process 1, crashed, where it would stop for ever and the
// command line asks for nothing else (Documentation/admin-guide/sysctl/kernel.rst, panic). What it returns undoes it for the live system.
func rebootAfterPanic() (restore func()) {
	const file = "/proc/sys/kernel/panic"
	now, err := os.ReadFile(file)
	line, lineErr := os.ReadFile("/proc/cmdline")
	if err != nil || lineErr != nil || strings.TrimSpace(string(now)) != "0" || bytes.Contains(append([]byte(" "), line...), []byte(" panic=")) {
		return func() {}
	}
	_ = os.WriteFile(file, []byte("60"), 0o644)
	return func() { _ = os.WriteFile(file, now, 0o644) }
}

// supervisor is the state of process 1.
type supervisor struct {
	ui       *console.Console
	ttys     func() []console.TTY // those there are now: a driver may bring one
	children *children
	policy   policy
}

// errShown says that the worker told people of its failure itself.
var errShown = errors.New("the boot failed")

// farewell is how long a worker that has said its last word may take to end.
const farewell = 2 * time.Second

// work runs the worker to its end and returns what it made ready. When the worker ended without a word, that is shown here.
func (s *supervisor) work() (*handoff.Ready, error) {
	kills := oomKills()
	tell, answers, end, err := s.startWorker()
	if err != nil {
		s.ui.Failf("start", err, "process 1 could not start its own program once more; is there memory left?")
		return nil, err
	}
	defer tell.Close()
	defer answers.Close()
	ready, failed := s.listen(tell, answers)
	var status unix.WaitStatus
	select {
	case status = <-end:
	case <-time.After(farewell):
		// A thread that is loading a driver cannot be ended; the process stays until the driver comes back, and does no harm.
	}
	switch {
	case ready != nil && status == 0:
		return ready, nil
	case failed:
		return nil, errShown
	}
	err = fmt.Errorf("the boot process %s", describe(status))
	hint := "what it wrote before its end is above; please report it as a bug"
	if oomKills() != kills {
		hint = "the kernel ran out of memory: give the machine more memory, or use a smaller image"
	}
	s.ui.Failf("boot", err, hint)
	return nil, err
}

// startWorker starts this program once more, as the one that works.
func (s *supervisor) startWorker() (tell, answers *os.File, end <-chan unix.WaitStatus, err error) {
	tell, tellEnd, err := os.Pipe()
	if err != nil {
		return nil, nil, nil, fmt.Errorf("start the boot process: %w", err)
	}
	answerEnd, answers, err := os.Pipe()
	if err != nil {
		return nil, nil, nil, fmt.Errorf("start the boot process: %w", err)
	}
	defer tellEnd.Close()
	defer answerEnd.Close()
	_, end, err = s.children.start(self, []string{"liveboot", WorkerArg}, &os.ProcAttr{
		Dir:   "/",
		Env:   append(shellEnvironment(), Tuning(os.DirFS("/"))...),
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr, tellEnd, answerEnd},
	})
	if err != nil {
		return nil, nil, nil, fmt.Errorf("start the boot process: %w", err)
	}
	return tell, answers, end, nil
}

// Tuning is what the environment of a Go program that is about to work tells its runtime of the machine whose /proc is in root. QEMU's
// translator has the vectors of AVX2 in software: with them SHA-256 takes one and a half times as long as without, and SHA-512 four times.
func Tuning(root fs.FS) []string {
	cpu, err := fs.ReadFile(root, "proc/cpuinfo")
	if err != nil || !bytes.Contains(cpu, []byte("QEMU TCG CPU")) {
		return nil
	}
	return []string{"GODEBUG=cpu.avx2=off"}
}

// listen does what the worker asks for, until its last word or its end. After the last word it is not waited for: a thread that is
// loading a driver keeps the pipe open for as long as the driver takes.
func (s *supervisor) listen(tell io.Reader, answers io.Writer) (ready *handoff.Ready, failed bool) {
	for decoder := json.NewDecoder(tell); ; {
		var m message
		if err := decoder.Decode(&m); err != nil {
			return nil, false
		}
		switch {
		case m.Policy != nil:
			s.policy = *m.Policy
			s.ui.SetVerbosity(s.policy.Verbosity)
		case m.Pause != "":
			s.ui.Promptf("paused before %s (rd.break); leave the shell with exit to go on", m.Pause)
			s.shell(s.firstTTY())
			// A worker that ended meanwhile shows in its pipe's end.
			_, _ = io.WriteString(answers, "\n")
		case m.Failed:
			return nil, true
		case m.Ready != nil:
			return m.Ready, false
		}
	}
}

// describe tells how a process ended.
func describe(status unix.WaitStatus) string {
	switch {
	case status.Signaled():
		return fmt.Sprintf("was killed by signal %d (%v)", status.Signal(), status.Signal())
	case status.ExitStatus() == 2:
		return "crashed" // the exit status of a Go program after a panic
	}
	return fmt.Sprintf("ended too early, with status %d", status.ExitStatus())
}

// oomKills returns how many processes the kernel killed for want of memory.
func oomKills() string {
	data, err := os.ReadFile("/proc/vmstat")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		if count, ok := strings.CutPrefix(line, "oom_kill "); ok {
			return count
		}
	}
	return ""
}
