package integration

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/u-root/u-root/pkg/cpio"

	"github.com/liveboot/liveboot/integration/udevguest/report"
	"github.com/liveboot/liveboot/pkg/needs"
	"github.com/liveboot/liveboot/qemu"
)

// A card is a network card of a guest, and the name that it is to have in the end. The number N of a card is the end of its MAC.
type card struct{ device, name string }

// A board is a machine with cards.
type board struct {
	// arguments are QEMU's, schemes the naming schemes to compare.
	arguments []string
	schemes   string
	// others are the devices that are no cards.
	others []string
	cards  []card
}

// Links of every kind are named as udev names them: in a guest with Debian's udev, package netid says the same as
// `udevadm test-builtin net_id` in all schemes, and chooses the name that udev then gives.
func TestLinkNames(t *testing.T) {
	for _, tt := range []struct {
		name  string
		full  bool
		board board
	}{
		{"PCI Express", false, expressBoard()},
		{"PCI", true, pciBoard()},
		{"hot-plug slots", true, slotsBoard()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.full {
				full(t)
			}
			t.Parallel()
			got := make(map[string]string)
			for _, l := range askGuest(t, tt.board) {
				t.Logf("%-5s %-11s %s %+v", l.Kernel, l.Driver, l.Renamed, l.Udev)
				if diff := cmp.Diff(l.Udev, l.Ours); diff != "" {
					t.Errorf("%s (%s, %s), candidates by scheme (-udev +ours):\n%s", l.Kernel, l.Driver, l.Address, diff)
				}
				if l.Chosen != l.Renamed {
					t.Errorf("%s (%s, %s): udev renamed it to %s, we to %s", l.Kernel, l.Driver, l.Address, l.Renamed, l.Chosen)
				}
				got[l.Address] = l.Renamed
			}
			want := make(map[string]string)
			for i, c := range tt.board.cards {
				want[mac(i)] = c.name
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("names by MAC (-want +got):\n%s", diff)
			}
		})
	}
}

func mac(i int) string { return fmt.Sprintf("52:54:00:00:00:%02x", i+1) }

// askGuest starts a machine with the cards, and returns its report.
func askGuest(t *testing.T, b board) []report.Link {
	t.Helper()
	notShort(t)
	kernel, err := qemu.HostKernel()
	if err != nil {
		t.Fatal(err)
	}
	c := qemu.Config{
		Kernel: kernel.Image, Initrd: udevInitrd(t, kernel), MemoryMiB: 512, NoReboot: true,
		Append: []string{"console=ttyS0", "quiet", "panic=-1", fmt.Sprintf("%s%d", report.Count, len(b.cards)), report.Schemes + b.schemes},
		Extra:  slices.Clone(b.arguments),
	}
	for _, o := range b.others {
		c.Extra = append(c.Extra, "-device", o)
	}
	for i, card := range b.cards {
		rom := ",romfile="
		if strings.HasPrefix(card.device, "usb-net") {
			rom = ""
		}
		c.Extra = append(c.Extra, "-device", card.device+",mac="+mac(i)+rom)
	}
	links, err := report.Parse(udevReport(t, c))
	if err != nil {
		t.Fatal(err)
	}
	return links
}

// udevReport starts a guest with udev and returns the JSON that it reports.
func udevReport(t *testing.T, c qemu.Config) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bootTime)
	t.Cleanup(cancel)
	m := &machine{VM: qemu.Start(t, c), t: t, ctx: ctx}
	return m.see(report.Line(), regexp.MustCompile(`udevguest FAILED.*`)).Groups[1]
}

// expressBoard has root ports, a bridge to PCI behind one, a second root bus, and a USB controller with a hub.
func expressBoard() board {
	return board{
		schemes: "v252",
		others: []string{
			"pcie-root-port,id=port1,chassis=1,slot=1,bus=pcie.0,addr=8",
			"pcie-root-port,id=port2,chassis=2,slot=2,bus=pcie.0,addr=9",
			"pcie-root-port,id=port3,chassis=3,slot=3,bus=pcie.0,addr=a",
			"pcie-root-port,id=port4,chassis=4,slot=4,bus=pcie.0,addr=b",
			"pcie-pci-bridge,id=pci,bus=port2",
			"pxb-pcie,id=pxb,bus_nr=128,bus=pcie.0,addr=c",
			"pcie-root-port,id=port5,chassis=5,slot=5,bus=pxb",
			"qemu-xhci,id=usb,bus=pcie.0,addr=d",
			"usb-hub,bus=usb.0,port=2",
		},
		cards: []card{
			{"virtio-net-pci,bus=pcie.0,addr=2", "enp0s2"},
			{"e1000,bus=pcie.0,addr=3", "enp0s3"},
			{"rtl8139,bus=pcie.0,addr=4", "enp0s4"},
			{"vmxnet3,bus=pcie.0,addr=5", "enp0s5"},
			{"e1000,bus=pcie.0,addr=6.0,multifunction=on", "enp0s6f0"},
			{"e1000,bus=pcie.0,addr=6.1", "enp0s6f1"},
			{"virtio-net-pci,bus=port1", "enp1s0"},
			{"e1000,bus=pci,addr=3", "ens3"},
			{"e1000e,bus=port3,addr=0.0,multifunction=on", "enp4s0f0"},
			{"e1000e,bus=port3,addr=0.1", "enp4s0f1"},
			{"virtio-net-pci,bus=port4,acpi-index=7", "eno7"},
			{"virtio-net-pci,bus=port5", "enp129s0"},
			{"usb-net,bus=usb.0,port=1", "enx52540000000d"},
			{"usb-net,bus=usb.0,port=2.1", "enx52540000000e"},
		},
	}
}

// pciBoard has a bridge and a USB controller. Its firmware numbers all slots of the root bus.
func pciBoard() board {
	return board{
		arguments: []string{"-machine", "pc"},
		schemes:   "v238,v247,v252",
		others: []string{
			"pci-bridge,id=bridge,chassis_nr=1,addr=8",
			"piix3-usb-uhci,id=usb,addr=9",
		},
		cards: []card{
			{"virtio-net-pci,addr=2", "ens2"},
			{"e1000,addr=3", "ens3"},
			{"rtl8139,addr=4", "ens4"},
			{"vmxnet3,addr=5", "ens5"},
			{"e1000,addr=6.0,multifunction=on", "ens6f0"},
			{"e1000,addr=6.1", "ens6f1"},
			{"virtio-net-pci,bus=bridge,addr=1", "ens1"},
			{"e1000,bus=bridge,addr=2", "enp1s2"},
			{"virtio-net-pci,addr=7,acpi-index=3", "eno3"},
			{"usb-net,bus=usb.0", "enx52540000000a"},
		},
	}
}

// slotsBoard has ports that are hot-plug slots by PCI Express's own means, as most servers have them: cards in slots, and cards behind a
// switch that is in a slot, where the schemes differ.
func slotsBoard() board {
	return board{
		arguments: []string{"-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off"},
		schemes:   "v238,v247,v252",
		others: []string{
			"pcie-root-port,id=port1,chassis=1,slot=11,bus=pcie.0,addr=8",
			"pcie-root-port,id=port2,chassis=2,slot=12,bus=pcie.0,addr=9",
			"pcie-root-port,id=port3,chassis=3,slot=13,bus=pcie.0,addr=a",
			"pcie-root-port,id=port4,chassis=4,slot=14,bus=pcie.0,addr=b",
			"x3130-upstream,id=switch,bus=port3",
			"xio3130-downstream,id=down1,bus=switch,addr=0,chassis=5,slot=1,hotplug=off",
			"xio3130-downstream,id=down2,bus=switch,addr=1,chassis=6,slot=2,hotplug=off",
			"qemu-xhci,id=usb,bus=port4",
		},
		cards: []card{
			{"virtio-net-pci,bus=port1", "ens11"},
			{"e1000e,bus=port2,addr=0.0,multifunction=on", "ens12f0"},
			{"e1000e,bus=port2,addr=0.1", "ens12f1"},
			{"virtio-net-pci,bus=down1", "enp5s0"},
			{"e1000e,bus=down2,addr=0.0,multifunction=on", "ens13f0"},
			{"e1000e,bus=down2,addr=0.1,multifunction=on", "ens13f1"},
			{"usb-net,bus=usb.0,port=1", "enx525400000007"},
		},
	}
}

// udevInitrd builds an initramfs that holds udevguest, Debian's udev with the libraries it needs and the rules that name links, and the
// drivers of the cards.
func udevInitrd(t *testing.T, kernel qemu.Kernel) string {
	t.Helper()
	udevadm := needs.Program(t, "udevadm", "udev")
	files := map[string]string{"init": buildGuest(t), "usr/bin/udevadm": udevadm}
	rules, policies := matches(t, "/usr/lib/udev/rules.d/*-net-*.rules"), matches(t, "/usr/lib/systemd/network/*.link")
	for _, name := range slices.Concat(libraries(t, udevadm), rules, policies) {
		files[strings.TrimPrefix(name, "/")] = name
	}
	for name, file := range driverFiles(t, kernel) {
		files[name] = file
	}
	records := []cpio.Record{
		cpio.CharDev("dev/console", 0o600, 5, 1),
		cpio.Symlink("bin", "usr/bin"), cpio.Symlink("lib", "usr/lib"), cpio.Symlink("lib64", "usr/lib64"),
		cpio.Symlink("usr/lib/systemd/systemd-udevd", "/usr/bin/udevadm"),
	}
	for name, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		// The folders /lib and /lib64 are links into /usr here, as on Debian.
		if strings.HasPrefix(name, "lib") {
			name = "usr/" + name
		}
		records = append(records, cpio.StaticFile(name, string(data), 0o755))
	}
	return writeInitrd(t, records)
}

// writeInitrd writes an initramfs with these files and the folders that they are in.
func writeInitrd(t *testing.T, records []cpio.Record) string {
	t.Helper()
	var archive bytes.Buffer
	w := cpio.Newc.Writer(&archive)
	if err := cpio.WriteRecords(w, withFolders(records)); err != nil {
		t.Fatal(err)
	}
	if err := cpio.WriteTrailer(w); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "initrd")
	if err := os.WriteFile(file, archive.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// withFolders puts the folders of all records before them.
func withFolders(records []cpio.Record) []cpio.Record {
	folders := make(map[string]bool)
	for _, r := range records {
		for dir := filepath.Dir(r.Name); dir != "."; dir = filepath.Dir(dir) {
			folders[dir] = true
		}
	}
	var all []cpio.Record
	for _, dir := range slices.Sorted(maps.Keys(folders)) {
		all = append(all, cpio.Directory(dir, 0o755))
	}
	return append(all, records...)
}

func buildGuest(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "init")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", file, "./udevguest")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build udevguest: %v\n%s", err, out)
	}
	return file
}

// libraries are the shared libraries of a program.
func libraries(t *testing.T, program string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), needs.Program(t, "ldd", "libc-bin"), program).Output()
	if err != nil {
		t.Fatalf("ldd %s: %v", program, err)
	}
	var files []string
	for _, m := range regexp.MustCompile(`(/\S+) \(0x`).FindAllSubmatch(out, -1) {
		files = append(files, string(m[1]))
	}
	return files
}

func matches(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	needs.That(t, len(files) > 0, pattern+" (Debian: udev)")
	return files
}

// driverFiles are the drivers of the cards and of what they are plugged into, with what these depend on, and the indexes of all
// modules; by their names in the guest. The driver cdc_subset is not among them: it takes QEMU's USB card as well, if it is loaded
// first, and gives it a random MAC.
func driverFiles(t *testing.T, kernel qemu.Kernel) map[string]string {
	t.Helper()
	in := filepath.Join("usr/lib/modules", filepath.Base(kernel.Modules))
	files := make(map[string]string)
	for _, index := range []string{"modules.dep", "modules.alias", "modules.softdep", "modules.builtin"} {
		files[filepath.Join(in, index)] = filepath.Join(kernel.Modules, index)
	}
	dependencies, err := os.ReadFile(filepath.Join(kernel.Modules, "modules.dep"))
	if err != nil {
		t.Fatal(err)
	}
	wanted := regexp.MustCompile(`/(virtio_net|virtio_pci|e1000|e1000e|8139cp|8139too|vmxnet3|cdc_ether|rndis_host|xhci-pci|uhci-hcd)\.ko`)
	for line := range strings.Lines(string(dependencies)) {
		if name, _, _ := strings.Cut(line, ":"); !wanted.MatchString(name) {
			continue
		}
		for _, file := range strings.Fields(strings.ReplaceAll(line, ":", " ")) {
			files[filepath.Join(in, file)] = filepath.Join(kernel.Modules, file)
		}
	}
	return files
}
