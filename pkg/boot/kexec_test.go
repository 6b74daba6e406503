package boot

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/liveboot/liveboot/pkg/cmdline"
	"github.com/liveboot/liveboot/pkg/handoff"
	"github.com/liveboot/liveboot/pkg/isokernel"
	"github.com/liveboot/liveboot/pkg/kernel/kexec"
	"github.com/liveboot/liveboot/pkg/kernelimage"
	"github.com/liveboot/liveboot/pkg/network"
	"github.com/liveboot/liveboot/pkg/plan"
)

// runOf is a boot of m with a line.
func runOf(t *testing.T, m *machine, line string) *run {
	t.Helper()
	p, err := plan.Parse(cmdline.Parse("root=live:http://h/i " + line))
	if err != nil {
		t.Fatal(err)
	}
	b := newRun(p, m.machine(), screen{m})
	t.Cleanup(b.close)
	return b
}

// TestGoOn: a boot goes on from what another kernel left, and keeps its own.
func TestGoOn(t *testing.T) {
	before := Previous{
		Kernel: "5.0", Why: "because", Uptime: 20, RTC: 1000, Bytes: 7,
		Stages:    []StageReport{{Stage: plan.Devices, Began: 1, Took: 2, What: "x"}},
		Addresses: map[string]netip.Addr{"02:00:00:00:00:01": netip.MustParseAddr("10.0.2.15")},
	}
	for _, tt := range []struct {
		name string
		rtc  string
		want time.Duration // of the clock, 3 s after the second kernel's start
	}{
		{"a clock that runs on", "1010\n", 30 * time.Second},
		{"no clock", "", 23 * time.Second},
		{"a clock that was set back", "900\n", 23 * time.Second},
		{"a clock that was set", "100000\n", 20*time.Second + maxKexec + 3*time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t)
			text, err := json.Marshal(before)
			if err != nil {
				t.Fatal(err)
			}
			m.write(previousPath, text, 0o644)
			machine := m.machine()
			machine.Uptime = func() time.Duration { return 3 * time.Second }
			if tt.rtc != "" {
				machine.Sys = fstest.MapFS{"class/rtc/rtc0/since_epoch": {Data: []byte(tt.rtc)}}
			}
			b := newRun(plan.Default(), machine, screen{m})
			if got := b.Uptime(); got != tt.want {
				t.Errorf("Uptime = %v, want %v", got, tt.want)
			}
			if diff := gocmp.Diff(before.Stages, b.report.Stages); diff != "" {
				t.Errorf("stages (-want +got):\n%s", diff)
			}
			if diff := gocmp.Diff(&KexecReport{From: "5.0", Why: "because", At: 20, Bytes: 7}, b.report.Kexec); diff != "" {
				t.Errorf("report (-want +got):\n%s", diff)
			}
			if !b.kernelSettled() || !strings.Contains(b.stays, "5.0") {
				t.Errorf("the kernel stays: %q, want it settled with the one before named", b.stays)
			}
			var asked map[string]netip.Addr
			b.Clients(network.Timeouts{}, nil)
			if asked = b.previous.Addresses; asked["02:00:00:00:00:01"] != netip.MustParseAddr("10.0.2.15") {
				t.Errorf("addresses = %v", asked)
			}
		})
	}
}

// TestGoOnGarbage: of a file that cannot be read it counts that it is there.
func TestGoOnGarbage(t *testing.T) {
	m := newMachine(t)
	m.write(previousPath, []byte("{"), 0o644)
	b := runOf(t, m, "")
	if !b.kernelSettled() {
		t.Error("the kernel is not settled: this may go on for ever")
	}
	if said := m.sequence(); !strings.Contains(said, "warning: read what the kernel before this one left") {
		t.Errorf("said %s, want a warning", said)
	}
}

func TestLeave(t *testing.T) {
	m := newMachine(t)
	b := runOf(t, m, "")
	b.report.Stages = []StageReport{{Stage: plan.Devices, What: "x"}}
	files, err := b.leave("because", 9)
	if err != nil {
		t.Fatal(err)
	}
	text, err := fs.ReadFile(files, previousPath)
	if err != nil {
		t.Fatal(err)
	}
	var got Previous
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	want := Previous{Kernel: release, Why: "because", Bytes: 9, Stages: b.report.Stages}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("leave (-want +got):\n%s", diff)
	}
}

func TestFallBack(t *testing.T) {
	kernel := func(cause error) error { return &KernelError{"boot/linux", cause} }
	refused := &kexec.LoadError{Reason: kexec.Lockdown, Err: errors.New("x")}
	for _, tt := range []struct {
		name, line string
		cause      error
		stays      bool
	}{
		{"refused", "", refused, true},
		{"refused, but demanded", "rd.liveboot.handoff=kexec", refused, false},
		{"no kexec_file_load", "", &kexec.LoadError{Reason: kexec.Unsupported, Err: errors.New("x")}, true},
		{"no kernel for this one", "", &kexec.LoadError{Reason: kexec.Format, Err: errors.New("x")}, false},
		{"no drivers", "", &isokernel.MissingError{Release: "1"}, true},
		{"no memory", "", &KexecMemoryError{2, 1}, true},
		{"cut off", "", kernelimage.ErrTruncated, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t)
			b := runOf(t, m, tt.line)
			err := b.fallBack(kernel(tt.cause))
			if got := err == nil; got != tt.stays || b.settled != tt.stays {
				t.Errorf("fallBack = %v, settled %v, want the kernel to stay: %v", err, b.settled, tt.stays)
			}
			if warned := strings.Contains(m.sequence(), "warning: start the image's own kernel boot/linux"); warned != tt.stays {
				t.Errorf("warned: %v, want %v", warned, tt.stays)
			}
		})
	}
}

func TestNextCommandLine(t *testing.T) {
	for _, tt := range []struct {
		name, line string
		most       int
		want, err  string
	}{
		{"as it is", "", 2047, "root=live:http://h/i ip=dhcp", ""},
		{"with the image's", "rd.liveboot.append=iso", 0, "quiet splash root=live:http://h/i ip=dhcp", ""},
		{"too long", "rd.liveboot.append=iso", 30, "", "takes 30"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t)
			b := runOf(t, m, tt.line)
			m.write("proc/cmdline", []byte("root=live:http://h/i ip=dhcp\n"), 0o644)
			got, err := b.nextCommandLine(&isokernel.Kernel{Options: "quiet splash", Info: kernelimage.Info{CommandLineMax: tt.most}})
			if got != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("nextCommandLine = %q, %v, want %q, %q", got, err, tt.want, tt.err)
			}
		})
	}
}

func TestFitsKexec(t *testing.T) {
	m := newMachine(t)
	m.memory = 264 << 10 // KiB
	b := runOf(t, m, "")
	if err := b.fitsKexec(200 << 20); err != nil {
		t.Errorf("fitsKexec: %v", err)
	}
	var small *KexecMemoryError
	if err := b.fitsKexec(200<<20 + 1); !errors.As(err, &small) {
		t.Errorf("fitsKexec of a byte more = %v, want a KexecMemoryError", err)
	}
}

// TestStay: where kexec is demanded and cannot be, the boot stops, unless the image goes to a disk, from which it can.
func TestStay(t *testing.T) {
	for _, tt := range []struct {
		line  string
		stops bool
	}{
		{"", false}, {"rd.liveboot.handoff=kexec", true}, {"rd.liveboot.handoff=kexec rd.kiwi.live.system=/dev/sda", false},
	} {
		b := runOf(t, newMachine(t), tt.line)
		if err := b.stay(errUnverified); (err != nil) != tt.stops || b.stays == "" {
			t.Errorf("stay with %q = %v, want the boot stopped: %v", tt.line, err, tt.stops)
		}
	}
}

// TestCard: the driver of a card is what its device's link says.
func TestCard(t *testing.T) {
	folder := t.TempDir()
	if err := errors.Join(
		os.MkdirAll(folder+"/class/net/eth0/device/driver", 0o755), os.MkdirAll(folder+"/class/net/br0", 0o755),
		os.Symlink("../../../../module/e1000e", folder+"/class/net/eth0/device/driver/module"),
		os.WriteFile(folder+"/class/net/eth0/device/modalias", []byte("pci:x\n"), 0o644),
	); err != nil {
		t.Fatal(err)
	}
	for link, want := range map[string]string{"eth0": "eth0 e1000e pci:x", "br0": "br0  "} {
		name, driver, modalias := card(os.DirFS(folder), link)
		if got := fmt.Sprint(name, " ", driver, " ", modalias); got != want {
			t.Errorf("card(%s) = %q, want %q", link, got, want)
		}
	}
	if b := runOf(t, newMachine(t), "rd.liveboot.handoff=switch_root"); !b.kernelSettled() || b.plan.Handoff.Way != handoff.SwitchRootOnly {
		t.Errorf("switch_root alone is not settled: %q", b.stays)
	}
}
