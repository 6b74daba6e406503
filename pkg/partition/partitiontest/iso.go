// Package partitiontest makes hybrid ISOs with the partition tables that there are in the wild, by xorriso and with the boot code of
// GRUB and ISOLINUX.
package partitiontest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/liveboot/liveboot/pkg/needs"
)

// Kind is a kind of ISO.
type Kind struct {
	Name string
	// GPT says that Linux goes by a GPT there.
	GPT     bool
	options string // of xorriso; "efi.img" is a file of the working folder
}

// What the ISOs are made of, with Debian's packages.
const (
	grubFolder  = "/usr/lib/grub/i386-pc/"
	grubMBR     = grubFolder + "boot_hybrid.img"
	isolinuxMBR = "/usr/lib/ISOLINUX/isohdpfx.bin"
	isolinuxBin = "/usr/lib/ISOLINUX/isolinux.bin"
)

// Kinds returns the kinds that are known to be about.
func Kinds() []Kind {
	const (
		grub     = "-b boot/grub/eltorito.img -no-emul-boot -boot-load-size 4 -boot-info-table --grub2-boot-info --grub2-mbr " + grubMBR
		isolinux = "-b isolinux/isolinux.bin -c isolinux/boot.cat -no-emul-boot -boot-load-size 4 -boot-info-table -isohybrid-mbr " + isolinuxMBR
		appended = " -eltorito-alt-boot -e --interval:appended_partition_2:all:: -no-emul-boot"
		inside   = " -eltorito-alt-boot -e boot/efi.img -no-emul-boot"
		guidESP  = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
	)
	return []Kind{
		{Name: "not hybrid"},
		// KIWI 10.
		{Name: "gpt", GPT: true, options: grub + " -isohybrid-gpt-basdat -partition_offset 16 -appended_part_as_gpt -append_partition 2 " +
			guidESP + " efi.img" + appended},
		// KIWI 9.
		{Name: "mbr", options: isolinux + " -partition_offset 16 -append_partition 2 0xef efi.img" + appended},
		// Debian and Fedora for many years: an MBR that Linux goes by, and a GPT beside it; with an Apple partition map too.
		{Name: "mixed", options: isolinux + inside + " -isohybrid-gpt-basdat"},
		{Name: "mixed apm", options: isolinux + inside + " -isohybrid-gpt-basdat -isohybrid-apm-hfsplus"},
		// grub-mkrescue: a protective MBR with an active entry of type 0.
		{Name: "gpt active", GPT: true, options: grub +
			" --protective-msdos-label --mbr-force-bootable -efi-boot-part --efi-boot-image -isohybrid-gpt-basdat" + inside},
	}
}

// ISO makes an ISO of a kind and returns its file, which is gone when the test is over.
func ISO(t testing.TB, kind Kind) string {
	t.Helper()
	dir := t.TempDir()
	content(t, "grub-pc-bin", grubMBR)
	content(t, "isolinux", isolinuxMBR)
	for name, b := range map[string][]byte{
		"efi.img":                     make([]byte, 1<<20),
		"root/boot/efi.img":           make([]byte, 1<<20),
		"root/boot/grub/eltorito.img": content(t, "grub-pc-bin", grubFolder+"cdboot.img", grubFolder+"kernel.img"),
		"root/isolinux/isolinux.bin":  content(t, "isolinux", isolinuxBin),
		"root/file":                   bytes.Repeat([]byte("live"), 77777),
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	args := strings.Fields("-as mkisofs -quiet -o image.iso -V CDROM -R " + kind.options + " root")
	cmd := exec.Command(needs.Program(t, "xorriso", "xorriso"), args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("xorriso %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return filepath.Join(dir, "image.iso")
}

// content returns that of files of Debian's package, one behind the other.
func content(t testing.TB, debian string, files ...string) []byte {
	t.Helper()
	var all []byte
	for _, file := range files {
		b, err := os.ReadFile(file)
		needs.That(t, err == nil, file+" (Debian: "+debian+")")
		all = append(all, b...)
	}
	return all
}
