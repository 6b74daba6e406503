package integration

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/liveboot/liveboot/integration/liveiso"
	"github.com/liveboot/liveboot/pkg/needs"
)

// Images with every kind of partition table: the disk holds the image as it came, its table is sound and has one entry more, it boots by the
// image's own boot code, and the second boot finds what the first one kept.
func TestPartitionTables(t *testing.T) {
	for _, tt := range []struct {
		name  string
		table liveiso.Table
		want  lies
		full  bool
	}{
		{"GPT", liveiso.GPT, lies{"/dev/sda1", "/dev/sda3", "ext4"}, true},
		{"MBR", liveiso.MBR, lies{"/dev/sda1", "/dev/sda3", "ext4"}, false},
		{"none", liveiso.Plain, lies{`/dev/loop\d+`, "/dev/sda1", "ext4"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.full {
				full(t)
			}
			t.Parallel()
			iso := liveISO(t, liveiso.Config{Layout: liveiso.Squashfs, Table: tt.table})
			disk := blankDisk(t, smallDisk)
			words := persistent + "/dev/sda root=live:" + nginx(t, iso, nil) + " "
			first := boot(t, words+keep("first"), named("first"), onDisk(disk))
			checkPersistent(t, first.facts(), tt.want, "")
			first.exits("guest-shutdown")
			checkTable(t, disk)
			checkImage(t, disk, iso, tt.table)
			checkFileSystem(t, disk, tt.want)
			if tt.table != liveiso.Plain {
				bootsAlone(t, disk)
			}
			second := boot(t, words, named("second"), onDisk(disk), noCard)
			checkPersistent(t, second.facts(), tt.want, "first\n")
			second.exits("guest-shutdown")
		})
	}
}

// bootsAlone starts a machine that has nothing but the disk, and waits for the boot code of the image.
func bootsAlone(t *testing.T, disk string) {
	t.Helper()
	m := boot(t, "", named("alone"), onDisk(disk), noCard, fromDisk)
	m.see(regexp.MustCompile(liveiso.BootCode))
	if err := m.Kill(); err != nil {
		t.Fatal(err)
	}
}

// checkTable has other programs look for damage in a disk's partition table.
func checkTable(t *testing.T, disk string) {
	t.Helper()
	check := func(name, debian, option, good string) {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), needs.Program(t, name, debian), option, disk).CombinedOutput()
		if err != nil || !strings.Contains(string(out), good) {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	check("sfdisk", "fdisk", "--verify", "No errors detected")
	if hasGPT(t, disk) {
		check("sgdisk", "gdisk", "-v", "No problems found")
	}
}

// hasGPT reports whether there is a header of a GPT in LBA 1.
func hasGPT(t *testing.T, disk string) bool {
	t.Helper()
	f, err := os.Open(disk)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	signature := make([]byte, 8)
	if _, err := f.ReadAt(signature, 512); err != nil {
		t.Fatal(err)
	}
	return string(signature) == "EFI PART"
}

// checkImage compares a disk with its image: they differ in the table only.
func checkImage(t *testing.T, disk, iso string, table liveiso.Table) {
	t.Helper()
	want, err := os.ReadFile(iso)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(want))
	f, err := os.Open(disk)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.ReadFull(f, got); err != nil {
		t.Fatal(err)
	}
	// Behind the code is the number of the disk, and then the table, of which the first entry of a GPT's only is the protective one.
	ours := map[liveiso.Table][2]int{liveiso.GPT: {446, 3 * 512}, liveiso.MBR: {446, 512}, liveiso.Plain: {440, 512}}[table]
	for _, part := range [][2]int{{0, ours[0]}, {ours[1], len(want)}} {
		for i := part[0]; i < part[1]; i++ {
			if got[i] != want[i] {
				t.Errorf("byte %d of the disk is %#x, that of the image %#x, want them to differ in bytes %d to %d only", i, got[i], want[i], ours[0], ours[1])
				return
			}
		}
	}
	if bytes.Equal(got[ours[0]:ours[1]], want[ours[0]:ours[1]]) {
		t.Errorf("bytes %d to %d of the disk are those of the image, want a table with one partition more", ours[0], ours[1])
	}
}

// part is a partition, in bytes.
type part struct{ start, size int64 }

// partitionOf finds a partition of a disk by its number.
func partitionOf(t *testing.T, disk, number string) part {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), needs.Program(t, "sfdisk", "fdisk"), "--json", disk).Output()
	if err != nil {
		t.Fatalf("sfdisk: %v", err)
	}
	var dump struct {
		PartitionTable struct {
			Partitions []struct {
				Node        string
				Start, Size int64
			}
		}
	}
	if err := json.Unmarshal(out, &dump); err != nil {
		t.Fatal(err)
	}
	for _, p := range dump.PartitionTable.Partitions {
		if p.Node == disk+number {
			return part{p.Start * 512, p.Size * 512}
		}
	}
	t.Fatalf("the disk has no partition %s:\n%s", number, out)
	return part{}
}

// extract copies a partition to a file of its own.
func extract(t *testing.T, disk, number string) string {
	t.Helper()
	p := partitionOf(t, disk, number)
	f, err := os.Open(disk)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	file := filepath.Join(t.TempDir(), "partition")
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if err := out.Truncate(p.size); err != nil {
		t.Fatal(err)
	}
	copyHoles(t, out, 0, io.NewSectionReader(f, p.start, p.size))
	return file
}

// copyHoles copies all of r to a place, in bytes, that reads as zeros. What is zero in r is left out, which keeps files with holes small.
func copyHoles(t *testing.T, w io.WriterAt, offset int64, r io.Reader) {
	t.Helper()
	b, zeros := make([]byte, 1<<20), make([]byte, 1<<20)
	for {
		n, err := io.ReadFull(r, b)
		if !bytes.Equal(b[:n], zeros[:n]) {
			if _, err := w.WriteAt(b[:n], offset); err != nil {
				t.Fatal(err)
			}
		}
		switch {
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return
		case err != nil:
			t.Fatal(err)
		}
		offset += int64(n)
	}
}

// insert copies a file to a partition of a disk.
func insert(t *testing.T, file, disk, number string) {
	t.Helper()
	insertAt(t, file, disk, partitionOf(t, disk, number).start)
}

// overwrite changes bytes of a disk.
func overwrite(t *testing.T, disk string, offset int64, b []byte) {
	t.Helper()
	f, err := os.OpenFile(disk, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(b, offset); err != nil {
		t.Fatal(err)
	}
}

// layerNumber is the number of the partition with the writable layer.
func (l lies) layerNumber() string { return l.layer[len(l.layer)-1:] }

// checkFileSystem has the file system's own program look for damage in the writable layer. The live systems of liveinit do not unmount it: of ext4
// the journal is replayed first, and XFS is to be clean.
func checkFileSystem(t *testing.T, disk string, on lies) {
	t.Helper()
	file := extract(t, disk, on.layerNumber())
	if on.fileSystem == "xfs" {
		tool(t, "xfs_repair", "xfsprogs", "-n", "-f", file)
		return
	}
	tool(t, "e2fsck", "e2fsprogs", "-y", "-E", "journal_only", file)
	tool(t, "e2fsck", "e2fsprogs", "-fn", file)
}
