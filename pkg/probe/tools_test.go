package probe

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/liveboot/liveboot/pkg/needs"
)

const mib = 1 << 20

// A tool is a program that makes what a disk can hold.
type tool struct {
	program, debian string
	args            []string // IMAGE stands for the file, FOLDER for a folder with a file in it
	input           string
}

// made are the tests' disks: what the tool makes, how blkid calls it, and how we do.
func made() []struct {
	name   string
	size   int64
	sector int
	tools  []tool
	blkid  string
	want   []string // as String says it; a UUID is compared with blkid's
} {
	t := func(program, debian, args string) tool {
		return tool{program: program, debian: debian, args: strings.Fields(args)}
	}
	table := func(input string) tool { return tool{"sfdisk", "fdisk", []string{"-q", "IMAGE"}, input} }
	mkfs := func(name, args string) tool { return t("mkfs."+name, "e2fsprogs", "-q -F "+args+" IMAGE") }
	luks := "luksFormat -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file FOLDER/file IMAGE --type "
	return []struct {
		name   string
		size   int64
		sector int
		tools  []tool
		blkid  string
		want   []string
	}{
		{"ext2", 8 * mib, 512, []tool{mkfs("ext2", "-L data")}, "ext2", []string{`ext2 "data"`}},
		{"ext3", 8 * mib, 512, []tool{mkfs("ext3", "")}, "ext3", []string{`ext3`}},
		{"ext4", 8 * mib, 512, []tool{mkfs("ext4", "-L sixteen-letters")}, "ext4", []string{`ext4 "sixteen-letters"`}},
		{"ext4 without journal", 8 * mib, 512, []tool{mkfs("ext4", "-O ^has_journal -b 4096")}, "ext4", []string{`ext4`}},
		{"ext4 without sums", 8 * mib, 512, []tool{mkfs("ext4", "-O ^metadata_csum")}, "ext4", []string{`ext4`}},
		{"ext4 from before sums", 8 * mib, 512, []tool{mkfs("ext4", "-O ^metadata_csum,^64bit,^flex_bg,uninit_bg")}, "ext4", []string{`ext4`}},
		{"journal", 8 * mib, 512, []tool{mkfs("ext4", "-b 4096 -O journal_dev -L log")}, "jbd", []string{`ext journal "log"`}},
		{"xfs", 400 * mib, 512, []tool{t("mkfs.xfs", "xfsprogs", "-q -L cow IMAGE")}, "xfs", []string{`xfs "cow"`}},
		{"xfs with 4 KiB sectors", 400 * mib, 4096, []tool{t("mkfs.xfs", "xfsprogs", "-q -s size=4096 -L twelve-chars IMAGE")}, "xfs", []string{`xfs "twelve-chars"`}},
		{"xfs without sums", 400 * mib, 512, []tool{t("mkfs.xfs", "xfsprogs", "-q -m crc=0 IMAGE")}, "xfs", []string{`xfs`}},
		{"btrfs", 200 * mib, 512, []tool{t("mkfs.btrfs", "btrfs-progs", "-q -L pool IMAGE")}, "btrfs", []string{`btrfs "pool"`}},
		{"btrfs sha256", 200 * mib, 512, []tool{t("mkfs.btrfs", "btrfs-progs", "-q --csum sha256 IMAGE")}, "btrfs", []string{`btrfs`}},
		{"btrfs xxhash", 200 * mib, 512, []tool{t("mkfs.btrfs", "btrfs-progs", "-q --csum xxhash IMAGE")}, "btrfs", []string{`btrfs`}},
		{"vfat 12", 2 * mib, 512, []tool{t("mkfs.vfat", "dosfstools", "-F 12 -n FLOPPY IMAGE")}, "vfat", []string{`vfat "FLOPPY"`}},
		{"vfat 16", 32 * mib, 512, []tool{t("mkfs.vfat", "dosfstools", "-F 16 IMAGE")}, "vfat", []string{`vfat`}},
		{"vfat 32", 64 * mib, 512, []tool{t("mkfs.vfat", "dosfstools", "-F 32 -n STICK IMAGE")}, "vfat", []string{`vfat "STICK"`}},
		{"vfat 32 with 4 KiB sectors", 300 * mib, 4096, []tool{t("mkfs.vfat", "dosfstools", "-F 32 -S 4096 -n STICK IMAGE")}, "vfat", []string{`vfat "STICK"`}},
		{"vfat with a table", 64 * mib, 512, []tool{t("mkfs.vfat", "dosfstools", "-F 32 --mbr=y IMAGE")}, "vfat", []string{`vfat`}},
		{"exfat", 64 * mib, 512, []tool{t("mkfs.exfat", "exfatprogs", "-L Grüße IMAGE")}, "exfat", []string{`exfat "Grüße"`}},
		{"exfat without label", 64 * mib, 512, []tool{t("mkfs.exfat", "exfatprogs", "IMAGE")}, "exfat", []string{`exfat`}},
		{"ntfs", 16 * mib, 512, []tool{t("mkfs.ntfs", "ntfs-3g", "-q -F -f -L Daten IMAGE")}, "ntfs", []string{`ntfs "Daten"`}},
		{"iso9660", mib, 512, []tool{t("xorriso", "xorriso", "-as mkisofs -V CDROM -o IMAGE FOLDER")}, "iso9660", []string{`iso9660 "CDROM"`}},
		{"iso9660 with Joliet", mib, 512, []tool{t("xorriso", "xorriso", "-as mkisofs -J -V Live_System_20_and_more_text -o IMAGE FOLDER")}, "iso9660",
			[]string{`iso9660 "Live_System_20_and_more_text"`}},
		{"hybrid iso9660", mib, 512, []tool{t("xorriso", "xorriso", "-as mkisofs -V CDROM --protective-msdos-label -o IMAGE FOLDER")}, "iso9660",
			[]string{`iso9660 "CDROM"`, `MBR`}},
		{"hybrid iso9660 from 64 sectors on", mib, 512, []tool{t("xorriso", "xorriso",
			"-as mkisofs -V CDROM -partition_offset 16 -appended_part_as_gpt -append_partition 2 C12A7328-F81F-11D2-BA4B-00A0C93EC93B FOLDER/file -o IMAGE FOLDER")},
			"iso9660", []string{`iso9660 "CDROM"`, `GPT`}},
		{"udf", 16 * mib, 512, []tool{t("mkudffs", "udftools", "-l DVD IMAGE")}, "udf", []string{`udf "DVD"`}},
		{"udf with 2 KiB blocks", 16 * mib, 512, []tool{t("mkudffs", "udftools", "-b 2048 -l Ω IMAGE")}, "udf", []string{`udf "Ω"`}},
		{"udf with 4 KiB blocks", 16 * mib, 4096, []tool{t("mkudffs", "udftools", "-b 4096 IMAGE")}, "udf", []string{`udf "LinuxUDF"`}},
		{"squashfs", mib, 512, []tool{t("mksquashfs", "squashfs-tools", "FOLDER IMAGE -noappend -quiet -no-progress")}, "squashfs", []string{`squashfs`}},
		{"erofs", mib, 512, []tool{t("mkfs.erofs", "erofs-utils", "--quiet IMAGE FOLDER")}, "erofs", []string{`erofs`}},
		{"f2fs", 64 * mib, 512, []tool{t("mkfs.f2fs", "f2fs-tools", "-q -l flash IMAGE")}, "f2fs", []string{`f2fs "flash"`}},
		{"LUKS1", 20 * mib, 512, []tool{t("cryptsetup", "cryptsetup-bin", luks+"luks1")}, "crypto_LUKS", []string{`LUKS1`}},
		{"LUKS2", 20 * mib, 512, []tool{t("cryptsetup", "cryptsetup-bin", luks+"luks2 --label secret")}, "crypto_LUKS", []string{`LUKS2 "secret"`}},
		{"LUKS2's second header", 20 * mib, 512, []tool{t("cryptsetup", "cryptsetup-bin", luks+"luks2 --label secret"),
			t("dd", "coreutils", "if=/dev/zero of=IMAGE bs=4096 count=1 conv=notrunc status=none")}, "crypto_LUKS", []string{`LUKS2 "secret" (only its backup is valid)`}},
		{"swap", mib, 512, []tool{t("mkswap", "util-linux", "-q -L paging IMAGE")}, "swap", []string{`swap "paging"`}},
		{"swap with 64 KiB pages", 4 * mib, 512, []tool{t("mkswap", "util-linux", "-q -p 65536 IMAGE")}, "swap", []string{`swap`}},
		{"bcache", 64 * mib, 512, []tool{t("make-bcache", "bcache-tools", "-B IMAGE")}, "bcache", []string{`bcache`}},
		{"bcache's cache", 64 * mib, 512, []tool{t("make-bcache", "bcache-tools", "-C IMAGE")}, "bcache", []string{`bcache`}},
		{"MBR", 8 * mib, 512, []tool{table("label: dos\n,4M,L\n,,L\n")}, "dos", []string{`MBR`}},
		{"empty MBR", 8 * mib, 512, []tool{table("label: dos\n")}, "dos", []string{`MBR without partitions`}},
		{"GPT", 8 * mib, 512, []tool{t("sgdisk", "gdisk", "-n 1:2048:+2M IMAGE")}, "gpt", []string{`GPT`}},
		{"GPT of sfdisk", 8 * mib, 512, []tool{table("label: gpt\n,2M,L\n")}, "gpt", []string{`GPT`}},
		{"GPT's backup", 8 * mib, 512, []tool{t("sgdisk", "gdisk", "-n 1:2048:+2M IMAGE"),
			t("dd", "coreutils", "if=/dev/zero of=IMAGE bs=512 seek=1 count=1 conv=notrunc status=none")}, "gpt", []string{`GPT (only its backup is valid)`}},
		{"GPT on an old FAT stick", 64 * mib, 512, []tool{t("mkfs.vfat", "dosfstools", "-F 32 -n STICK IMAGE"), table("label: gpt\n,2M,L\n")}, "gpt", []string{`GPT`, `vfat "STICK"`}},
	}
}

// TestTools lets the real tools make each, and compares with what blkid sees.
func TestTools(t *testing.T) {
	for _, tt := range made() {
		t.Run(tt.name, func(t *testing.T) {
			image := filepath.Join(t.TempDir(), "image")
			if err := os.WriteFile(image, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(image, tt.size); err != nil {
				t.Fatal(err)
			}
			for _, tool := range tt.tools {
				tool.run(t, image)
			}
			got := identify(t, image, tt.sector)
			if diff := cmp.Diff(tt.want, texts(got)); diff != "" {
				t.Errorf("Identify() is wrong (-want +got):\n%s", diff)
			}
			compareWithBlkid(t, image, tt.blkid, got)
		})
	}
}

// run runs the tool on image.
func (tool tool) run(t *testing.T, image string) {
	t.Helper()
	program := needs.Program(t, tool.program, tool.debian)
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "file"), []byte(strings.Repeat("content\n", 512)), 0o600); err != nil {
		t.Fatal(err)
	}
	var args []string
	for _, arg := range tool.args {
		args = append(args, strings.NewReplacer("IMAGE", image, "FOLDER", folder).Replace(arg))
	}
	cmd := exec.Command(program, args...)
	cmd.Stdin = strings.NewReader(tool.input)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
}

func identify(t *testing.T, image string, sector int) []Content {
	t.Helper()
	f, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Identify(f, info.Size(), sector)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// texts are contents as a person reads them.
func texts(contents []Content) []string {
	var all []string
	for _, c := range contents {
		all = append(all, c.String())
	}
	return all
}

// compareWithBlkid compares the first of contents.
func compareWithBlkid(t *testing.T, image, kind string, contents []Content) {
	t.Helper()
	if len(contents) == 0 {
		t.Fatal("nothing to compare with what blkid sees")
	}
	blkid := askBlkid(t, image)
	want := []string{blkid["ID_FS_TYPE"], blkid["ID_FS_LABEL_ENC"], blkid["ID_FS_UUID_ENC"]}
	if kind == "dos" || kind == "gpt" {
		want = []string{blkid["ID_PART_TABLE_TYPE"], "", blkid["ID_PART_TABLE_UUID"]}
	}
	if diff := cmp.Diff(want, []string{kind, contents[0].Label, contents[0].UUID}); diff != "" {
		t.Errorf("Identify() is not as blkid sees it (-blkid +got):\n%s", diff)
	}
}

// askBlkid returns blkid's names and values.
func askBlkid(t *testing.T, image string) map[string]string {
	t.Helper()
	out, err := exec.Command(needs.Program(t, "blkid", "util-linux"), "-p", "-o", "udev", image).CombinedOutput()
	if err != nil {
		t.Fatalf("blkid: %v\n%s", err, out)
	}
	values := map[string]string{}
	for line := range strings.Lines(string(out)) {
		if key, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "="); ok {
			value, err = strconv.Unquote(`"` + value + `"`) // \x20 stands for a space
			if err != nil {
				t.Fatalf("blkid says %q: %v", line, err)
			}
			values[key] = value
		}
	}
	return values
}
