package qemu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	vmtest "github.com/hugelgupf/vmtest/qemu"
)

// startTime is how long QEMU may take until its monitor answers. It is a tenth of a second on an idle host.
const startTime = 60 * time.Second

// VM is a running virtual machine.
type VM struct {
	t       testing.TB
	vm      *vmtest.VM
	console *console
	monitor *monitor
	pidFile string

	exited  chan struct{} // closed when QEMU is gone
	waitErr error         // written before exited is closed

	mu     sync.Mutex
	reason string
	peak   int64
}

// Exit is how a machine ended.
type Exit struct {
	// Reason is QEMU's word for it: guest-shutdown (powered off), guest-reset (would have started again, with NoReboot),
	// guest-panic, host-qmp-quit; empty if QEMU said nothing because it was killed.
	Reason string
	// PeakRSS is the most memory of the host that the process had in use, in bytes.
	PeakRSS int64
}

// Start switches the machine on. It is killed at the end of the test if it still runs then. The test fails at once if it
// cannot be started.
func Start(t testing.TB, c Config) *VM {
	t.Helper()
	vm, err := start(t, c)
	if err != nil {
		t.Fatalf("start the virtual machine: %v", err)
	}
	return vm
}

func start(t testing.TB, c Config) (*VM, error) {
	p, err := platformOf(c.Arch)
	if err != nil {
		return nil, err
	}
	fns, err := c.fns(t.Context())
	if err != nil {
		return nil, err
	}
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	log, err := openLog(t, c)
	if err != nil {
		return nil, errors.Join(err, ours.Close())
	}
	vm := &VM{t: t, exited: make(chan struct{}), pidFile: filepath.Join(t.TempDir(), "qemu.pid")}
	vm.console = newConsole(log.line)
	vm.monitor = newMonitor(ours, vm.event)
	fns = append(fns, vm.plumbing(theirs))
	if vm.vm, err = vmtest.StartContext(context.WithoutCancel(t.Context()), p.arch, fns...); err != nil {
		return nil, errors.Join(err, ours.Close(), log.close(false))
	}
	log.commandLine(vm.vm.CmdlineQuoted())
	go vm.monitor.read()
	go vm.wait()
	t.Cleanup(func() { vm.cleanup(ours, log) })
	ctx, cancel := context.WithTimeout(t.Context(), startTime)
	defer cancel()
	if err := vm.monitor.ready(ctx); err != nil {
		return nil, fmt.Errorf("%w; %s", err, vm.console.tail())
	}
	return vm, nil
}

// plumbing connects the serial line and the monitor. The serial line is multiplexed for the sake of the break signal,
// which QEMU sends for Ctrl-A b. With -no-shutdown QEMU stops where it would exit, so that its memory can be read first.
func (vm *VM) plumbing(monitor *os.File) vmtest.Fn {
	return func(_ *vmtest.IDAllocator, o *vmtest.Options) error {
		fd := o.AddFile(monitor)
		o.SerialOutput = append(o.SerialOutput, vm.console)
		o.AppendQEMU(
			"-chardev", "stdio,id=console,mux=on,signal=off", "-serial", "chardev:console",
			"-chardev", "socket,id=monitor,fd="+strconv.Itoa(fd), "-mon", "chardev=monitor,mode=control",
			"-pidfile", vm.pidFile, "-no-shutdown")
		return nil
	}
}

// wait drains vmtest's own console, without which the guest would block, until QEMU exits.
func (vm *VM) wait() {
	vm.waitErr = vm.vm.Wait()
	close(vm.exited)
}

// event notes why the machine stops, measures, and lets QEMU go.
func (vm *VM) event(name string, data json.RawMessage) {
	if name != "SHUTDOWN" {
		return
	}
	var why struct {
		Reason string `json:"reason"`
	}
	// An event that cannot be read leaves the reason empty, and the tests that ask for it fail on that.
	_ = json.Unmarshal(data, &why)
	vm.mu.Lock()
	first := vm.reason == ""
	if first {
		vm.reason = why.Reason
	}
	vm.mu.Unlock()
	if !first || why.Reason == "host-qmp-quit" {
		return
	}
	// QEMU is paused now; if its memory cannot be read, PeakRSS stays what it was at the last look.
	_, _ = vm.PeakRSS()
	// The answer is not waited for: this is the goroutine that would read it.
	_, _, _ = vm.monitor.send("quit", nil)
}

func (vm *VM) cleanup(conn *os.File, log *log) {
	select {
	case <-vm.exited:
	default:
		if err := vm.vm.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			vm.t.Errorf("kill QEMU: %v", err)
		}
		<-vm.exited
	}
	if err := errors.Join(conn.Close(), log.close(vm.t.Failed())); err != nil {
		vm.t.Errorf("clean up after QEMU: %v", err)
	}
}

// Kill ends QEMU with SIGKILL, as a power cut would, and waits until it is gone.
func (vm *VM) Kill() error {
	if err := vm.vm.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill QEMU: %w", err)
	}
	<-vm.exited
	return nil
}

// Wait waits until QEMU has exited by itself.
func (vm *VM) Wait(ctx context.Context) (Exit, error) {
	select {
	case <-vm.exited:
	case <-ctx.Done():
		return Exit{}, fmt.Errorf("wait for QEMU to exit: %w; %s", context.Cause(ctx), vm.console.tail())
	}
	vm.mu.Lock()
	defer vm.mu.Unlock()
	e := Exit{Reason: vm.reason, PeakRSS: vm.peak}
	if vm.waitErr != nil {
		return e, fmt.Errorf("run QEMU: %w; %s", vm.waitErr, vm.console.tail())
	}
	return e, nil
}

// Expect waits until a line of the console matches want, behind the match before. The line may still be incomplete, as a
// prompt is, so the expression should hold the end of what its groups take. It fails, with the last lines of the
// console, as soon as a complete line matches one of unless, when ctx is done, and when QEMU exits.
func (vm *VM) Expect(ctx context.Context, want *regexp.Regexp, unless ...*regexp.Regexp) (Match, error) {
	return vm.console.expect(ctx, want, unless)
}

// Lines is the console so far.
func (vm *VM) Lines() []Line { return vm.console.all() }

// Type sends text to the guest's serial line; "\r" is what the Enter key sends.
func (vm *VM) Type(text string) error {
	// Ctrl-A is the escape character of the multiplexed line.
	if _, err := vm.vm.Console.Send(strings.ReplaceAll(text, "\x01", "\x01\x01")); err != nil {
		return fmt.Errorf("type %q: %w", text, err)
	}
	return nil
}

// SysRq sends a break and the letter, the magic SysRq of a serial console
// (https://docs.kernel.org/admin-guide/sysrq.html). Debian's kernel needs sysrq_always_enabled for most letters.
func (vm *VM) SysRq(letter byte) error {
	if _, err := vm.vm.Console.Send("\x01b" + string(letter)); err != nil {
		return fmt.Errorf("send SysRq %c: %w", letter, err)
	}
	return nil
}

// QMP runs a command of QEMU's monitor (https://www.qemu.org/docs/master/interop/qemu-qmp-ref.html), for example stop,
// cont, system_powerdown or send-key. arguments and result may be nil.
func (vm *VM) QMP(ctx context.Context, command string, arguments, result any) error {
	return vm.monitor.execute(ctx, command, arguments, result)
}

// SetLink plugs the cable of a card in or out; nic counts from 0.
func (vm *VM) SetLink(ctx context.Context, nic int, up bool) error {
	return vm.QMP(ctx, "set_link", map[string]any{"name": fmt.Sprintf("netdev%d", nic), "up": up}, nil)
}

// PeakRSS is the most memory of the host that QEMU has had in use so far, in bytes (VmHWM of proc(5)).
func (vm *VM) PeakRSS() (int64, error) {
	pid, err := os.ReadFile(vm.pidFile)
	if err != nil {
		return 0, fmt.Errorf("measure QEMU's memory: %w", err)
	}
	status, err := os.ReadFile(filepath.Join("/proc", strings.TrimSpace(string(pid)), "status"))
	if err != nil {
		return 0, fmt.Errorf("measure QEMU's memory: %w", err)
	}
	peak, err := peakRSS(string(status))
	if err != nil {
		return 0, err
	}
	vm.mu.Lock()
	vm.peak = max(vm.peak, peak)
	vm.mu.Unlock()
	return peak, nil
}

// peakRSS reads VmHWM, in KiB, out of the text of /proc/PID/status.
func peakRSS(status string) (int64, error) {
	_, rest, ok := strings.Cut(status, "VmHWM:")
	if !ok {
		return 0, errors.New("measure QEMU's memory: no VmHWM in its status: the process has ended")
	}
	kib, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	n, err := strconv.ParseInt(kib, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("measure QEMU's memory: VmHWM: %w", err)
	}
	return n << 10, nil
}
