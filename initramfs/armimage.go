package initramfs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Offsets in an arm64 kernel image: its header, from the kernel's
// Documentation/arch/arm64/booting.rst, and that of an image that unpacks
// itself under EFI, from drivers/firmware/efi/libstub/zboot-header.S.
const (
	armMagic    = 0x38 // "ARM\x64"
	zbootMagic  = 0x04 // "zimg", behind "MZ"
	zbootOffset = 0x08 // of the compressed kernel, from the image's start
	zbootLength = 0x0c // of it
	armHeader   = 0x40

	// armImageMax bounds what is read and unpacked, in bytes; distribution
	// kernels have about 40 MB.
	armImageMax = 256 << 20
)

var errNotArmImage = errors.New("not an arm64 Linux kernel image (Image, Image.gz or vmlinuz.efi)")

// armPayload returns the kernel's image, which is compressed as a whole
// (Image.gz), inside a small EFI program (zboot), or not at all.
func armPayload(image io.ReaderAt) ([]byte, error) {
	b, err := io.ReadAll(io.NewSectionReader(image, 0, armImageMax))
	if err != nil {
		return nil, err
	}
	if len(b) < armHeader {
		return nil, fmt.Errorf("%w: only %d bytes", errNotArmImage, len(b))
	}
	if string(b[:2]) != "MZ" || string(b[zbootMagic:zbootMagic+4]) != "zimg" {
		return b, nil
	}
	start, length := uint64(binary.LittleEndian.Uint32(b[zbootOffset:])), uint64(binary.LittleEndian.Uint32(b[zbootLength:]))
	if start+length > uint64(len(b)) || length == 0 {
		return nil, fmt.Errorf("%w: compressed kernel of %d bytes at %d in an image of %d", errNotArmImage, length, start, len(b))
	}
	return b[start : start+length], nil
}

// armDescription reads the kernel's banner, "Linux version 6.1.0-56-arm64
// (user@host) (compiler) #1 SMP ...": the header has no version.
func armDescription(image io.ReaderAt) (string, error) {
	b, err := armPayload(image)
	if err != nil {
		return "", err
	}
	if b, err = decompress(b); err != nil {
		return "", fmt.Errorf("%w: %w", errNotArmImage, err)
	}
	if len(b) < armHeader || string(b[armMagic:armMagic+4]) != "ARM\x64" {
		return "", fmt.Errorf("%w: no header", errNotArmImage)
	}
	const banner = "Linux version "
	for {
		_, rest, ok := bytes.Cut(b, []byte(banner))
		if !ok {
			return "", fmt.Errorf("%w: it does not say its version", errNotArmImage)
		}
		if b = rest; len(rest) == 0 || !isDigit(rest[0]) {
			continue // a format, or a message about another kernel
		}
		line, _, _ := bytes.Cut(rest[:min(len(rest), 2*bzDescriptionMax)], []byte("\n"))
		line, _, _ = bytes.Cut(line, []byte{0})
		return string(line), nil
	}
}
