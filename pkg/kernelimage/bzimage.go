package kernelimage

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
)

// Offsets in the header of a bzImage, in bytes, and the first version of the boot protocol that has the field. A version is a number of two bytes,
// 0x20c for 2.12.
const (
	bzSetupSectors   = 0x1f1 // sectors of 512 bytes, less the first
	bzSystemSize     = 0x1f4 // in units of 16 bytes; 2.04
	bzBootFlag       = 0x1fe // 0xaa55
	bzMagic          = 0x202 // "HdrS"
	bzVersion        = 0x206
	bzKernelVersion  = 0x20e // of the version string, less 0x200
	bzLoadFlags      = 0x236 // 2.12
	bzCommandLine    = 0x238 // 2.06
	bzPayloadOffset  = 0x248 // from the start of the protected-mode code; 2.08
	bzPayloadLength  = 0x24c
	bzInitSize       = 0x260 // 2.10
	bzHeaderEnd      = 0x264
	bzKernel64       = 1 // in bzLoadFlags: there is a 64-bit entry point
	bzProtocolOldest = 0x208
	bzProtocolInit   = 0x20a
	bzProtocolFlags  = 0x20c
)

// descriptionMax bounds the version line, in bytes. The kernel itself knows no limit; real ones have about 100.
const descriptionMax = 512

func isBzImage(head []byte) bool {
	return len(head) >= bzHeaderEnd && binary.LittleEndian.Uint16(head[bzBootFlag:]) == 0xaa55 && string(head[bzMagic:bzMagic+4]) == "HdrS"
}

func inspectBzImage(image *io.SectionReader, head []byte) (Info, error) {
	i := Info{Format: BzImage, Arch: "amd64"}
	field := func(offset int) int64 { return int64(binary.LittleEndian.Uint32(head[offset:])) }
	version := binary.LittleEndian.Uint16(head[bzVersion:])
	if version < bzProtocolOldest {
		return Info{}, fmt.Errorf("%w: its boot protocol %d.%02d is older than 2.08 (Linux 2.6.26)", ErrNotKernel, version>>8, version&0xff)
	}
	if version >= bzProtocolFlags && head[bzLoadFlags]&bzKernel64 == 0 {
		i.Arch = "386"
	}
	if version >= bzProtocolInit {
		i.Memory = field(bzInitSize)
	}
	sectors := int64(head[bzSetupSectors])
	if sectors == 0 {
		sectors = 4 // boot.rst: for backwards compatibility
	}
	system := (sectors + 1) * 512
	i.CommandLineMax = int(field(bzCommandLine))
	i.payload = span{system + field(bzPayloadOffset), field(bzPayloadLength)}
	i.Size = max(system+field(bzSystemSize)*16, i.payload.offset+i.payload.length)
	if i.payload.length == 0 {
		return Info{}, fmt.Errorf("%w: a bzImage with no kernel in it", ErrNotKernel)
	}
	if err := i.whole(image); err != nil {
		return Info{}, err
	}
	line, err := bzDescription(image, head)
	if err != nil {
		return Info{}, err
	}
	return i.described(line)
}

func bzDescription(image *io.SectionReader, head []byte) ([]byte, error) {
	offset := int64(binary.LittleEndian.Uint16(head[bzKernelVersion:]))
	if offset == 0 {
		return nil, fmt.Errorf("%w: a bzImage that does not say its version", ErrNotKernel)
	}
	b := make([]byte, descriptionMax)
	n, err := image.ReadAt(b, offset+0x200)
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("read the kernel's version: %w", err)
	}
	end := bytes.IndexByte(b[:n], 0)
	if end <= 0 {
		return nil, fmt.Errorf("%w: a bzImage with no version at %#x, where it should be", ErrNotKernel, offset+0x200)
	}
	return b[:end], nil
}
