package probe

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var someID = []byte("\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef")

// An image is a disk to be written by hand.
type image []byte

func (m image) put(at int, text string) image { copy(m[at:], text); return m }
func (m image) put16(at int, v uint16) image  { binary.LittleEndian.PutUint16(m[at:], v); return m }
func (m image) put32(at int, v uint32) image  { binary.LittleEndian.PutUint32(m[at:], v); return m }
func (m image) put64(at int, v uint64) image  { binary.LittleEndian.PutUint64(m[at:], v); return m }
func (m image) putBE(at int, words ...uint32) image {
	for i, w := range words {
		binary.BigEndian.PutUint32(m[at+4*i:], w)
	}
	return m
}

// md writes version 1 of Linux md's superblock.
func md(m image, at int) {
	m.put32(at, mdMagic).put32(at+4, 1).put(at+16, string(someID)).put(at+32, "host:0").put64(at+144, uint64(at/512)).put32(at+220, 2)
	var sum uint64
	for i := 0; i < 260; i += 4 {
		sum += uint64(binary.LittleEndian.Uint32(m[at+i:]))
	}
	m.put32(at+216, uint32(sum>>32+sum&0xffffffff))
}

// zfs writes the label of a pool at a place, with enough uberblocks for the elder blkid.
func zfs(m image, label int, pairs ...any) {
	for i := range 8 {
		m.put64(label+128<<10+i<<10, 0xbab10c)
	}
	at := label + 16<<10
	m.putBE(at, 0x01010000, 0, 1)
	at += 12
	for i := 0; i < len(pairs); i += 2 {
		name := pairs[i].(string)
		padded := (len(name) + 3) &^ 3
		m.putBE(at+8, uint32(len(name))).put(at+12, name)
		value := at + 12 + padded
		switch v := pairs[i+1].(type) {
		case uint64:
			m.putBE(value, 8, 1, uint32(v>>32), uint32(v))
			value += 16
		case string:
			m.putBE(value, 9, 1, uint32(len(v))).put(value+12, v)
			value += 12 + (len(v)+3)&^3
		}
		m.putBE(at, uint32(value-at), uint32(value-at))
		at = value
	}
}

func TestHandmade(t *testing.T) {
	for _, tt := range []struct {
		name  string
		size  int
		build func(m image)
		blkid string // empty where the blkid of stable systems does not see it
		want  []string
	}{
		{"md 0.90", 4*mib + 12345, func(m image) {
			m.put32(4*mib-64<<10, mdMagic).put32(4*mib-64<<10+8, 90).put32(4*mib-64<<10+20, 0x01234567).put32(4*mib-64<<10+52, 0x89abcdef).put32(4*mib-64<<10+32, 1024)
		}, "linux_raid_member", []string{"md RAID member"}},
		{"md 0.90 of a big-endian machine", 4 * mib, func(m image) {
			m.putBE(4*mib-64<<10, mdMagic, 0, 90, 0, 0, 0x01234567, 0, 0, 1024).putBE(4*mib-64<<10+52, 1, 2, 3)
		}, "linux_raid_member", []string{"md RAID member"}},
		{"md 1.0", 4*mib + 1024, func(m image) { md(m, 4*mib-8192) }, "linux_raid_member", []string{`md RAID member "host:0"`}},
		{"md 1.1", 4 * mib, func(m image) { md(m, 0) }, "linux_raid_member", []string{`md RAID member "host:0"`}},
		{"md 1.2", 4 * mib, func(m image) { md(m, 4096) }, "linux_raid_member", []string{`md RAID member "host:0"`}},
		{"md 1.2 with a wrong sum", 4 * mib, func(m image) { md(m, 4096); m[4096+40] = 'x' }, "", []string{`md RAID member "host:0" (damaged)`}},
		{"LVM", 4 * mib, func(m image) { lvm(m, 1) }, "LVM2_member", []string{"LVM physical volume"}},
		{"LVM in sector 3", 4 * mib, func(m image) { lvm(m, 3) }, "LVM2_member", []string{"LVM physical volume"}},
		{"LVM with a wrong sum", 4 * mib, func(m image) { lvm(m, 1); m[1000] = 1 }, "", []string{"LVM physical volume (damaged)"}},
		{"LVM with an empty MBR", 4 * mib, func(m image) { lvm(m, 1); m.put(510, "\x55\xaa") }, "LVM2_member",
			[]string{"LVM physical volume", "MBR without partitions"}},
		{"Intel RAID", 4 * mib, func(m image) { m.put(4*mib-1024, "Intel Raid ISM Cfg Sig. 1.3.00") }, "isw_raid_member", []string{"Intel RAID member"}},
		{"DDF", 4 * mib, func(m image) { ddf(m, 4*mib-512) }, "ddf_raid_member", []string{"DDF RAID member"}},
		{"LSI", 4 * mib, func(m image) { m.put(4*mib-512, "$XIDE$") }, "lsi_mega_raid_member", []string{"LSI MegaRAID RAID member"}},
		{"Promise", 4 * mib, func(m image) { m.put(4*mib-3087*512, "Promise Technology, Inc.") }, "promise_fasttrack_raid_member", []string{"Promise RAID member"}},
		{"JMicron", 4 * mib, func(m image) { m.put(4*mib-512, "JM").put16(4*mib-508, -sum16([]byte("JM"))) }, "jmicron_raid_member", []string{"JMicron RAID member"}},
		{"VIA", 4 * mib, func(m image) { m.put(4*mib-512, "\x55\xaa\x01").put(4*mib-512+50, "\x00") }, "via_raid_member", []string{"VIA RAID member"}},
		{"ZFS", 64*mib + 4096, func(m image) {
			zfs(m, 0, "version", uint64(5000), "name", "tank", "state", uint64(0), "txg", uint64(4), "pool_guid", uint64(1<<63+5), "guid", uint64(7))
		}, "zfs_member", []string{`ZFS pool member "tank"`}},
		{"ZFS's last label", 64*mib + 4096, func(m image) {
			zfs(m, 64*mib-256<<10, "name", "tank", "state", uint64(0), "txg", uint64(4), "pool_guid", uint64(5), "guid", uint64(7))
		}, "zfs_member", []string{`ZFS pool member "tank" (only its backup is valid)`}},
		{"ZFS's uberblock", 64 * mib, func(m image) { m.put(64*mib-128<<10+1024, "\x0c\xb1\xba\x00") }, "", []string{"ZFS pool member (damaged)"}},
		{"DRBD 8.4", 4 * mib, func(m image) {
			m.putBE(4*mib-4096+40, 0x1234, 0x5678).put(4*mib-4096+60, "\x83\x74\x02\x6b").putBE(4*mib-4096+80, 4096)
		},
			"drbd", []string{"DRBD"}},
		{"DRBD 9", 4 * mib, func(m image) {
			m.putBE(4*mib-4096+48, 0x1234, 0x5678).put(4*mib-4096+60, "\x83\x74\x02\x6d").putBE(4*mib-4096+80, 4096)
		},
			"drbd", []string{"DRBD"}},
		{"VMFS", 4 * mib, func(m image) {
			m.put(1*mib, "\x0d\xd0\x01\xc0").put(1*mib+532, "01234567-89abcdef-0123-456789abcdef").put(2*mib, "\x5e\xf1\xab\x2f").put(2*mib+9, string(someID)).put(2*mib+29, "datastore")
		}, "", []string{"VMFS volume member", `VMFS "datastore"`}},
		{"BlueStore", mib, func(m image) { m.put(0, "bluestore block device\n") }, "ceph_bluestore", []string{"Ceph BlueStore"}},
		{"HFS+", mib, func(m image) { hfsplus(m) }, "hfsplus", []string{`hfsplus "Mac"`}},
		{"APFS", mib, func(m image) { apfs(m) }, "apfs", []string{"apfs"}},
		{"APFS with a wrong sum", mib, func(m image) { apfs(m); m[100] ^= 1 }, "", []string{"apfs (damaged)"}},
		{"erofs with a label", mib, func(m image) {
			m.put(1024, "\xe2\xe1\xf5\xe0").put(1024+12, "\x0c").put(1024+48, string(someID)).put(1024+64, "root")
		},
			"erofs", []string{`erofs "root"`}},
		{"squashfs 3", mib, func(m image) { m.put(0, "hsqs").put16(28, 3) }, "squashfs3", []string{"squashfs3"}},
		{"squashfs of a big-endian machine", mib, func(m image) { m.put(0, "sqsh").put(29, "\x03") }, "squashfs3", []string{"squashfs3"}},
		{"BitLocker", 4 * mib, func(m image) {
			m.put(0, "\xeb\x58\x90-FVE-FS-").put64(176, mib).put(mib, "-FVE-FS-").put(mib+80, string(someID)).put32(mib+64, 66).
				put16(mib+64+48, 18).put16(mib+64+50, 7).put16(mib+64+52, 2).put(mib+64+56, "P\x00C\x00")
		}, "", []string{`BitLocker "PC"`}},
		{"hibernated", mib, func(m image) {
			m.put(4086, "S1SUSPEND").put32(1024, 1).put32(1028, 99).put(1036, string(someID)).put(1052, "paging")
		},
			"swsuspend", []string{`hibernated system "paging"`}},
		{"old swap", mib, func(m image) { m.put(8182, "SWAP-SPACE") }, "swap", []string{"swap"}},
		{"JFS", 20 * mib, func(m image) {
			m.put(32<<10, "JFS1").put32(32<<10+16, 4096).put16(32<<10+20, 12).put16(32<<10+22, 3).put32(32<<10+24, 512).put16(32<<10+28, 9).put(32<<10+152, "old")
		},
			"jfs", []string{`jfs "old"`}},
		{"reiserfs", mib, func(m image) {
			m.put(64<<10+52, "ReIsEr2Fs").put16(64<<10+44, 4096).put32(64<<10+12, 18).put(64<<10+100, "old").put(64<<10+84, string(someID))
		}, "reiserfs", []string{`reiserfs "old"`}},
		{"nilfs2", 2 * mib, func(m image) {
			m.put(1030, "\x34\x34").put16(1032, 300).put(1024+152, string(someID)).put(1024+168, "log")
			m.put32(1040, rawCRC32(crc32.IEEETable, 0, m[1024:1324], 16, 0))
		}, "nilfs2", []string{`nilfs2 "log"`}},
		{"HFS", mib, func(m image) {
			m.put(1024, "BD").putBE(1024+20, 4096).put(1024+36, "\x03Mac").put(1024+116, "finderid")
		}, "hfs", []string{`hfs "Mac"`}},
		{"HFS+ in HFS", mib, func(m image) {
			hfsplus(m[64<<10:])
			m.put(1024, "BD").putBE(1024+20, 4096).put(1024+124, "H+\x00\x10\x00\x40")
		}, "hfsplus", []string{`hfsplus "Mac"`}},
		{"LUKS of the future", mib, func(m image) { m.put(0, "LUKS\xba\xbe\x00\x09") }, "", []string{"LUKS (damaged)"}},
		{"NTFS without its table", mib, func(m image) { m.put(0, "\xeb\x52\x90NTFS    ").put16(11, 512).put(510, "\x55\xaa") }, "", []string{"ntfs (damaged)"}},
		{"exFAT with a wrong sum", mib, func(m image) { m.put(3, "EXFAT   ").put(108, "\x09\x03\x01") }, "", []string{"exfat (damaged)"}},
		{"f2fs with its second superblock", mib, func(m image) { m.put(5120, "\x10\x20\xf5\xf2").put(5120+124, "p\x00") }, "", []string{`f2fs "p" (only its backup is valid)`}},
		{"swap of version 2", mib, func(m image) { m.put(4086, "SWAPSPACE2").put32(1024, 2).put32(1028, 9) }, "", []string{"swap (damaged)"}},
		{"Joliet that does not belong", mib, func(m image) {
			iso(m)
			m.put(34<<10, "\x02CD001\x01").put(34<<10+40, "\x00L\x00i\x00v\x00e\x00 ").put(34<<10+88, "%/E").put(36<<10, "\xffCD001\x01")
		}, "", []string{`iso9660 "Live"`}},
		{"nothing at all", 0, func(image) {}, "", nil},
		{"verity", mib, func(m image) { m.put(0, "verity\x00\x00").put32(8, 1).put(16, string(someID)) }, "DM_verity_hash", []string{"dm-verity hashes"}},
		{"Stratis", mib, func(m image) {
			m.put(516, "!Stra0tis\x86\xff\x02^\x41rh").put(512+64, "0123456789abcdef0123456789abcdef")
			m.put32(512, crc32.Checksum(m[516:1024], crc32.MakeTable(crc32.Castagnoli)))
		}, "", []string{"Stratis pool member"}},
		{"xfs log", 12 * mib, func(m image) { m.putBE(512, 0xfeedbabe, 1, 2, 512).putBE(512+300, 1) }, "xfs_external_log", []string{"xfs log"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := make(image, tt.size)
			tt.build(m)
			got, err := Identify(bytes.NewReader(m), int64(len(m)), 512)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, texts(got)); diff != "" {
				t.Errorf("Identify() is wrong (-want +got):\n%s", diff)
			}
			if tt.blkid == "" {
				return
			}
			path := filepath.Join(t.TempDir(), "image")
			if err := os.WriteFile(path, m, 0o600); err != nil {
				t.Fatal(err)
			}
			compareWithBlkid(t, path, tt.blkid, got)
		})
	}
}

// TestRandom: what is random is no content, and neither is text.
func TestRandom(t *testing.T) {
	for seed := range byte(20) {
		m := make(image, 2*mib)
		rand.NewChaCha8([32]byte{seed}).Read(m)
		if got, err := Identify(bytes.NewReader(m), int64(len(m)), 512); got != nil || err != nil {
			t.Errorf("Identify(random %d) = %v, %v, want nothing", seed, got, err)
		}
	}
	text := strings.Repeat("Nothing to see here. ", 1<<17)
	if got, err := Identify(strings.NewReader(text), int64(len(text)), 512); got != nil || err != nil {
		t.Errorf("Identify(text) = %v, %v, want nothing", got, err)
	}
}

func TestUDFID(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"digits", "5E1ED32CABCDEF01LinuxUDF", "5e1ed32cabcdef01"},
		{"time only", "5E1ED32Cxyz!LinuxUDF", "5e1ed32c78797a21"},
		{"no time", "My DVD of 2001", "4d7920445644206f"},
		{"short", "5E1ED3", ""},
	} {
		if got := udfID(tt.in); got != tt.want {
			t.Errorf("udfID(%s) = %s, want %s", tt.name, got, tt.want)
		}
	}
}

func lvm(m image, sector int) {
	at := 512 * sector
	m.put(at, "LABELONE").put64(at+8, uint64(sector)).put32(at+20, 32).put(at+24, "LVM2 001").put(at+32, strings.Repeat("aBcD0123", 4))
	m.put32(at+16, rawCRC32(crc32.IEEETable, 0xf597a6cf, m[at+20:at+512], 0, 0))
}

func ddf(m image, at int) {
	m.put(at, "\xde\x11\xde\x11\xff\xff\xff\xff").put(at+8, "LSI     0123456789abcdef").put(at+32, "01.02.00")
	m.putBE(at+4, rawCRC32(crc32.IEEETable, 0, m[at:at+512], 0, 0))
}

func hfsplus(m image) {
	m.put(1024, "H+\x00\x04").putBE(1024+40, 4096).put(1024+104, "finderid").putBE(1024+288, 4, 2)
	m.putBE(4*4096+20, 1, 1).put(4*4096+32, "\x10\x00") // in the header of the tree: one leaf, the second node, of 4 KiB
	m.put(5*4096+8, "\xff\x01\x00\x01").putBE(5*4096+16, 1).put(5*4096+20, "\x00\x03\x00M\x00a\x00c")
}

func apfs(m image) {
	m.put(32, "NXSB").put32(36, 4096).put16(24, 1).put32(24, 0x80000001).put(72, string(someID))
	low, high := uint64(0), uint64(0)
	for i := 8; i < 4096; i += 4 {
		low += uint64(binary.LittleEndian.Uint32(m[i:]))
		high += low
	}
	first := 0xffffffff - (low+high)%0xffffffff
	m.put64(0, (0xffffffff-(low+first)%0xffffffff)<<32|first)
}
