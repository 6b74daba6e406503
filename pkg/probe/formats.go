package probe

// A magic is a magic number and its place, in bytes from the start of the device.
type magic struct {
	offset int64
	text   string
}

// A format is something that a disk can hold.
type format struct {
	kind   Kind
	name   string
	live   bool    // FileSystem knows it, in the order of the table
	magics []magic // any of them; none: look finds its own
	// look fills in what the superblock says, or says that it is not this after all. c.Offset is the place of the magic number.
	look func(d *disk, c *Content) bool
}

// find looks for a format.
func (f format) find(d *disk) (Content, bool) {
	if f.magics == nil {
		c := Content{Kind: f.kind, Name: f.name}
		return c, f.look(d, &c)
	}
	for _, m := range f.magics {
		c := Content{Kind: f.kind, Name: f.name, Offset: m.offset}
		if d.has(m.offset, m.text) && (f.look == nil || f.look(d, &c)) {
			return c, true
		}
	}
	return Content{}, false
}

// formats returns what is looked for, with the source of every place. In a kind, what writes over more comes first.
func formats() []format {
	var all []format
	for _, part := range [][]format{members(), controllers(), encrypted(), fileSystems(), otherFileSystems(), stores()} {
		all = append(all, part...)
	}
	return all
}

// members are the parts of something larger.
func members() []format {
	return []format{
		// Linux md: include/uapi/linux/raid/md_p.h; where the versions lie: md(4).
		{kind: KindMember, name: "md RAID member", look: lookMD0},
		{kind: KindMember, name: "md RAID member", look: lookMD1(func(size int64) int64 { return size&^0xfff - 0x2000 })},
		{kind: KindMember, name: "md RAID member", look: lookMD1(func(int64) int64 { return 0 })},
		{kind: KindMember, name: "md RAID member", look: lookMD1(func(int64) int64 { return 4096 })},
		// LVM2: lib/label/label.h, lib/format_text/layout.h.
		{kind: KindMember, name: "LVM physical volume", look: lookLVM2},
		// LVM1: lib/format1/disk-rep.h: "HM", then its version.
		{kind: KindMember, name: "LVM1 physical volume", magics: []magic{{0, "HM\x01\x00"}, {0, "HM\x02\x00"}}},
		// OpenZFS: include/sys/vdev_impl.h (vdev_label_t), module/nvpair/nvpair.c.
		{kind: KindMember, name: "ZFS pool member", look: lookZFS},
		// bcache: drivers/md/bcache/bcache_ondisk.h.
		{kind: KindMember, name: "bcache", magics: []magic{{4096 + 24, "\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81"}},
			look: lookBcache},
		// DRBD: drbd-utils, user/shared/drbdmeta.c; the last 4 KiB block of internal metadata.
		{kind: KindMember, name: "DRBD", look: lookDRBD},
		// VMware: vmfs-tools, vmfs_volume.h (1 MiB in).
		{kind: KindMember, name: "VMFS volume member", magics: []magic{{1 << 20, "\x0d\xd0\x01\xc0"}}, look: lookVMFSVolume},
		// Stratis: design document, "Static header"; two copies.
		{kind: KindMember, name: "Stratis pool member", magics: []magic{
			{512 + 4, "!Stra0tis\x86\xff\x02^\x41rh"}, {9*512 + 4, "!Stra0tis\x86\xff\x02^\x41rh"}}, look: lookStratis},
		// Oracle ASM: oracleasm, include/linux/oracleasm/disk.h.
		{kind: KindMember, name: "Oracle ASM disk", magics: []magic{{32, "ORCLDISK"}}},
	}
}

// controllers are the disks of RAID controllers, whose metadata lies behind the data; where no source is named: dmraid, lib/format/ataraid.
func controllers() []format {
	member := func(name string, look func(*disk, *Content) bool) format {
		return format{kind: KindMember, name: name + " RAID member", look: look}
	}
	return []format{
		member("DDF", lookDDF),    // SNIA Common RAID Disk Data Format 2.0, 4.2.1
		member("Intel", lookIMSM), // mdadm, super-intel.c
		member("LSI MegaRAID", last(1, "$XIDE$", 0)),
		member("VIA", lookVIA),
		member("Silicon Image", lookSilicon),
		member("NVIDIA", last(2, "NVIDIA  ", 0)),
		member("Promise", lookPromise),
		member("HighPoint", last(11, "\xf3\x16\x78\x5a", 0)),
		member("HighPoint", last(11, "\xfd\x16\x78\x5a", 0)),
		{kind: KindMember, name: "HighPoint RAID member", magics: []magic{{4608 + 32, "\xf0\x16\x78\x5a"}, {4608 + 32, "\xfd\x16\x78\x5a"}}},
		member("Adaptec", last(1, "DPTM", 0x100)),
		member("JMicron", lookJMicron),
	}
}

// encrypted are the volumes that need a key.
func encrypted() []format {
	return []format{
		// LUKS1: On-Disk Format Specification 1.2.3; LUKS2: On-Disk Format Specification 1.1.3.
		{kind: KindEncrypted, name: "LUKS", look: lookLUKS},
		// libbde, "BitLocker Drive Encryption (BDE) format"; from Vista, from Windows 7, To Go.
		{kind: KindEncrypted, name: "BitLocker", magics: []magic{
			{0, "\xeb\x52\x90-FVE-FS-"}, {0, "\xeb\x58\x90-FVE-FS-"}, {0, "\xeb\x58\x90MSWIN4.1"}},
			look: lookBitLocker},
		// libfvde, "FileVault Drive Encryption": a CoreStorage physical volume.
		{kind: KindEncrypted, name: "CoreStorage", magics: []magic{{88, "CS\x01\x00\x00\x00"}}, look: lookCoreStorage},
	}
}

// fileSystems are those that a person has on a disk today.
func fileSystems() []format {
	return []format{
		// fs/squashfs/squashfs_fs.h; until version 3 the byte order was the machine's.
		{kind: KindFileSystem, name: "squashfs", live: true, magics: []magic{{0, "hsqs"}}, look: lookSquashfs},
		{kind: KindFileSystem, name: "squashfs3", magics: []magic{{0, "sqsh"}}},
		// fs/erofs/erofs_fs.h.
		{kind: KindFileSystem, name: "erofs", live: true, magics: []magic{{1024, "\xe2\xe1\xf5\xe0"}}, look: lookErofs},
		// fs/ext4/ext4.h: the superblock at 1024, s_magic 56 in.
		{kind: KindFileSystem, name: "ext4", live: true, magics: []magic{{1024 + 56, "\x53\xef"}}, look: lookExt},
		// fs/xfs/libxfs/xfs_format.h.
		{kind: KindFileSystem, name: "xfs", live: true, magics: []magic{{0, "XFSB"}}, look: lookXFS},
		// include/uapi/linux/btrfs_tree.h: the superblock at 64 KiB, magic 64 in.
		{kind: KindFileSystem, name: "btrfs", live: true, magics: []magic{{64<<10 + 64, "_BHRfS_M"}}, look: lookBtrfs},
		// OSTA UDF 2.60 and ECMA-167 2/9.1: the volume recognition sequence at 32 KiB.
		{kind: KindFileSystem, name: "udf", look: lookUDF},
		// ECMA-119, 8.4: the volume descriptors at 32 KiB.
		{kind: KindFileSystem, name: "iso9660", live: true, magics: []magic{{32<<10 + 1, "CD001"}}, look: lookISO9660},
		// Microsoft, "FAT: General Overview of On-Disk Format", 1.03.
		{kind: KindFileSystem, name: "vfat", look: lookFAT},
		// Microsoft, "exFAT file system specification", 3.1.
		{kind: KindFileSystem, name: "exfat", magics: []magic{{3, "EXFAT   "}}, look: lookExFAT},
		// fs/ntfs3/ntfs.h.
		{kind: KindFileSystem, name: "ntfs", magics: []magic{{3, "NTFS    "}}, look: lookNTFS},
		// include/linux/f2fs_fs.h: two copies, in the first two blocks.
		{kind: KindFileSystem, name: "f2fs", magics: []magic{{1024, "\x10\x20\xf5\xf2"}, {4096 + 1024, "\x10\x20\xf5\xf2"}}, look: lookF2FS},
		// fs/bcachefs/bcachefs_format.h.
		{kind: KindFileSystem, name: "bcachefs", magics: []magic{{4096 + 24, "\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef"}},
			look: lookBcachefs},
		// Apple File System Reference, "Container": nx_superblock_t.
		{kind: KindFileSystem, name: "apfs", magics: []magic{{32, "NXSB"}}, look: lookAPFS},
		// Apple TN1150, "Volume Header"; Inside Macintosh: Files, 2-60, for the HFS around an embedded HFS+.
		{kind: KindFileSystem, name: "hfsplus", magics: []magic{{1024, "H+\x00\x04"}, {1024, "HX\x00\x05"}}, look: lookHFSPlus},
		{kind: KindFileSystem, name: "hfs", magics: []magic{{1024, "BD"}}, look: lookHFS},
		// vmfs-tools, vmfs_fs.h (2 MiB in).
		{kind: KindFileSystem, name: "VMFS", magics: []magic{{2 << 20, "\x5e\xf1\xab\x2f"}}, look: lookVMFS},
	}
}

// otherFileSystems are the rarer ones, most of them told by their magic number alone.
func otherFileSystems() []format {
	named := func(name string, look func(*disk, *Content) bool, magics ...magic) format {
		return format{kind: KindFileSystem, name: name, magics: magics, look: look}
	}
	return []format{
		// include/uapi/linux/nilfs2_ondisk.h
		named("nilfs2", lookNilfs2, magic{1024 + 6, "\x34\x34"}),
		// fs/jfs/jfs_superblock.h
		named("jfs", lookJFS, magic{32 << 10, "JFS1"}),
		// fs/reiserfs/reiserfs.h (Linux 6.12)
		named("reiserfs", lookReiserfs, magic{64<<10 + 52, "ReIsEr2Fs"}, magic{64<<10 + 52, "ReIsEr3Fs"}, magic{64<<10 + 52, "ReIsErFs"},
			magic{8<<10 + 52, "ReIsErFs"}, magic{8<<10 + 20, "ReIsErFs"}),
		// reiser4, fs/reiser4/super.h
		named("reiser4", nil, magic{64 << 10, "ReIsEr4"}),
		// include/uapi/linux/gfs2_ondisk.h
		named("gfs2", nil, magic{64 << 10, "\x01\x16\x19\x70\x00\x00\x00\x01"}),
		// ocfs2_fs.h
		named("ocfs2", nil, magic{1 << 10, "OCFSV2"}, magic{2 << 10, "OCFSV2"}, magic{4 << 10, "OCFSV2"}, magic{8 << 10, "OCFSV2"}),
		// libfsrefs, "Resilient File System (ReFS)"
		named("ReFS", nil, magic{0, "\x00\x00\x00ReFS\x00"}),
		// fs/ufs/ufs_fs.h: fs_magic 1372 in
		named("ufs", nil, ufsMagics()...),
		// fs/hpfs/hpfs.h: sector 16
		named("hpfs", nil, magic{8 << 10, "\x49\xe8\x95\xf9"}),
		// cramfs_fs.h
		named("cramfs", nil, magic{0, "\x45\x3d\xcd\x28"}, magic{0, "\x28\xcd\x3d\x45"}, magic{512, "\x45\x3d\xcd\x28"}),
		// include/uapi/linux/romfs_fs.h
		named("romfs", nil, magic{0, "-rom1fs-"}),
		// fs/befs/befs_fs_types.h
		named("befs", nil, magic{32, "1SFB"}, magic{32, "BFS1"}, magic{512 + 32, "1SFB"}, magic{512 + 32, "BFS1"}),
		// fs/freevxfs/vxfs.h
		named("vxfs", nil, magic{1024, "\xf5\xfc\x01\xa5"}, magic{8 << 10, "\xa5\x01\xfc\xf5"}),
	}
}

// stores are what is neither a file system nor part of something larger.
func stores() []format {
	return []format{
		// include/linux/swap.h
		{kind: KindSwap, name: "swap", magics: swapMagics("SWAPSPACE2", "SWAP-SPACE"), look: lookSwap},
		// kernel/power/swap.c; the others are of uswsusp, of hibernation in ARM's tree, and of TuxOnIce.
		{kind: KindSwap, name: "hibernated system", magics: append(swapMagics("S1SUSPEND", "S2SUSPEND", "ULSUSPEND", "LINHIB0001"),
			magic{0, "\xed\xc3\x02\xe9\x98\x56\xe5\x0c"}), look: lookSwap},
		// ceph, src/os/bluestore/BlueStore.cc
		{kind: KindOther, name: "Ceph BlueStore", magics: []magic{{0, "bluestore block device"}}},
		// fs/xfs/libxfs/xfs_log_format.h
		{kind: KindOther, name: "xfs log", look: lookXFSLog},
		// cryptsetup, lib/verity/verity.c
		{kind: KindOther, name: "dm-verity hashes", magics: []magic{{0, "verity\x00\x00"}}, look: lookVerity},
		// drivers/md/dm-integrity.c
		{kind: KindOther, name: "dm-integrity", magics: []magic{{0, "integrt\x00"}}},
		// drivers/md/dm-snap-persistent.c
		{kind: KindOther, name: "dm-snapshot store", magics: []magic{{0, "SnAp"}}},
		// drivers/md/dm-vdo/vdo-layout.c
		{kind: KindOther, name: "VDO", magics: []magic{{0, "dmvdo001"}}, look: lookVDO},
	}
}

// ufsMagics are UFS1's and UFS2's numbers in both byte orders, at the places where a superblock can be.
func ufsMagics() []magic {
	var all []magic
	for _, at := range []int64{0, 8 << 10, 64 << 10, 256 << 10} {
		for _, m := range []string{"\x54\x19\x01\x00", "\x00\x01\x19\x54", "\x19\x01\x54\x19", "\x19\x54\x01\x19"} {
			all = append(all, magic{at + 1372, m})
		}
	}
	return all
}

// swapMagics are the texts at the end of a first page of 4 to 64 KiB.
func swapMagics(texts ...string) []magic {
	var all []magic
	for size := int64(4 << 10); size <= 64<<10; size *= 2 {
		for _, text := range texts {
			all = append(all, magic{size - 10, text})
		}
	}
	return all
}
