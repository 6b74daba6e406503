package kernelimage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Offsets in the header of an Image and of a zboot image, in bytes.
const (
	armMagic     = 0x38 // "ARM\x64"
	zbootMagic   = 0x04 // "zimg", behind "MZ"
	zbootOffset  = 0x08 // of the compressed kernel, from the image's start
	zbootLength  = 0x0c // of it
	peOffset     = 0x3c // of the PE header
	peMachine    = 0x04 // from here on in the PE header; 2 bytes
	peSections   = 0x06 // how many, 2 bytes
	peOptional   = 0x14 // size of the optional header, 2 bytes
	peHeader     = 0x18
	peSection    = 40 // size of an entry in the table of sections, which is behind the optional header
	peRawSize    = 16 // in an entry, 4 bytes each
	peRawPointer = 20

	peMachineARM64 = 0xaa64
)

// unpackedMax bounds what is unpacked, in bytes; distribution kernels have about 40 MB.
const unpackedMax = 256 << 20

func isArm64(head []byte) bool { return string(head[armMagic:armMagic+4]) == "ARM\x64" }

func isZBoot(head []byte) bool {
	return string(head[:2]) == "MZ" && string(head[zbootMagic:zbootMagic+4]) == "zimg"
}

func inspectArm64(image *io.SectionReader, head []byte) (Info, error) {
	i := Info{Format: Image, Arch: "arm64", Size: peSize(head), payload: span{0, image.Size()}}
	if err := i.whole(image); err != nil {
		return Info{}, err
	}
	line, err := banner(image)
	if err != nil {
		return Info{}, err
	}
	return i.described(line)
}

func inspectZBoot(image *io.SectionReader, head []byte, open Decompressor) (Info, error) {
	i := Info{Format: ZBoot, Arch: "arm64"}
	field := func(offset int) int64 { return int64(binary.LittleEndian.Uint32(head[offset:])) }
	i.payload = span{field(zbootOffset), field(zbootLength)}
	i.Size = max(i.payload.offset+i.payload.length, peSize(head))
	if i.payload.length == 0 {
		return Info{}, fmt.Errorf("%w: a zboot image with no kernel in it", ErrNotKernel)
	}
	if err := i.whole(image); err != nil {
		return Info{}, err
	}
	if machine, ok := peField(head, peMachine); ok && machine != peMachineARM64 {
		return Info{}, fmt.Errorf("%w: a zboot image for machine %#x, and only arm64 has been seen so", ErrNotKernel, machine)
	}
	return i.unpacked(image, open)
}

// inspectPacked is for what may be an Image that is compressed as a whole.
func inspectPacked(image *io.SectionReader, head []byte, open Decompressor) (Info, error) {
	i := Info{Format: Packed, Arch: "arm64", payload: span{0, image.Size()}}
	z, err := open(bytes.NewReader(head))
	if err == nil {
		var first [8]byte
		_, err = io.ReadFull(z, first[:])
		z.Close()
		if err == nil && bytes.Equal(first[:], head[:len(first)]) {
			return Info{}, fmt.Errorf("%w: %s", ErrNotKernel, instead(head))
		}
	}
	return i.unpacked(image, open)
}

// unpacked returns i with what the compressed kernel says. That is read to its end, which shows whether it is whole.
func (i Info) unpacked(image *io.SectionReader, open Decompressor) (Info, error) {
	damaged := func(err error) (Info, error) {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return Info{}, fmt.Errorf("%w: %w", ErrTruncated, err)
		}
		return Info{}, fmt.Errorf("%w: what is compressed in it is damaged: %w", ErrNotKernel, err)
	}
	z, err := open(Payload(image, i))
	if err != nil {
		return damaged(err)
	}
	defer z.Close()
	head := make([]byte, headMin)
	if _, err := io.ReadFull(z, head); err != nil {
		return damaged(err)
	}
	if !isArm64(head) {
		return Info{}, fmt.Errorf("%w: something else is compressed in it: %s", ErrNotKernel, instead(head))
	}
	rest := io.LimitReader(z, unpackedMax)
	line, bannerErr := banner(rest)
	if _, err := io.Copy(io.Discard, rest); err != nil {
		return damaged(err)
	}
	if n, _ := z.Read(make([]byte, 1)); n > 0 {
		return Info{}, fmt.Errorf("%w: it unpacks to more than %d MiB", ErrNotKernel, unpackedMax>>20)
	}
	if bannerErr != nil {
		return Info{}, bannerErr
	}
	return i.described(line)
}

// peField is a field of the PE header; false if there is none.
func peField(head []byte, offset int) (value uint16, ok bool) {
	start := int64(binary.LittleEndian.Uint32(head[peOffset:]))
	if start+peHeader > int64(len(head)) || string(head[start:start+4]) != "PE\x00\x00" {
		return 0, false
	}
	return binary.LittleEndian.Uint16(head[start+int64(offset):]), true
}

// peSize is how many bytes of a file its PE header accounts for; 0 if it has none.
func peSize(head []byte) (size int64) {
	sections, ok := peField(head, peSections)
	optional, _ := peField(head, peOptional)
	if !ok {
		return 0
	}
	at := int64(binary.LittleEndian.Uint32(head[peOffset:])) + peHeader + int64(optional)
	for range sections {
		if at+peSection > int64(len(head)) {
			break
		}
		raw := func(offset int64) int64 { return int64(binary.LittleEndian.Uint32(head[at+offset:])) }
		size = max(size, raw(peRawPointer)+raw(peRawSize))
		at += peSection
	}
	return size
}

// bannerStart is what the kernel says first: "Linux version 6.1.0-56-arm64 (user@host) (compiler) #1 SMP ...".
const bannerStart = "Linux version "

// banner looks for the kernel's first words. The same words also stand in a format, and in messages about other kernels.
func banner(r io.Reader) ([]byte, error) {
	window := make([]byte, 0, 1<<20)
	for {
		n, err := io.ReadFull(r, window[len(window):cap(window)])
		window = window[:len(window)+n]
		ended := err == io.EOF || err == io.ErrUnexpectedEOF
		if err != nil && !ended {
			return nil, fmt.Errorf("look for the kernel's version: %w", err)
		}
		if line := bannerIn(window, ended); line != nil {
			return line, nil
		}
		if ended {
			return nil, fmt.Errorf("%w: an arm64 kernel that does not say its version", ErrNotKernel)
		}
		keep := window[len(window)-len(bannerStart)-descriptionMax:]
		window = window[:copy(window, keep)]
	}
}

// bannerIn returns the line behind the first banner in b. One that b may have only a part of is left for the next look, unless b is the last.
func bannerIn(b []byte, last bool) []byte {
	for {
		_, rest, ok := bytes.Cut(b, []byte(bannerStart))
		if !ok || len(rest) < descriptionMax && !last {
			return nil
		}
		if b = rest; len(rest) == 0 || !isDigit(rest[0]) {
			continue
		}
		line, _, _ := bytes.Cut(rest[:min(len(rest), descriptionMax)], []byte("\n"))
		line, _, _ = bytes.Cut(line, []byte{0})
		return line
	}
}
