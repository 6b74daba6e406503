package boot

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/cmdline"
	"github.com/liveboot/liveboot/pkg/device/disk"
	"github.com/liveboot/liveboot/pkg/kernel/mount"
	"github.com/liveboot/liveboot/pkg/network"
	"github.com/liveboot/liveboot/pkg/plan"
	"github.com/liveboot/liveboot/pkg/probe"
)

// Watch implements Disks: three partitions of the disk have file systems, and nothing ever changes.
func (d *sda) Watch(_ context.Context, changed func([]disk.Device) bool) error {
	whole := disk.Device{Name: "sda", Path: "/dev/sda", SectorSize: d.sector, Contents: []probe.Content{{Kind: probe.KindPartitionTable, Name: "GPT"}}}
	there := []disk.Device{whole, {Name: "sr0", Path: "/dev/sr0", SectorSize: 2048}}
	for i, kind := range []string{"xfs", "ext3", "vfat"} {
		name := "sda" + string(rune('1'+i))
		there = append(there, disk.Device{
			Name: name, Path: "/dev/" + name, Disk: "sda", SectorSize: d.sector, ReadOnly: d.readOnly,
			Contents: []probe.Content{{Kind: probe.KindFileSystem, Name: kind}},
		})
	}
	for range 2 {
		if changed(there) {
			return nil
		}
	}
	return context.DeadlineExceeded
}

// localMachine has a live ISO on its disk, and once more in a file of the partition.
func localMachine(t *testing.T, partition string) *machine {
	t.Helper()
	m := newMachine(t)
	image := wholeImage()
	m.sda = newSDA(m, 32<<20)
	copy(m.sda.data, image)
	m.sda.data[0] = 1 // a boot sector
	m.mounts = func(p mount.Point) error {
		if p.Source == partition {
			m.write(scanFolder+"/boot/x.iso", image, 0o644)
		}
		return nil
	}
	return m
}

// bootLocal boots m by the whole line.
func (m *machine) bootLocal(line string) error {
	m.t.Helper()
	p, err := plan.Parse(cmdline.Parse(line))
	if err != nil {
		m.t.Fatal(err)
	}
	here := m.machine()
	m.write("proc/filesystems", []byte("nodev\tproc\n\text4\n\tvfat\n"), 0o644)
	_, err = Run(m.t.Context(), p, here, screen{m})
	return err
}

const inFile = "root=live:CDLABEL=CDROM iso-scan/filename=/boot/x.iso "

// TestRunLocal: an image that is there needs no network.
func TestRunLocal(t *testing.T) {
	for _, tt := range []struct {
		name, line, partition string
		sector                int
	}{
		{"local-disk", "root=live:/dev/sda", "", 512},
		{"local-disk-persistent", "root=live:/dev/sda rd.live.overlay.persistent", "", 512},
		{"local-disk-large-sectors", "root=live:/dev/sda", "", 4096},
		{"local-file", inFile, "/dev/sda2", 512},
		{"local-file-persistent", inFile + "rd.live.overlay.persistent rd.live.cowfile.mbsize=8", "/dev/sda2", 512},
		{"local-file-large-sectors", inFile + "rd.live.overlay.persistent rd.live.cowfile.mbsize=8", "/dev/sda2", 4096},
		{"local-file-vfat", inFile, "/dev/sda3", 512},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := localMachine(t, tt.partition)
			m.sda.sector = tt.sector
			if err := m.bootLocal(tt.line); err != nil {
				t.Fatalf("Run: %v", err)
			}
			golden(t, tt.name, m.sequence())
		})
	}
}

func TestRunLocalErrors(t *testing.T) {
	const persistent = inFile + "rd.live.overlay.persistent rd.live.cowfile.mbsize=8 "
	for _, tt := range []struct {
		name, line string
		change     func(*machine)
		stage      plan.Stage
		want       string
		hint       string
	}{
		{"no such device", "root=live:/dev/sdb", nil, plan.Target, "find device /dev/sdb", "check the name in"},
		{"no ISO", "root=live:/dev/sr0", nil, plan.Target, "/dev/sr0 (1.0 MiB): read volume descriptor: not an ISO 9660 image", "names is no ISO"},
		{"layer on what can only be read", "root=live:/dev/sda rd.live.overlay.persistent", func(m *machine) { m.sda.readOnly = true },
			plan.Target, "/dev/sda (32.0 MiB, Test Disk) cannot be written to", "without rd.live.overlay.persistent"},
		{"no place behind the image", "root=live:/dev/sda rd.live.overlay.persistent rd.live.overlay.cowfs=xfs", nil,
			plan.Overlay, "the disk of 32 MiB is too small", "larger disk"},
		{"no such file", "root=live:CDLABEL=CDROM iso-scan/filename=/y.iso", nil, plan.Target,
			"find the file /y.iso: no file system of the machine has it; looked into /dev/sda1 (0 B, xfs): load fs-xfs: no such module in the image or the kernel; " +
				"/dev/sda2 (0 B, ext3): no such file or directory; /dev/sda3 (0 B, vfat): no such file or directory", "check the path in iso-scan/filename="},
		{"file that is no ISO", inFile, func(m *machine) {
			m.mounts = func(mount.Point) error { m.write(scanFolder+"/boot/x.iso", []byte("text"), 0o644); return nil }
		}, plan.Target, "/boot/x.iso on /dev/sda2 (0 B, ext3): read volume descriptor: not an ISO 9660 image", "names is no ISO"},
		{"file beside what can only be read", persistent, func(m *machine) { m.sda.readOnly = true },
			plan.Target, "live_system.cow on /dev/sda2 (0 B): /dev/sda2 cannot be written to", "without rd.live.overlay.persistent"},
		{"file system that cannot be written to", persistent, refuseWriting, plan.Target, "live_system.cow on /dev/sda2 (0 B): read-only file system", "without rd.live.overlay.persistent"},
		{"file too small for its file system", persistent + "rd.live.overlay.cowfs=xfs", nil, plan.Target, "xfs needs 300 MiB, and the file is to have 8.0 MiB", "without rd.live.overlay.persistent"},
		{"file that is no file system", persistent, func(m *machine) { m.write(scanFolder+"/live_system.cow", []byte("text"), 0o644) },
			plan.Target, "live_system.cow on /dev/sda2 (0 B): no known file system", "without rd.live.overlay.persistent"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := localMachine(t, "/dev/sda2")
			if tt.change != nil {
				tt.change(m)
			}
			err := m.bootLocal(tt.line)
			var staged *StageError
			if !errors.As(err, &staged) || staged.Stage != tt.stage || !strings.Contains(staged.Err.Error(), tt.want) {
				t.Fatalf("Run = %v, want an error of %s with %q", err, tt.stage, tt.want)
			}
			if h := Hint(err); !strings.Contains(h, tt.hint) {
				t.Errorf("Hint = %q, want one with %q", h, tt.hint)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("Run = %q, want one line", err)
			}
		})
	}
}

// refuseWriting lets the file system with the ISO be mounted read-only only.
func refuseWriting(m *machine) {
	show := m.mounts
	m.mounts = func(p mount.Point) error {
		if p.Source == "/dev/sda2" && p.Flags&mount.ReadOnly == 0 {
			return unix.EROFS
		}
		return show(p)
	}
}

// TestRunLocalWithoutLayer: with =auto a place that cannot be had is no reason to stop.
func TestRunLocalWithoutLayer(t *testing.T) {
	for _, tt := range []struct {
		name, line string
		change     func(*machine)
		want       string
	}{
		{"read only", "root=live:/dev/sda ", func(m *machine) { m.sda.readOnly = true }, "/dev/sda (32.0 MiB, Test Disk) cannot be written to"},
		{"no place", "root=live:/dev/sda rd.live.overlay.cowfs=xfs ", func(*machine) {}, "/dev/sda: add a writable layer: the disk of 32 MiB is too small"},
		{"file system that cannot be written to", inFile, refuseWriting, "live_system.cow on /dev/sda2 (0 B): read-only file system"},
		{"file too small", inFile + "rd.live.cowfile.mbsize=1 ", func(*machine) {}, "live_system.cow on /dev/sda2 (0 B): ext4 needs 8.0 MiB, and the file is to have 1.0 MiB"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := localMachine(t, "/dev/sda2")
			tt.change(m)
			if err := m.bootLocal(tt.line + "rd.live.overlay.persistent=auto"); err != nil {
				t.Fatalf("Run: %v", err)
			}
			if got := m.sequence(); !strings.Contains(got, "# warning: nothing that the live system writes is kept: "+tt.want) || !strings.Contains(got, "changes in memory") {
				t.Errorf("Run did\n%swant a warning with %q, and changes in memory", got, tt.want)
			}
		})
	}
}

// TestMakeLayerFile: what an interruption left is replaced, and what is there is kept.
func TestMakeLayerFile(t *testing.T) {
	m := localMachine(t, "/dev/sda2")
	const cow = scanFolder + "/kept/cow"
	m.write(cow+".new", bytes.Repeat([]byte("half of it "), 1<<20), 0o644)
	line := inFile + "rd.live.overlay.persistent rd.live.cowfile.mbsize=8 rd.live.cowfile.path=/kept/cow"
	if err := m.bootLocal(line); err != nil {
		t.Fatalf("Run: %v", err)
	}
	if _, err := os.Stat(m.path(cow + ".new")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the unfinished file is still there: %v", err)
	}
	made, err := os.ReadFile(m.path(cow))
	if err != nil {
		t.Fatal(err)
	}
	kind, err := probe.FileSystem(bytes.NewReader(made))
	if len(made) != 8<<20 || kind != "ext4" || err != nil {
		t.Errorf("the layer's file has %d bytes of %q (%v), want %d of ext4", len(made), kind, err, 8<<20)
	}
	if err := os.RemoveAll(m.path("run/overlay")); err != nil {
		t.Fatal(err)
	}
	if err := m.bootLocal(line); err != nil {
		t.Fatalf("Run again: %v", err)
	}
	if again, err := os.ReadFile(m.path(cow)); err != nil || !bytes.Equal(again, made) {
		t.Errorf("the layer's file was made again (%v), want what was there", err)
	}
}

// downLinks is a machine with a card that is down, and a bridge of somebody's. The disk behind the network is there when the card is up.
type downLinks struct{ links }

func (l downLinks) Watch(ctx context.Context) (<-chan network.Link, error) {
	c := make(chan network.Link, 3)
	card := network.Link{Index: 2, Name: "eth0", MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}}
	c <- network.Link{Index: 3, Name: "br0", Kind: "bridge"}
	c <- card
	card.Name, card.Up = "lan0", true
	c <- card
	context.AfterFunc(ctx, func() { close(c) })
	return c, nil
}

func (l downLinks) Change(link network.Link, c network.Change) error {
	l.m.log("# change of %s: %+v", link.Name, c)
	if c.Up {
		close(l.m.sda.attached)
	}
	return nil
}

// TestRunAoE: a card is set up under the name that it is to keep, and disks are asked for behind it.
func TestRunAoE(t *testing.T) {
	m := localMachine(t, "")
	m.sda.attached = make(chan struct{})
	p, err := plan.Parse(cmdline.Parse("root=live:AOEINTERFACE=e0.1 ifname=lan0:02:00:00:00:00:01"))
	if err != nil {
		t.Fatal(err)
	}
	m.write("dev/etherd/discover", nil, 0o600)
	here := m.machine()
	here.Network.Kernel = downLinks{links{m}}
	here.Sys = fstest.MapFS{
		"bus/pci/devices/0000:00:03.0/modalias": {Data: []byte("pci:nic\n")},
		"class/net/eth0":                        {Mode: fs.ModeSymlink, Data: []byte("../../devices/card/net/eth0")},
		"devices/card/uevent":                   {},
		"devices/card/driver":                   {Mode: fs.ModeSymlink, Data: []byte("../../bus/pci/drivers/nic")},
		"devices/card/net/eth0/uevent":          {},
		"devices/card/net/eth0/type":            {Data: []byte("1\n")},
		"devices/card/net/eth0/ifindex":         {Data: []byte("2\n")},
		"devices/card/net/eth0/iflink":          {Data: []byte("2\n")},
		"bus/pci/drivers/nic/uevent":            {},
	}
	m.write("lib/modules/"+release+"/modules.dep", []byte("kernel/aoe.ko:\nkernel/loop.ko:\nkernel/isofs.ko:\nkernel/squashfs.ko:\nkernel/overlay.ko:\nkernel/nic.ko:\n"), 0o644)
	if _, err := Run(t.Context(), p, here, screen{m}); err != nil {
		t.Fatalf("Run: %v", err)
	}
	changes := slices.DeleteFunc(slices.Clone(m.lines), func(line string) bool {
		return !strings.HasPrefix(line, "# change") && !strings.HasPrefix(line, "# warning")
	})
	want := []string{"# change of eth0: {Name:lan0 MAC: MTU:0 Up:false Down:false}", "# change of eth0: {Name: MAC: MTU:0 Up:true Down:false}"}
	if diff := cmp.Diff(want, changes); diff != "" {
		t.Errorf("changes of links (-want +got):\n%s", diff)
	}
	if asked, err := os.ReadFile(m.path("dev/etherd/discover")); err != nil || string(asked) != "discover" {
		t.Errorf("the driver was told %q (%v), want to discover", asked, err)
	}
}
