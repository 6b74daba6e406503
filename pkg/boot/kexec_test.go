package boot

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
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

// TestWishStreaming: the next kernel gets what streaming takes, whether or not this one has it loaded.
func TestWishStreaming(t *testing.T) {
	for _, tt := range []struct {
		line string
		want bool
	}{{"", false}, {"rd.liveboot.stream=on", true}} {
		b := runOf(t, newMachine(t), tt.line)
		if err := b.loadModules(t.Context()); err != nil {
			t.Fatal(err)
		}
		wish, err := b.wish(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"nbd", "dm_mod"} {
			if slices.Contains(wish.Names, name) != tt.want {
				t.Errorf("with %q the wish has %s: %v, want %v", tt.line, name, !tt.want, tt.want)
			}
		}
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
		{"line too long", "", &kexec.LoadError{Reason: kexec.CommandLine, Err: errors.New("x")}, true},
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
		{"the image's are too much", "rd.liveboot.append=iso", 30, "root=live:http://h/i ip=dhcp", ""},
		{"too long", "", 20, "", "takes 20"},
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

// sysfs is a folder like /sys with these symbolic links and files.
func sysfs(t *testing.T, links, files map[string]string) fs.FS {
	t.Helper()
	root := t.TempDir()
	var err error
	for name, to := range links {
		err = errors.Join(err, os.MkdirAll(filepath.Join(root, filepath.Dir(name)), 0o755), os.Symlink(to, filepath.Join(root, name)))
	}
	for name, text := range files {
		err = errors.Join(err, os.MkdirAll(filepath.Join(root, filepath.Dir(name)), 0o755), os.WriteFile(filepath.Join(root, name), []byte(text), 0o644))
	}
	if err != nil {
		t.Fatal(err)
	}
	return os.DirFS(root)
}

// TestNeeds: a bond needs its own driver, those of its cards and of the buses that these are on; a disk those of all that it hangs on.
func TestNeeds(t *testing.T) {
	const card, host = "devices/pci0/0000:00:03.0/virtio0", "devices/pci0/0000:00:02.0/host0/target0/0:0:0:0"
	sys := sysfs(t, map[string]string{
		"class/net/bond0":                      "../../devices/virtual/net/bond0",
		"class/net/eth0":                       "../../" + card + "/net/eth0",
		card + "/net/eth0/device":              "../..",
		card + "/driver/module":                "../../../../module/virtio_net",
		"devices/pci0/0000:00:03.0/driver":     "../../../bus/pci/drivers/virtio-pci",
		"bus/pci/drivers/virtio-pci/module":    "../../../../module/virtio_pci",
		"devices/virtual/net/bond0/lower_eth0": "../../../" + card + "/net/eth0",
		"class/block/sda1":                     "../../" + host + "/block/sda/sda1",
		host + "/driver/module":                "../../../../../../../module/sd_mod",
		"devices/pci0/0000:00:02.0/driver":     "../../../bus/pci/drivers/ahci",
		"bus/pci/drivers/ahci/module":          "../../../../module/ahci",
	}, map[string]string{
		card + "/modalias": "virtio:d1\n", "devices/virtual/net/bond0/uevent": "DEVTYPE=bond\nINTERFACE=bond0\n", host + "/block/sda/sda1/size": "1",
		"devices/pci0/0000:00:02.0/modalias": "pci:x\n",
	})
	names := func(needs []isokernel.Need) (all []string) {
		for _, n := range needs {
			all = append(all, strings.Join(n.Names, "|"))
		}
		return all
	}
	for _, tt := range []struct {
		name  string
		needs []isokernel.Need
		want  []string
	}{
		{"bond", linkNeeds(sys, "bond0"), []string{"bonding", "virtio_net|virtio:d1", "virtio_pci"}},
		{"card", linkNeeds(sys, "eth0"), []string{"virtio_net|virtio:d1", "virtio_pci"}},
		{"partition", deviceNeeds(sys, "class/block/sda1", "x"), []string{"sd_mod", "ahci|pci:x"}},
		{"nothing", linkNeeds(sys, "eth7"), nil},
	} {
		if diff := gocmp.Diff(tt.want, names(tt.needs)); diff != "" {
			t.Errorf("%s needs (-want +got):\n%s", tt.name, diff)
		}
	}
}

// TestResetOnce: the disk that the kernel before has deployed by a reset is not overwritten once more.
func TestResetOnce(t *testing.T) {
	for _, tt := range []struct {
		name     string
		deployed bool
	}{{"not done yet", false}, {"done", true}} {
		t.Run(tt.name, func(t *testing.T) {
			deployed := newMachine(t)
			deployed.server, deployed.sda = serve(wholeImage()), newSDA(deployed, 32<<20)
			if err := deployed.boot(onSDA); err != nil {
				t.Fatal(err)
			}
			m := newMachine(t)
			m.server, m.sda = deployed.server, newSDA(m, 32<<20)
			m.sda.data = deployed.sda.data
			text, err := json.Marshal(Previous{Kernel: "5.0", Deployed: tt.deployed})
			if err != nil {
				t.Fatal(err)
			}
			m.write(previousPath, text, 0o644)
			if err := m.boot(onSDA + "rd.kiwi.live.reset"); err != nil {
				t.Fatal(err)
			}
			if overwritten := strings.Contains(m.sequence(), "is overwritten"); overwritten == tt.deployed {
				t.Errorf("overwritten: %v, want %v", overwritten, !tt.deployed)
			}
		})
	}
}

// brokenReader cannot be read behind its first bytes.
type brokenReader struct{ good int64 }

func (r brokenReader) ReadAt(p []byte, offset int64) (int, error) {
	if offset+int64(len(p)) > r.good {
		return 0, errors.New("the cable was pulled")
	}
	return bytes.NewReader(image).ReadAt(p, offset)
}

// TestUnread: an image that cannot be read says nothing about its kernel: the boot goes on, and looks again when there is a disk.
func TestUnread(t *testing.T) {
	for _, tt := range []struct {
		name, line string
		received   func() int64
		stops      bool
	}{
		{"server", "", func() int64 { return 0 }, false},
		{"server, kexec demanded", "rd.liveboot.handoff=kexec", func() int64 { return 0 }, true},
		{"server, kexec demanded, on its way to a disk", "rd.liveboot.handoff=kexec rd.kiwi.live.system=/dev/sda", func() int64 { return 0 }, false},
		{"disk, kexec demanded", "rd.liveboot.handoff=kexec rd.kiwi.live.system=/dev/sda", nil, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := runOf(t, newMachine(t), tt.line)
			ready, err := b.ownKernel(t.Context(), &pieces{ReaderAt: brokenReader{34 << 10}, received: tt.received})
			if ready != nil || (err != nil) != tt.stops || b.settled {
				t.Errorf("ownKernel = %v, %v, settled %v, want the boot stopped: %v, and nothing settled", ready, err, b.settled, tt.stops)
			}
		})
	}
	m := newMachine(t)
	b := runOf(t, m, "rd.liveboot.handoff=switch_root")
	if !b.kernelSettled() || b.plan.Handoff.Way != handoff.SwitchRootOnly {
		t.Errorf("switch_root alone is not settled: %q", b.stays)
	}
}
