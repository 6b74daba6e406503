package initramfs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
)

// arch is everything that differs between processor architectures.
type arch struct {
	// goarch is Go's name of it.
	goarch string

	// goEnv pins the instruction set that the busybox is compiled for, so
	// that the building machine's own setting does not decide which machines
	// can boot.
	goEnv []string

	// description reads the version line of a kernel image, as in
	// "6.1.0-56-amd64 (user@host) #1 SMP ...".
	description func(image io.ReaderAt) (string, error)

	// payload returns the kernel inside the image, as it is compressed there.
	payload func(image io.ReaderAt) ([]byte, error)

	// drivers are patterns of modules that only machines of this architecture
	// need, and of those that they do not.
	drivers func() (take, drop []string)

	// microcode says whether the kernel takes microcode from an initrd.
	microcode bool
}

func archs() []arch {
	return []arch{
		{
			goarch: "amd64", goEnv: []string{"GOAMD64=v1"}, description: bzImageDescription, payload: bzImagePayload,
			drivers: pcDrivers, microcode: true,
		},
		{
			goarch: "arm64", goEnv: []string{"GOARM64=v8.0"}, description: armDescription, payload: armPayload,
			drivers: boardDrivers,
		},
	}
}

// archFor finds an architecture by Go's name; empty means that of the
// building machine.
func archFor(goarch string) (arch, error) {
	if goarch == "" {
		goarch = runtime.GOARCH
	}
	var known []string
	for _, a := range archs() {
		if a.goarch == goarch {
			return a, nil
		}
		known = append(known, a.goarch)
	}
	return arch{}, fmt.Errorf("architecture %q: not supported, choose one of %s", goarch, strings.Join(known, ", "))
}

// describe is the description of an image. It knows what to do about one for
// another architecture.
func (a arch) describe(image io.ReaderAt) (string, error) {
	description, err := a.description(image)
	if err == nil {
		return description, nil
	}
	for _, other := range archs() {
		if other.goarch == a.goarch {
			continue
		}
		if _, otherErr := other.description(image); otherErr == nil {
			return "", fmt.Errorf("%w, but one for %s; build for that with -arch %s (ARCH=)", err, other.goarch, other.goarch)
		}
	}
	return "", err
}

// Offsets in the x86 boot header, from the kernel's
// Documentation/arch/x86/boot.rst.
const (
	bzSetupSects    = 0x1f1 // sectors of 512 bytes of real-mode code
	bzBootFlag      = 0x1fe // 0xaa55
	bzMagic         = 0x202 // "HdrS"
	bzVersion       = 0x206 // protocol version, 2 bytes
	bzKernelVersion = 0x20e // offset of the version string, less 0x200
	bzPayloadOffset = 0x248 // from the start of the protected-mode code; protocol 2.08
	bzPayloadLength = 0x24c
	bzHeaderEnd     = 0x250

	// bzDescriptionMax bounds the version string in bytes; the kernel itself
	// knows no limit, real ones have about 100.
	bzDescriptionMax = 512

	// bzPayloadMax bounds what a header can make us allocate, in bytes; the
	// largest distribution kernels have about 15 MB.
	bzPayloadMax = 256 << 20
)

var errNotBzImage = errors.New("not an x86 Linux kernel image (bzImage)")

func bzHeader(image io.ReaderAt) ([]byte, error) {
	h := make([]byte, bzHeaderEnd)
	if n, err := image.ReadAt(h, 0); n < len(h) {
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%w: only %d bytes", errNotBzImage, n)
		}
		return nil, err
	}
	if binary.LittleEndian.Uint16(h[bzBootFlag:]) != 0xaa55 || string(h[bzMagic:bzMagic+4]) != "HdrS" {
		return nil, fmt.Errorf("%w: no boot header", errNotBzImage)
	}
	return h, nil
}

func bzImageDescription(image io.ReaderAt) (string, error) {
	h, err := bzHeader(image)
	if err != nil {
		return "", err
	}
	offset := int64(binary.LittleEndian.Uint16(h[bzKernelVersion:]))
	if offset == 0 {
		return "", fmt.Errorf("%w: it does not say its version", errNotBzImage)
	}
	b := make([]byte, bzDescriptionMax)
	n, err := image.ReadAt(b, offset+0x200)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	end := bytes.IndexByte(b[:n], 0)
	if end <= 0 {
		return "", fmt.Errorf("%w: no version string at %#x", errNotBzImage, offset+0x200)
	}
	return string(b[:end]), nil
}

func bzImagePayload(image io.ReaderAt) ([]byte, error) {
	h, err := bzHeader(image)
	if err != nil {
		return nil, err
	}
	if v := binary.LittleEndian.Uint16(h[bzVersion:]); v < 0x208 {
		return nil, fmt.Errorf("%w: boot protocol %d.%d is older than 2.08", errNotBzImage, v>>8, v&0xff)
	}
	setup := int64(h[bzSetupSects])
	if setup == 0 {
		setup = 4 // boot.rst: for backwards compatibility
	}
	start := (setup+1)*512 + int64(binary.LittleEndian.Uint32(h[bzPayloadOffset:]))
	length := binary.LittleEndian.Uint32(h[bzPayloadLength:])
	if length == 0 || length > bzPayloadMax {
		return nil, fmt.Errorf("%w: compressed kernel of %d bytes", errNotBzImage, length)
	}
	payload, err := io.ReadAll(io.NewSectionReader(image, start, int64(length)))
	if err != nil {
		return nil, err
	}
	if len(payload) < int(length) {
		return nil, fmt.Errorf("%w: cut off in the compressed kernel", errNotBzImage)
	}
	return payload, nil
}
