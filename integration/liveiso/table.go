package liveiso

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Table is the partition table of a hybrid ISO, by which it also boots from a disk.
type Table string

// The tables; the empty one is none, a plain ISO.
const (
	Plain Table = ""
	// GPT is KIWI 10's: a GPT with 248 entries, whose backup is at the image's end, and a protective MBR with boot code. Partition 1 is
	// the ISO, from sector 64 on and with volume descriptors of its own, partition 2 the EFI system partition.
	GPT Table = "gpt"
	// MBR is KIWI 9's: the same partitions in slots 1 (type cd, active) and 2 (type ef), and boot code.
	MBR Table = "mbr"
)

// BootCode is what the boot code of a hybrid ISO says on the first serial line, before it stops the processor.
const BootCode = "LIVETEST-BOOT-CODE"

// options are those for xorriso's mkisofs.
func (t Table) options(ctx context.Context, work string) ([]string, error) {
	if t == Plain {
		return nil, nil
	}
	boot, efi := filepath.Join(work, "boot"), filepath.Join(work, "efi")
	if err := os.WriteFile(boot, bootSector(), 0o644); err != nil {
		return nil, err
	}
	// Of the same bytes each time: a fixed serial number, and no time of its own.
	mkfs := exec.CommandContext(ctx, "mkfs.vfat", "-n", "EFI", "-i", "11ee0001", "--invariant", "-C", efi, "1024")
	if err := run(mkfs); err != nil {
		return nil, err
	}
	o := []string{"-G", boot, "-partition_offset", "16", "--mbr-force-bootable", "-append_partition", "2", "0xef", efi}
	switch t {
	case GPT:
		// Padding would be a partition of its own.
		return append(o, "-appended_part_as_gpt", "-no-pad"), nil
	case MBR:
		return append(o, "-partition_cyl_align", "off", "-iso_mbr_part_type", "0xcd"), nil
	}
	return nil, fmt.Errorf("no such partition table: %q", t)
}

// bootSector is a boot sector's code (x86, real mode, loaded at 7C00h), without a table.
func bootSector() []byte {
	code := []byte{
		0x31, 0xc0, // xor ax, ax
		0x8e, 0xd8, // mov ds, ax
		0xbe, 0x22, 0x7c, // mov si, text
		0xfc,       // cld
		0xac,       // next: lodsb
		0x84, 0xc0, // test al, al
		0x74, 0x12, // jz stop
		0x88, 0xc4, // mov ah, al
		0xba, 0xfd, 0x03, // mov dx, 3FDh: line status
		0xec,       // wait: in al, dx
		0xa8, 0x20, // test al, 20h: room for a byte
		0x74, 0xfb, // jz wait
		0x88, 0xe0, // mov al, ah
		0xba, 0xf8, 0x03, // mov dx, 3F8h
		0xee,       // out dx, al
		0xeb, 0xe9, // jmp next
		0xf4,       // stop: hlt
		0xeb, 0xfd, // jmp stop
	}
	sector := make([]byte, 512)
	copy(sector, append(code, "\r\n"+BootCode+"\r\n\x00"...))
	sector[510], sector[511] = 0x55, 0xaa
	return sector
}
