// Package kernelimage reads what a Linux kernel's file says about itself: its format, its architecture, its version, and how
// many bytes belong to it.
//
// Formats: bzImage (the kernel's Documentation/arch/x86/boot.rst), the arm64 Image (Documentation/arch/arm64/booting.rst), one
// compressed as a whole (Image.gz), and one that unpacks itself under EFI (drivers/firmware/efi/libstub/zboot-header.S).
//
// Of a bzImage only its first KiB and the version string are read, so that it may be on a server that is asked for ranges. The others have no
// version in front: they are read, and unpacked, to where it stands.
package kernelimage

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/liveboot/liveboot/pkg/fetch/decompress"
)

// ErrNotKernel says that a file is no kernel of a format that is known here. The error's text tells what it is instead, as far as that shows.
var ErrNotKernel = errors.New("not a Linux kernel image (bzImage, EFI zboot, Image or Image.gz)")

// ErrTruncated says that a part of the kernel is missing.
var ErrTruncated = errors.New("the kernel image is cut off")

// A Format is a way to pack a kernel.
type Format string

// The formats.
const (
	BzImage Format = "bzImage"
	ZBoot   Format = "EFI zboot"
	Image   Format = "Image"
	Packed  Format = "Image, compressed"
)

// Info is what an image says about itself.
type Info struct {
	Format Format
	// Arch is the architecture as Go names it: amd64, 386, arm64.
	Arch string
	// Release is the version as uname -r prints it. It is sound as a folder's name.
	Release string
	// Description is the line that begins with the release and goes on with who built the kernel and when. It has printable ASCII only.
	Description string
	// Size is how many bytes the image has at least, signatures aside; 0 where it does not say so in front.
	Size int64
	// CommandLineMax is how long the command line may be, in bytes without the NUL at its end; 0 where the image does not say.
	CommandLineMax int
	// Memory is how much the kernel needs to unpack itself, in bytes, all of which kexec takes beforehand; 0 where the image does not say.
	Memory int64

	payload span
}

// span is a part of a file, in bytes.
type span struct{ offset, length int64 }

// A Decompressor reads what is compressed, by its first bytes, and anything else as it is.
type Decompressor func(io.Reader) (io.ReadCloser, error)

// Inspect reads the image in the first size bytes of r. It knows the compressions of pkg/fetch/decompress.
func Inspect(r io.ReaderAt, size int64) (Info, error) {
	return InspectWith(r, size, func(r io.Reader) (io.ReadCloser, error) {
		return decompress.New(r, decompress.Options{Workers: 1})
	})
}

// InspectWith is Inspect with other compressions.
func InspectWith(r io.ReaderAt, size int64, open Decompressor) (Info, error) {
	image := io.NewSectionReader(r, 0, size)
	head, err := headOf(image)
	if err != nil {
		return Info{}, err
	}
	switch {
	case isBzImage(head):
		return inspectBzImage(image, head)
	case isZBoot(head):
		return inspectZBoot(image, head, open)
	case isArm64(head):
		return inspectArm64(image, head)
	}
	return inspectPacked(image, head, open)
}

// Payload returns the part of an image that holds the compressed kernel; of a format without such a part, all of it. i is what Inspect said
// of the image.
func Payload(r io.ReaderAt, i Info) *io.SectionReader {
	return io.NewSectionReader(r, i.payload.offset, i.payload.length)
}

// Loadable returns the image as kexec_file_load(2) takes it: a bzImage as it is, since its signature is checked; for arm64 the kernel
// unpacked, as that does not unpack itself there. i is what Inspect said of the image in the first size bytes of r.
func Loadable(r io.ReaderAt, size int64, i Info) (io.ReadCloser, error) {
	if i.Format == BzImage || i.Format == Image {
		return io.NopCloser(io.NewSectionReader(r, 0, size)), nil
	}
	z, err := decompress.New(Payload(r, i), decompress.Options{Workers: 1})
	if err != nil {
		return nil, fmt.Errorf("unpack the kernel: %w", err)
	}
	return z, nil
}

// headSize is how much of an image is read at first, in bytes: more than the header of any format has.
const headSize = 1024

// headMin is the size of the smallest header.
const headMin = 64

func headOf(image *io.SectionReader) ([]byte, error) {
	head := make([]byte, min(headSize, max(image.Size(), 0)))
	n, err := image.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("read the kernel image: %w", err)
	}
	if n < len(head) {
		return nil, fmt.Errorf("%w: %d of %d bytes are there", ErrTruncated, n, image.Size())
	}
	if n < headMin {
		return nil, fmt.Errorf("%w: it has only %d bytes", ErrNotKernel, n)
	}
	return head, nil
}

// releaseMax is the kernel's own limit for its version, in bytes (__NEW_UTS_LEN).
const releaseMax = 64

// described returns i with what the version line tells.
func (i Info) described(line []byte) (Info, error) {
	i.Description = strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return '?'
		}
		return c
	}, string(line))
	i.Release, _, _ = strings.Cut(i.Description, " ")
	if i.Release == "" || len(i.Release) > releaseMax || !isDigit(i.Release[0]) || strings.ContainsAny(i.Release, `/\?*"'$&;|<>`) {
		return Info{}, fmt.Errorf("%w: it says %q where its version belongs", ErrNotKernel, i.Release)
	}
	return i, nil
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// whole checks that there are as many bytes as the image should have.
func (i *Info) whole(image *io.SectionReader) error {
	if i.Size > image.Size() {
		return fmt.Errorf("%w: it should have %d bytes, and has %d", ErrTruncated, i.Size, image.Size())
	}
	return nil
}

// instead names what a file is that is no kernel.
func instead(head []byte) string {
	for _, known := range []struct{ magic, name string }{
		{"\x7fELF", "an ELF file; if it is a vmlinux, give the bzImage or Image that is made from it"},
		{"07070", "a cpio archive, as initrds are"},
		{"!<arch>\n", "a Debian package"},
		{"\xed\xab\xee\xdb", "an RPM package"},
		{"<", "a page for a browser, or XML"},
		{"#!", "a script"},
		{"MZ", "an EFI program, and no kernel"},
		{"\x27\x05\x19\x56", "an image for U-Boot"},
		{"\xd0\x0d\xfe\xed", "an image for U-Boot (FIT), or a device tree"},
		{"hsqs", "a squashfs"},
	} {
		if bytes.HasPrefix(bytes.TrimLeft(head, " \t\r\n"), []byte(known.magic)) {
			return "it is " + known.name
		}
	}
	if len(bytes.Trim(head, "\x00")) == 0 {
		return "it begins with zeros"
	}
	return fmt.Sprintf("it begins with % x", head[:8])
}
