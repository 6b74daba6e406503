package boot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/liveboot/liveboot/pkg/device"
	"github.com/liveboot/liveboot/pkg/kernel/alg"
	"github.com/liveboot/liveboot/pkg/kernel/module"
	"github.com/liveboot/liveboot/pkg/network"
	"github.com/liveboot/liveboot/pkg/plan"
	"github.com/liveboot/liveboot/pkg/stream/daemon"
)

// A StageError is what stopped a boot, and where.
type StageError struct {
	Stage plan.Stage
	Err   error
}

// Error shows the stage and the cause.
func (e *StageError) Error() string { return fmt.Sprintf("%s: %v", e.Stage, e.Err) }

// Unwrap returns the cause.
func (e *StageError) Unwrap() error { return e.Err }

// staged is err as a stage's; nil stays nil.
func staged(name plan.Stage, err error) error {
	if err == nil {
		return nil
	}
	return &StageError{name, err}
}

// run is one boot.
type run struct {
	Machine
	plan plan.Plan
	ui   Console

	modules    Modules
	hashes     alg.Chooser
	uevents    Uevents
	devices    *device.Manager
	network    *network.Network
	held       bool        // drivers are kept back
	released   sync.Once   // what loads them
	complete   sync.Once   // what waits for what they bring
	hanging    atomic.Bool // a driver has been waited for in vain
	background sync.WaitGroup
	streaming  Streaming // nil for none
	// trusted is the manifest of the image's chunks, where it may be; nil for none.
	trusted *chunks

	// stays says why the running kernel stays, settled that this is not to be asked again.
	stays   string
	settled bool
	// deployed says that the image was brought to the disk.
	deployed bool
	// previous is what another kernel left for this one; its Kernel is empty where this is the first.
	previous Previous

	mu     sync.Mutex // guards what follows, which several goroutines use
	report Report
	paused []plan.Stage
	// mismatch says that the image that is streamed is another one than it should be.
	mismatch *daemon.Mismatch
}

func newRun(p plan.Plan, m Machine, ui Console) *run {
	b := &run{Machine: explained(m, ui.Debugf), plan: p, ui: ui, report: newReport(m)}
	b.hashes = alg.Chooser{Proc: m.Proc, Load: func() error { return b.modules.LoadWith(alg.Module, "") }, Report: ui.Debugf}
	previous, err := readPrevious(os.DirFS(m.Root))
	if err != nil {
		// That there was one is what counts: it must not come to a third.
		ui.Warnf("%v", err)
	}
	if previous != nil {
		b.goOnFrom(*previous)
	}
	return b
}

// maxKexec bounds the time from one kernel to the next: beyond it the machine's clock was set by somebody.
const maxKexec = 5 * time.Minute

// goOnFrom lets the boot's clock and report go on from where another kernel left them.
func (b *run) goOnFrom(previous Previous) {
	b.previous = previous
	uptime, before := b.Uptime, time.Duration(previous.Uptime*float64(time.Second))
	// To load a kernel takes a while, and to start it too: only the machine's clock knows how long.
	if now := rtc(b.Sys); previous.RTC > 0 && now > previous.RTC {
		before += max(0, min(time.Duration(now-previous.RTC)*time.Second-uptime(), maxKexec))
	}
	b.Uptime = func() time.Duration { return before + uptime() }
	b.report.Stages = previous.Stages
	b.report.Kexec = &KexecReport{From: previous.Kernel, Why: previous.Why, At: previous.Uptime, Bytes: previous.Bytes}
	b.ui.Debugf("started by kexec from Linux %s after %.2f s: %s", previous.Kernel, previous.Uptime, previous.Why)
}

// close ends what runs beside the stages.
func (b *run) close() {
	if b.network != nil {
		b.network.Close()
	}
	if b.uevents != nil {
		_ = b.uevents.Close() // its end is all that is wanted of it
	}
	if b.streaming != nil {
		_ = b.streaming.Close() // the process goes on, and has nobody to tell any more
	}
	b.background.Wait()
}

// stage runs one step of the boot: after a pause, if one was asked for, it gives each the same line, timing and error. A step that comes to nothing
// has none of these.
func stage[T any](ctx context.Context, b *run, name plan.Stage, do func(context.Context) (result T, what string, err error)) (T, error) {
	if err := b.pause(name); err != nil {
		var none T
		return none, &StageError{name, err}
	}
	began := b.Uptime()
	result, what, err := do(ctx)
	if err == nil && what == "" {
		return result, nil
	}
	took := b.Uptime() - began
	b.mu.Lock()
	b.report.Stages = append(b.report.Stages, StageReport{Stage: name, Began: began.Seconds(), Took: took.Seconds(), What: what})
	b.mu.Unlock()
	if err == nil && name == plan.Handoff {
		err = b.writeReport()
	}
	if err != nil {
		return result, &StageError{name, err}
	}
	b.ui.Stagef(string(name), "%s (%.2f s)", what, took.Seconds())
	return result, nil
}

// pause opens a shell before the stage where rd.break= asks for one, once.
func (b *run) pause(name plan.Stage) error {
	b.mu.Lock()
	wanted := slices.Contains(b.plan.Break, name) && !slices.Contains(b.paused, name)
	b.paused = append(b.paused, name)
	b.mu.Unlock()
	if !wanted {
		return nil
	}
	return b.Pause(name)
}

// loadModule loads a driver. A file system that the kernel has built in has no alias to be found by, but stands in /proc/filesystems.
func (b *run) loadModule(name string) error {
	_, err := b.modules.Load(name)
	if kind, ok := strings.CutPrefix(name, "fs-"); ok && errors.Is(err, module.ErrNotFound) {
		list, readErr := fs.ReadFile(b.Proc, "proc/filesystems")
		if readErr == nil && slices.ContainsFunc(bytes.Fields(list), func(word []byte) bool { return string(word) == kind }) {
			return nil
		}
	}
	return err
}

// writeFile writes a small file below the root folder, with the folders above it.
func (b *run) writeFile(name, content string) error {
	path := filepath.Join(b.Root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(content), 0o644)
}
