package integration

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/liveboot/liveboot/integration/livefacts"
	"github.com/liveboot/liveboot/integration/liveiso"
	"github.com/liveboot/liveboot/integration/webserver"
	"github.com/liveboot/liveboot/qemu"
)

// persistent is the documented way to keep what a live system writes; the name of a disk belongs behind it.
const persistent = "rd.live.overlay.persistent rd.kiwi.live.system="

// smallDisk is the size of a disk for either file system, in MiB: XFS wants 300.
const smallDisk = 400

// A live ISO is deployed to a blank disk. From then on the machine boots from it, with the same line: nothing is asked for on the
// network, and what was written is there. A reset begins anew, and stays so.
func TestPersistent(t *testing.T) {
	for _, fileSystem := range []string{"xfs", "ext4"} {
		t.Run(fileSystem, func(t *testing.T) {
			if fileSystem != "xfs" {
				full(t)
			}
			t.Parallel()
			s := webserver.New(t, nil)
			s.File("/live.iso", liveISO(t, liveiso.Config{Layout: liveiso.RootfsImage, Table: liveiso.GPT, PadMiB: 64}))
			disk := blankDisk(t, smallDisk)
			words := persistent + "/dev/sda rd.live.overlay.cowfs=" + fileSystem + " root=live:" + s.URL + "/live.iso "
			want := lies{iso: "/dev/sda1", layer: "/dev/sda3", fileSystem: fileSystem}

			first := boot(t, words+keep("first"), named("first"), onDisk(disk))
			checkPersistent(t, first.facts(), want, "")
			first.exits("guest-shutdown")
			checkTable(t, disk)

			asked := s.Stats("/live.iso")
			wire := filepath.Join(t.TempDir(), "wire.pcap")
			second := boot(t, words+keep("second"), named("second"), onDisk(disk), sniffed(wire))
			f := second.facts()
			checkPersistent(t, f, want, "first\n")
			second.exits("guest-shutdown")
			checkSilent(t, second, f, wire)
			if got := s.Stats("/live.iso"); got != asked {
				t.Errorf("the server was asked for the image again: %+v, before it was %+v", got, asked)
			}
			t.Logf("up after %.1f s, and %.1f s the second time; memory available: %d MB",
				up(first).Seconds(), up(second).Seconds(), f.Memory["MemAvailable"]/1e6)

			third := boot(t, words+keep("third"), named("third"), onDisk(disk), noCard)
			checkPersistent(t, third.facts(), want, "first\nsecond\n")
			third.exits("guest-shutdown")

			fourth := boot(t, words+"rd.kiwi.live.reset "+keep("fourth"), named("reset"), onDisk(disk))
			checkPersistent(t, fourth.facts(), want, "")
			fourth.exits("guest-shutdown")
			if got := s.Stats("/live.iso"); got.Gets <= asked.Gets {
				t.Errorf("after a reset the server was asked %d times, want more than %d", got.Gets, asked.Gets)
			}

			fifth := boot(t, words, named("after-reset"), onDisk(disk), noCard)
			checkPersistent(t, fifth.facts(), want, "fourth\n")
			fifth.exits("guest-shutdown")
		})
	}
}

// blankDisk is a file of so many MiB that is one hole.
func blankDisk(t testing.TB, mib int64) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, mib<<20); err != nil {
		t.Fatal(err)
	}
	return file
}

// onDisk attaches the file as a disk by AHCI.
func onDisk(file string) func(*qemu.Config) { return withDisk(qemu.Disk{File: file}) }

func withDisk(d qemu.Disk) func(*qemu.Config) {
	return func(c *qemu.Config) { c.Disks = append(c.Disks, d) }
}

// named tells the machines of a test apart.
func named(name string) func(*qemu.Config) { return func(c *qemu.Config) { c.Name = name } }

func noCard(c *qemu.Config) { c.NICs = nil }

// keep is the word by which the live system adds a text to what it keeps.
func keep(text string) string { return livefacts.Keep + text }

// sniffed writes all that passes the first card to a file, in the format of libpcap.
func sniffed(file string) func(*qemu.Config) {
	return func(c *qemu.Config) {
		c.Extra = append(c.Extra, "-object", "filter-dump,id=sniffer,netdev=netdev0,file="+file)
	}
}

// checkSilent makes sure that no network was touched: no packet, no link that was brought up, no stage.
func checkSilent(t *testing.T, m *machine, f *livefacts.Facts, wire string) {
	t.Helper()
	const header = 24 // of the file, without any packet
	if info, err := os.Stat(wire); err != nil || info.Size() != header {
		t.Errorf("packets were on the wire: %v, %v, want a file of %d bytes", info, err, header)
	}
	for _, l := range f.Links {
		if l.Name != "lo" && (l.OperState != "down" || len(l.Addresses) > 0) {
			t.Errorf("link %+v, want one that was not brought up", l)
		}
	}
	m.neverSaid(said(network, ""))
	m.neverSaid(said(fetching, ""))
}

// up is when the live system took over, as time since power-on.
func up(m *machine) time.Duration {
	for _, l := range m.Lines() {
		if handedOver().MatchString(l.Text) {
			return l.At
		}
	}
	return 0
}

// lies says how a live system lies on a disk.
type lies struct {
	// iso matches the device that is mounted as the ISO; layer is that of the writable layer, empty if that is in memory.
	iso, layer string
	fileSystem string
}

// checkPersistent compares what a live system found with the contract, and what it found kept with what was.
func checkPersistent(t *testing.T, f *livefacts.Facts, on lies, kept string) {
	t.Helper()
	want := []mounted{
		{"LiveOS_rootfs", "/", "overlay"}, {"", "/run/overlay", "tmpfs"}, {"", "/run/overlay/live", "iso9660"},
	}
	if on.layer != "" {
		want = append(want, mounted{on.layer, "/run/overlay/overlayfs", on.fileSystem})
	}
	for _, w := range want {
		got, ok := f.Mount(w.Target)
		if !ok || got.Type != w.Type || w.Source != "" && got.Source != w.Source {
			t.Errorf("mounted at %s is %+v, want type %s, source %q", w.Target, got, w.Type, w.Source)
		}
	}
	if got, ok := f.Mount("/run/overlay/overlayfs"); on.layer == "" && ok {
		t.Errorf("mounted at /run/overlay/overlayfs is %+v, want nothing", got)
	}
	device := regexp.MustCompile("^(?:" + on.iso + ")$")
	if got, _ := f.Mount("/run/overlay/live"); !device.MatchString(f.ISODevice) || got.Source != f.ISODevice {
		t.Errorf("/run/overlay/isodev points at %q, mounted as the ISO is %q, want twice %s", f.ISODevice, got.Source, device)
	}
	checkOverlay(t, f)
	checkInitramfs(t, f)
	if f.KnownSHA256 != liveiso.KnownSHA256() || f.KnownError != "" {
		t.Errorf("digest of %s = %s, %s, want %s", livefacts.KnownFile, f.KnownSHA256, f.KnownError, liveiso.KnownSHA256())
	}
	if f.WriteError != "" || f.KeptError != "" {
		t.Errorf("write to /: %s; keep: %s", f.WriteError, f.KeptError)
	}
	if f.Kept != kept {
		t.Errorf("found kept: %q, want %q", f.Kept, kept)
	}
	if i := slices.IndexFunc(f.Mounts, func(m livefacts.Mount) bool { return regexp.MustCompile(`^/dev/ram`).MatchString(m.Source) }); i >= 0 {
		t.Errorf("mounted is %+v, want no RAM disk", f.Mounts[i])
	}
}
