package integration

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/u-root/u-root/pkg/cpio"

	"github.com/liveboot/liveboot/pkg/needs"
	"github.com/liveboot/liveboot/pkg/partition/partitiontest"
	"github.com/liveboot/liveboot/qemu"
)

// tableDisk is a disk with a partition table.
type tableDisk struct {
	name       string
	image      string // file with which the disk begins
	from       int64  // bytes
	sectorSize int
	gpt        bool // Linux goes by a GPT
}

// Power may fail between any two writes of the partition table when the cow partition is added: the kernel sees the old table or the
// new one, and package partition sees what the kernel sees. All kinds of hybrid ISOs, tables of sfdisk, sectors of 512 and 4096 bytes.
func TestPartitionTablesPowerFails(t *testing.T) {
	t.Parallel()
	notShort(t)
	kernel, err := qemu.HostKernel()
	if err != nil {
		t.Fatal(err)
	}
	disks := tableDisks(t)
	c := qemu.Config{
		Kernel: kernel.Image, Initrd: partInitrd(t, kernel), MemoryMiB: 512, NoReboot: true,
		Append: []string{"console=ttyS0", "quiet", "panic=-1"},
	}
	var from []string
	for _, d := range disks {
		if err := os.Truncate(d.image, 512<<20); err != nil {
			t.Fatal(err)
		}
		c.Disks = append(c.Disks, qemu.Disk{File: d.image, Bus: qemu.Virtio, SectorSize: d.sectorSize})
		from = append(from, fmt.Sprint(d.from))
	}
	c.Append = append(c.Append, "partguest.from="+strings.Join(from, ","))
	ctx, cancel := context.WithTimeout(t.Context(), bootTime)
	t.Cleanup(cancel)
	m := &machine{VM: qemu.Start(t, c), t: t, ctx: ctx}
	m.see(regexp.MustCompile(`partguest: done`), regexp.MustCompile(`partguest: failed.*`))
	states := make(map[string][][]string)
	line := regexp.MustCompile(`partguest: vd(.) (\d+) kernel=(\S*) read=(\S*) problem=(\w+)`)
	for _, l := range m.Lines() {
		if g := line.FindStringSubmatch(l.Text); g != nil {
			states[g[1]] = append(states[g[1]], g[3:])
		}
	}
	for i, d := range disks {
		checkStates(t, d, states[string(rune('a'+i))])
	}
}

// checkStates checks what the kernel and Read found on a disk, before and after each write.
func checkStates(t *testing.T, d tableDisk, states [][]string) {
	t.Helper()
	want := 2 // before and after LBA 0
	if d.gpt {
		want = 7 // and copies of entries and header, entries, header; at last the damage
	}
	if len(states) != want {
		t.Errorf("%s: %d states, want %d", d.name, len(states), want)
		return
	}
	if d.gpt {
		damaged := states[len(states)-1]
		states = states[:len(states)-1]
		if after := states[len(states)-1]; damaged[0] != "" || damaged[1] != after[1] || damaged[2] != "true" {
			t.Errorf("%s, GPT in LBA 1 damaged: kernel=%s read=%s problem=%s, want none, %s and true",
				d.name, damaged[0], damaged[1], damaged[2], after[1])
		}
	}
	before, after := states[0][0], states[len(states)-1][0]
	if before == after {
		t.Errorf("%s: partitions %s before and after, want one more", d.name, before)
	}
	for i, s := range states {
		// On a disk with other sectors than the image's table is for, Read says that as its problem.
		if s[0] != s[1] || s[0] != before && s[0] != after || s[2] == "true" && (i > 0 || d.sectorSize == 512) {
			t.Errorf("%s, after %d writes: kernel=%s read=%s problem=%s, want %s or %s for both", d.name, i, s[0], s[1], s[2], before, after)
		}
	}
	t.Logf("%s: %s -> %s", d.name, before, after)
}

// tableDisks returns the disks.
func tableDisks(t *testing.T) []tableDisk {
	t.Helper()
	var disks []tableDisk
	for _, kind := range partitiontest.Kinds() {
		for _, sectorSize := range []int{512, 4096} {
			image := partitiontest.ISO(t, kind)
			info, err := os.Stat(image)
			if err != nil {
				t.Fatal(err)
			}
			name := fmt.Sprintf("ISO %s, sectors of %d", kind.Name, sectorSize)
			disks = append(disks, tableDisk{name, image, info.Size(), sectorSize, kind.GPT && sectorSize == 512})
		}
	}
	for name, script := range map[string]string{
		"sfdisk, logical partitions": "label: dos\nsize=1M\nsize=100M, type=5\nsize=10M, type=82\n5: size=20M\n6: size=30M, type=8e\n7: size=5M\n",
		"sfdisk, GPT":                "label: gpt\n3: size=10M\n128: size=20M\n",
	} {
		image := filepath.Join(t.TempDir(), "disk")
		if err := os.WriteFile(image, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(image, 512<<20); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), needs.Program(t, "sfdisk", "fdisk"), "-q", image)
		cmd.Stdin = strings.NewReader(script)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", cmd, err, out)
		}
		disks = append(disks, tableDisk{name, image, 0, 512, strings.Contains(script, "gpt")})
	}
	return disks
}

// partInitrd is an initramfs with partguest and the modules that it needs.
func partInitrd(t *testing.T, kernel qemu.Kernel) string {
	t.Helper()
	init := filepath.Join(t.TempDir(), "partguest")
	command(t, "go", "build", "-o", init, "./partguest")
	program, err := os.ReadFile(init)
	if err != nil {
		t.Fatal(err)
	}
	records := append([]cpio.Record{
		cpio.CharDev("dev/console", 0o600, 5, 1), cpio.StaticFile("init", string(program), 0o755),
	}, moduleRecords(t, kernel.Modules, "virtio_pci", "virtio_blk")...)
	return writeInitrd(t, records)
}
