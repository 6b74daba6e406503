package qemu

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/u-root/u-root/pkg/cpio"
)

// bootTime is how long a guest may take to process 1: about five seconds under TCG, more on a busy host.
const bootTime = 90 * time.Second

// tinyInitrd builds an initramfs that holds nothing but tinyinit and its console.
func tinyInitrd(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(dir, "init"), "./tinyinit")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build tinyinit: %v\n%s", err, out)
	}
	program, err := os.ReadFile(filepath.Join(dir, "init"))
	if err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	w := cpio.Newc.Writer(&archive)
	for _, r := range []cpio.Record{
		cpio.Directory("dev", 0o755),
		cpio.CharDev("dev/console", 0o600, 5, 1),
		cpio.StaticFile("init", string(program), 0o755),
	} {
		if err := w.WriteRecord(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := cpio.WriteTrailer(w); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "initrd")
	if err := os.WriteFile(file, archive.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func tinyConfig(t *testing.T) Config {
	t.Helper()
	if testing.Short() {
		t.Skip("left out by -short: it needs a virtual machine")
	}
	kernel, err := HostKernel()
	if err != nil {
		t.Fatal(err)
	}
	return Config{
		Kernel: kernel.Image, Initrd: tinyInitrd(t), MemoryMiB: 256, NoReboot: true,
		Append: []string{"console=ttyS0", "quiet", "panic=-1", "sysrq_always_enabled"},
	}
}

func expect(ctx context.Context, t *testing.T, vm *VM, re string) Match {
	t.Helper()
	m, err := vm.Expect(ctx, regexp.MustCompile(re), regexp.MustCompile(`Kernel panic`))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// A guest is booted, talked to, measured, and powers itself off.
func TestPowerOff(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), bootTime)
	defer cancel()
	disk := filepath.Join(t.TempDir(), "a,b.img")
	if err := os.WriteFile(disk, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(disk, 1<<20); err != nil {
		t.Fatal(err)
	}
	c := tinyConfig(t)
	for _, bus := range []Bus{AHCI, Virtio, NVMe, SCSI, USB} {
		c.Disks = append(c.Disks, Disk{File: disk, Bus: bus, ReadOnly: true})
	}
	c.CDROM = disk
	c.NICs = []NIC{{}, {Model: "e1000e", Network: Restricted}, {Network: Silent}}
	// AHCI disks cannot be read-only.
	c.Disks[0].ReadOnly = false
	c.Disks[0].File = disk + "0"
	if err := os.WriteFile(c.Disks[0].File, make([]byte, 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	vm := Start(t, c)
	if m := expect(ctx, t, vm, `process (\d+) is ready`); m.Groups[1] != "1" || m.Line.At <= 0 {
		t.Errorf("tinyinit is process %s at %v, want 1 at a time after power-on", m.Groups[1], m.Line.At)
	}
	if err := vm.Type("a\x01c\r"); err != nil {
		t.Fatal(err)
	}
	expect(ctx, t, vm, `you typed "a\\x01c"`)
	if err := vm.SetLink(ctx, 2, false); err != nil {
		t.Error(err)
	}
	if err := vm.QMP(ctx, "no-such-command", nil, nil); err == nil || !strings.Contains(err.Error(), "CommandNotFound") {
		t.Errorf("QMP(no-such-command) = %v, want CommandNotFound", err)
	}
	if err := vm.Type("poweroff\r"); err != nil {
		t.Fatal(err)
	}
	e, err := vm.Wait(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if e.Reason != "guest-shutdown" || e.PeakRSS < 64<<20 {
		t.Errorf("Wait() = %+v, want guest-shutdown and at least 64 MiB", e)
	}
	if _, err := vm.Expect(ctx, regexp.MustCompile("never said")); err == nil || !strings.Contains(err.Error(), "QEMU has exited") {
		t.Errorf("Expect after the exit = %v, want that QEMU has exited", err)
	}
}

// A break with a letter reaches the kernel, and a machine that starts again ends with that reason.
func TestReset(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), bootTime)
	defer cancel()
	vm := Start(t, tinyConfig(t))
	expect(ctx, t, vm, "is ready")
	if err := vm.SysRq('b'); err != nil {
		t.Fatal(err)
	}
	e, err := vm.Wait(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if e.Reason != "guest-reset" {
		t.Errorf("Wait().Reason = %q, want guest-reset", e.Reason)
	}
}

// A wait that fails says for what, and shows the console; a killed machine is gone.
func TestKill(t *testing.T) {
	vm := Start(t, Config{MemoryMiB: 64, Accel: TCG})
	short, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	_, err := vm.Expect(short, regexp.MustCompile("no such line"))
	if err == nil || !strings.Contains(err.Error(), "no such line") || !strings.Contains(err.Error(), "SeaBIOS") {
		t.Errorf("Expect(no such line) = %v, want an error with what was waited for and the console", err)
	}
	if err := vm.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := vm.Wait(t.Context()); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("Wait() after Kill() = %v, want that it was killed", err)
	}
}
