package integration

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/liveboot/liveboot/integration/liveiso"
	"github.com/liveboot/liveboot/integration/webserver"
	"github.com/liveboot/liveboot/pkg/needs"
	"github.com/liveboot/liveboot/qemu"
)

// foreignDisk is the size of a disk with somebody's data, in MiB.
const foreignDisk = 128

// A disk with somebody's data: the boot stops and says what is there, and not one byte of it is changed.
func TestForeignDisk(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fill  func(t *testing.T, disk string)
		cause string
		full  bool
	}{
		{"Windows", windows, `GPT.*(?:vfat "SYSTEM".*ntfs "Windows"|ntfs "Windows".*vfat "SYSTEM")`, false},
		{"ext4", func(t *testing.T, disk string) { tool(t, "mkfs.ext4", "e2fsprogs", "-q", "-F", "-L", "home", disk) }, `ext4 "home"`, true},
		{"LUKS", luks, "LUKS2", true},
		{"LVM", physicalVolume, "LVM", true},
		{"RAID", raidMember, "(?i)md|RAID", true},
		{"another ISO", func(t *testing.T, disk string) {
			insertAt(t, liveISO(t, liveiso.Config{Layout: liveiso.NoRoot}), disk, 0)
		}, `iso9660 "CDROM"`, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.full {
				full(t)
			}
			t.Parallel()
			s := webserver.New(t, nil)
			s.File("/live.iso", liveISO(t, liveiso.Config{Layout: liveiso.Squashfs}))
			disk := blankDisk(t, foreignDisk)
			tt.fill(t, disk)
			before := sum(t, disk)
			m := boot(t, persistent+"/dev/sda root=live:"+s.URL+"/live.iso", onDisk(disk))
			m.fails(target, `/dev/sda.* holds .*`+tt.cause)
			if err := m.Kill(); err != nil {
				t.Fatal(err)
			}
			if after := sum(t, disk); after != before {
				t.Error("the disk was changed")
			}
			if got := s.Stats("/live.iso"); got.Gets != 0 {
				t.Errorf("the server was asked for the image: %+v", got)
			}
		})
	}
}

// Somebody's data is overwritten if that is asked for.
func TestResetForeignDisk(t *testing.T) {
	full(t)
	t.Parallel()
	disk := blankDisk(t, foreignDisk)
	windows(t, disk)
	words := persistent + "/dev/sda root=live:" + nginx(t, liveISO(t, liveiso.Config{Layout: liveiso.Squashfs, Table: liveiso.MBR}), nil) + " "
	m := boot(t, words+"rd.kiwi.live.reset "+keep("first"), onDisk(disk))
	checkPersistent(t, m.facts(), lies{"/dev/sda1", "/dev/sda3", "ext4"}, "")
	m.exits("guest-shutdown")
	checkTable(t, disk)
	again := boot(t, words, named("again"), onDisk(disk), noCard)
	checkPersistent(t, again.facts(), lies{"/dev/sda1", "/dev/sda3", "ext4"}, "first\n")
}

// A disk that never comes: the machine waits for it, and says which disks there are.
func TestNoSuchDisk(t *testing.T) {
	full(t)
	t.Parallel()
	m := boot(t, persistent+"/dev/sdz root=live:http://10.0.2.2/live.iso",
		onDisk(blankDisk(t, foreignDisk)), withDisk(qemu.Disk{File: blankDisk(t, 8), Bus: qemu.Virtio}))
	m.see(warned("waiting for /dev/sdz"), anyFailure())
	sentence := m.fails(target, "/dev/sdz")
	for _, there := range []string{"/dev/sda", "/dev/vda"} {
		if !strings.Contains(sentence, there) {
			t.Errorf("the failure is %q, want %s in it", sentence, there)
		}
	}
}

// A disk that is too small is refused before the first byte.
func TestSmallDisk(t *testing.T) {
	full(t)
	t.Parallel()
	s := webserver.New(t, nil)
	s.File("/live.iso", liveISO(t, liveiso.Config{Layout: liveiso.Squashfs, PadMiB: 64}))
	disk := blankDisk(t, 32)
	before := sum(t, disk)
	m := boot(t, persistent+"/dev/sda root=live:"+s.URL+"/live.iso", onDisk(disk))
	m.fails("(?:target|fetch)", `too small.*\d+ [KMG]iB.*\d+ [KMG]iB`)
	if err := m.Kill(); err != nil {
		t.Fatal(err)
	}
	if after := sum(t, disk); after != before {
		t.Error("the disk was changed")
	}
	if st := s.Stats("/live.iso"); st.Gets > 1 || st.Bytes > inFlight {
		t.Errorf("asked for the image: %+v, want at most one request and no more than %d bytes under way", st, inFlight)
	}
}

// sum is the SHA-256 of a file.
func sum(t *testing.T, file string) string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// tool runs a program of Debian's package.
func tool(t *testing.T, name, debian string, args ...string) {
	t.Helper()
	toolFed(t, "", name, debian, args...)
}

// toolFed runs a program with an input.
func toolFed(t *testing.T, input, name, debian string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), needs.Program(t, name, debian), args...)
	cmd.Stdin = strings.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
}

// insertAt copies a file to a place of a disk, in bytes, that reads as zeros.
func insertAt(t *testing.T, file, disk string, offset int64) {
	t.Helper()
	in, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(disk, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	copyHoles(t, out, offset, in)
}

// windows makes a disk as Windows does: a system partition, a reserved one, and one with NTFS.
func windows(t *testing.T, disk string) {
	t.Helper()
	tool(t, "sgdisk", "gdisk", "-n1:2048:+34M", "-t1:ef00", "-n2:0:+16M", "-t2:0c01", "-n3:0:0", "-t3:0700", disk)
	for _, p := range []struct{ number, program, debian string }{{"1", "mkfs.vfat", "dosfstools"}, {"3", "mkfs.ntfs", "ntfs-3g"}} {
		file := blankDisk(t, 1)
		if err := os.Truncate(file, partitionOf(t, disk, p.number).size); err != nil {
			t.Fatal(err)
		}
		args := []string{"-F", "32", "-n", "SYSTEM", file}
		if p.number == "3" {
			args = []string{"-q", "-F", "-f", "-L", "Windows", file}
		}
		tool(t, p.program, p.debian, args...)
		insert(t, file, disk, p.number)
	}
}

func luks(t *testing.T, disk string) {
	t.Helper()
	toolFed(t, "secret", "cryptsetup", "cryptsetup-bin",
		"luksFormat", "-q", "--type", "luks2", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", disk, "-")
}

// physicalVolume writes LVM's label into sector 1, as pvcreate does (label.h and format_text of LVM2): its checksum is CRC-32 from another start and
// without the inversions, over the rest of the sector.
func physicalVolume(t *testing.T, disk string) {
	t.Helper()
	const start, size = 0xf597a6cf, foreignDisk << 20
	label := make([]byte, 512)
	copy(label, "LABELONE")
	binary.LittleEndian.PutUint64(label[8:], 1)
	binary.LittleEndian.PutUint32(label[20:], 32)
	copy(label[24:], "LVM2 001")
	copy(label[32:], "RbHGBXwIKRHGNAfPTeY3gD4vKUBCBwfn")
	binary.LittleEndian.PutUint64(label[64:], size)
	for i, area := range [][2]uint64{{1 << 20, 0}, {0, 0}, {4096, 1<<20 - 4096}} {
		binary.LittleEndian.PutUint64(label[72+16*i:], area[0])
		binary.LittleEndian.PutUint64(label[80+16*i:], area[1])
	}
	binary.LittleEndian.PutUint32(label[16:], ^crc32.Update(^uint32(start), crc32.IEEETable, label[20:]))
	overwrite(t, disk, 512, label)
}

// raidMember writes the superblock of a mirror's half, as mdadm does (include/uapi/linux/raid/md_p.h, version 1.2, 4 KiB from the start): its
// checksum is the sum of its words.
func raidMember(t *testing.T, disk string) {
	t.Helper()
	super := make([]byte, 256+2*2)
	words := map[int]uint32{0: 0xa92b4efc, 4: 1, 72: 1, 92: 2, 220: 2}
	for at, v := range words {
		binary.LittleEndian.PutUint32(super[at:], v)
	}
	copy(super[16:], "sixteen bytes id")
	copy(super[32:], "host:0")
	const sectors, data = foreignDisk << 11, 2048
	for at, v := range map[int]uint64{
		64: 1700000000, 80: sectors - data, 128: data, 136: sectors - data, 144: 8, 192: 1700000000, 200: 17, 208: 1<<64 - 1,
	} {
		binary.LittleEndian.PutUint64(super[at:], v)
	}
	binary.LittleEndian.PutUint16(super[256+2:], 1)
	var total uint64
	for i := 0; i < len(super); i += 4 {
		total += uint64(binary.LittleEndian.Uint32(super[i:]))
	}
	binary.LittleEndian.PutUint32(super[216:], uint32(total&0xffffffff+total>>32))
	overwrite(t, disk, 4096, super)
}
