// Package kernelimagetest makes kernel images for tests: those parts of them that pkg/kernelimage reads.
package kernelimagetest

import "encoding/binary"

// BzImage is a 64-bit kernel for x86 with this version line and this compressed kernel.
func BzImage(description string, payload []byte) []byte {
	const setup, version = 0x400, 0x300
	length := len(payload)
	payload = append(payload[:length:length], make([]byte, -length&15)...)
	b := make([]byte, setup)
	b[0x1f1] = setup/512 - 1
	binary.LittleEndian.PutUint32(b[0x1f4:], uint32(len(payload)/16))
	binary.LittleEndian.PutUint16(b[0x1fe:], 0xaa55)
	copy(b[0x202:], "HdrS")
	binary.LittleEndian.PutUint16(b[0x206:], 0x20f)
	binary.LittleEndian.PutUint16(b[0x20e:], version-0x200)
	b[0x236] = 1
	binary.LittleEndian.PutUint32(b[0x238:], 2047)
	binary.LittleEndian.PutUint32(b[0x24c:], uint32(length))
	binary.LittleEndian.PutUint32(b[0x260:], 1<<20)
	copy(b[version:], description+"\x00")
	return append(b, payload...)
}

// Arm64 is an Image with this version line.
func Arm64(description string) []byte {
	b := make([]byte, 0x1000)
	copy(b, "MZ")
	copy(b[0x38:], "ARM\x64")
	return append(b, "Linux version %s\n\x00Linux version "+description+"\n\x00and more"...)
}

// ZBoot puts a compressed kernel into an EFI program, with something behind it as a signature is.
func ZBoot(payload []byte) []byte {
	b := make([]byte, 0x400)
	copy(b, "MZ\x00\x00zimg")
	binary.LittleEndian.PutUint32(b[0x08:], uint32(len(b)))
	binary.LittleEndian.PutUint32(b[0x0c:], uint32(len(payload)))
	return append(append(b, payload...), "signature"...)
}
