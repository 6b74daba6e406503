package kernelimage_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/liveboot/liveboot/pkg/kernelimage"
	"github.com/liveboot/liveboot/pkg/kernelimage/kernelimagetest"
	"github.com/liveboot/liveboot/pkg/needs"
)

func gzipped(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}

func zstded(b []byte) []byte {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	return w.EncodeAll(b, nil)
}

// changed is a copy with some bytes set.
func changed(b []byte, at int, to ...byte) []byte {
	b = bytes.Clone(b)
	copy(b[at:], to)
	return b
}

const (
	pcLine  = "6.1.0-56-amd64 (user@host) #1 SMP PREEMPT_DYNAMIC Debian 6.1.192-2 (2026-11-16)"
	armLine = "6.1.0-56-arm64 (user@host) (gcc 12) #1 SMP Debian 6.1.192-2 (2026-11-16)"
)

func TestInspect(t *testing.T) {
	pc, arm := kernelimagetest.BzImage(pcLine, []byte("compressed kernel")), kernelimagetest.Arm64(armLine)
	efi := kernelimagetest.ZBoot(gzipped(arm))
	far := append(bytes.Clone(arm[:0x1000]), bytes.Repeat([]byte("Linux version %s"), 100_000)...)
	far = append(far, arm[0x1000:]...)
	for _, tt := range []struct {
		name   string
		in     []byte
		format kernelimage.Format
		arch   string
		line   string // or
		is     error
		text   string
	}{
		{"bzImage", pc, kernelimage.BzImage, "amd64", pcLine, nil, ""},
		{"bzImage with a signature", append(bytes.Clone(pc), "signature"...), kernelimage.BzImage, "amd64", pcLine, nil, ""},
		{"bzImage of 32 bits", changed(pc, 0x236, 0), kernelimage.BzImage, "386", pcLine, nil, ""},
		{"bzImage, old protocol", changed(pc, 0x206, 7), "", "", "", kernelimage.ErrNotKernel, "2.07 is older"},
		{"bzImage without a version", changed(pc, 0x20e, 0, 0), "", "", "", kernelimage.ErrNotKernel, "does not say its version"},
		{"bzImage, version behind the end", changed(pc, 0x20e, 0xff, 0xff), "", "", "", kernelimage.ErrNotKernel, "no version at 0x101ff"},
		{"bzImage with no kernel", changed(pc, 0x24c, 0, 0), "", "", "", kernelimage.ErrNotKernel, "no kernel in it"},
		{"bzImage, cut off", pc[:len(pc)-1], "", "", "", kernelimage.ErrTruncated, "should have 1056 bytes, and has 1055"},
		{"bzImage, first KiB only", pc[:1024], "", "", "", kernelimage.ErrTruncated, "should have 1056 bytes, and has 1024"},
		{"a release that is a path", kernelimagetest.BzImage("6.1/../../etc (x)", []byte("k")), "", "", "", kernelimage.ErrNotKernel, "where its version belongs"},
		{"a release that is too long", kernelimagetest.BzImage(strings.Repeat("6", 65)+" (x)", []byte("k")), "", "", "", kernelimage.ErrNotKernel, "where its version belongs"},
		{"a line with control characters", kernelimagetest.BzImage("6.1 \x1b[2J", []byte("k")), kernelimage.BzImage, "amd64", "6.1 ?[2J", nil, ""},
		{"Image", arm, kernelimage.Image, "arm64", armLine, nil, ""},
		{"Image, banner far away", far, kernelimage.Image, "arm64", armLine, nil, ""},
		{"Image.gz", gzipped(arm), kernelimage.Packed, "arm64", armLine, nil, ""},
		{"Image.zst", zstded(arm), kernelimage.Packed, "arm64", armLine, nil, ""},
		{"Image.gz, cut off", gzipped(arm)[:len(gzipped(arm))-5], "", "", "", kernelimage.ErrTruncated, ""},
		{"zboot, gzip", efi, kernelimage.ZBoot, "arm64", armLine, nil, ""},
		{"zboot, zstd", kernelimagetest.ZBoot(zstded(arm)), kernelimage.ZBoot, "arm64", armLine, nil, ""},
		{"zboot, cut off", efi[:len(efi)/2+400], "", "", "", kernelimage.ErrTruncated, "should have"},
		{"zboot, damaged", changed(efi, len(efi)-40, 1, 2, 3), "", "", "", kernelimage.ErrNotKernel, "damaged"},
		{"zboot with something else", kernelimagetest.ZBoot(gzipped(bytes.Repeat([]byte("0707 "), 100))), "", "", "", kernelimage.ErrNotKernel, "something else is compressed in it"},
		{"no banner", kernelimagetest.Arm64("unknown"), "", "", "", kernelimage.ErrNotKernel, "does not say its version"},
		{"nothing", nil, "", "", "", kernelimage.ErrNotKernel, "only 0 bytes"},
		{"a page", append([]byte("\n <!DOCTYPE html>"), make([]byte, 100)...), "", "", "", kernelimage.ErrNotKernel, "a page for a browser"},
		{"a program", append([]byte("\x7fELF"), make([]byte, 100)...), "", "", "", kernelimage.ErrNotKernel, "an ELF file"},
		{"an initrd", gzipped([]byte("070701" + strings.Repeat("0", 2000) + pcLine + armLine)), "", "", "", kernelimage.ErrNotKernel, "a cpio archive"},
		{"zeros", make([]byte, 4096), "", "", "", kernelimage.ErrNotKernel, "begins with zeros"},
		{"anything", bytes.Repeat([]byte("text"), 100), "", "", "", kernelimage.ErrNotKernel, "begins with 74 65 78 74"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := kernelimage.Inspect(bytes.NewReader(tt.in), int64(len(tt.in)))
			if !errors.Is(err, tt.is) || err != nil && !strings.Contains(err.Error(), tt.text) {
				t.Fatalf("Inspect = %v, want %v with %q", err, tt.is, tt.text)
			}
			if pc := got.Format == kernelimage.BzImage; pc != (got.CommandLineMax == 2047) || pc != (got.Memory == 1<<20) {
				t.Errorf("Inspect = %+v, want the limits of a bzImage, and of no other", got)
			}
			release, _, _ := strings.Cut(tt.line, " ")
			if got.Format != tt.format || got.Arch != tt.arch || got.Description != tt.line || got.Release != release {
				t.Errorf("Inspect = %+v, want %s for %s, %q", got, tt.format, tt.arch, tt.line)
			}
		})
	}
}

// counter counts the bytes that are read of an image.
type counter struct {
	io.ReaderAt
	bytes int
}

func (c *counter) ReadAt(b []byte, offset int64) (int, error) {
	n, err := c.ReaderAt.ReadAt(b, offset)
	c.bytes += n
	return n, err
}

// TestInspectIsCheap: a bzImage may lie behind a slow line.
func TestInspectIsCheap(t *testing.T) {
	image := kernelimagetest.BzImage(pcLine, make([]byte, 10<<20))
	c := &counter{ReaderAt: bytes.NewReader(image)}
	if _, err := kernelimage.Inspect(c, int64(len(image))); err != nil {
		t.Fatal(err)
	}
	if c.bytes > 4096 {
		t.Errorf("Inspect has read %d bytes of a bzImage, want no more than 4 KiB", c.bytes)
	}
}

func TestLoadable(t *testing.T) {
	pc, arm := kernelimagetest.BzImage(pcLine, []byte("k")), kernelimagetest.Arm64(armLine)
	for _, tt := range []struct {
		name     string
		in, want []byte
	}{
		{"bzImage", append(bytes.Clone(pc), "signature"...), append(bytes.Clone(pc), "signature"...)},
		{"Image", arm, arm}, {"Image.gz", gzipped(arm), arm}, {"zboot", kernelimagetest.ZBoot(zstded(arm)), arm},
	} {
		r := bytes.NewReader(tt.in)
		i, err := kernelimage.Inspect(r, r.Size())
		if err != nil {
			t.Fatal(err)
		}
		z, err := kernelimage.Loadable(r, r.Size(), i)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(z); err != nil || !bytes.Equal(got, tt.want) {
			t.Errorf("Loadable(%s) = %d bytes, %v, want %d", tt.name, len(got), err, len(tt.want))
		}
		if err := z.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestPayload(t *testing.T) {
	image := kernelimagetest.BzImage(pcLine, []byte("compressed"))
	i, err := kernelimage.Inspect(bytes.NewReader(image), int64(len(image)))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(kernelimage.Payload(bytes.NewReader(image), i)); err != nil || string(got) != "compressed" {
		t.Errorf("Payload = %q, %v, want compressed", got, err)
	}
}

// withCRC sets the last four bytes as the kernel's build does: without the final complement.
func withCRC(image []byte) []byte {
	image = bytes.Clone(image)
	binary.LittleEndian.PutUint32(image[len(image)-4:], ^crc32.ChecksumIEEE(image[:len(image)-4]))
	return image
}

// signed puts a PE header into an image and a signature behind it that has its digest; the image has no CRC of its own.
func signed(image []byte) []byte {
	const pe, optional, checksum, directory = 0x40, 0x58, 0x58 + 64, 0x58 + 144
	image = bytes.Clone(image)
	copy(image, "MZ")
	image[0x3c] = pe
	copy(image[pe:], "PE\x00\x00\x64\x86\x00\x00")
	copy(image[optional:], "\x0b\x02")
	sum := sha256.New()
	for _, part := range [][]byte{image[:checksum], image[checksum+4 : directory], image[directory+8:]} {
		sum.Write(part)
	}
	signature := append(sum.Sum([]byte("signature of ")), "by somebody"...)
	binary.LittleEndian.PutUint32(image[checksum:], 0x1234)
	binary.LittleEndian.PutUint32(image[directory:], uint32(len(image)))
	binary.LittleEndian.PutUint32(image[directory+4:], uint32(len(signature)))
	return append(image, signature...)
}

func TestVerify(t *testing.T) {
	kernel := bytes.Repeat([]byte("kernel "), 1000)
	padded := func(b []byte) []byte { return append(append(b, 0x58, 0x1b, 0, 0), make([]byte, (28-len(b)%16)%16)...) }
	exact := func(payload []byte, length int) []byte {
		image := kernelimagetest.BzImage(pcLine, padded(payload))
		binary.LittleEndian.PutUint32(image[0x24c:], uint32(length))
		return image
	}
	crc := withCRC(kernelimagetest.BzImage(pcLine, make([]byte, 64)))
	packed, squeezed := gzipped(kernel), zstded(kernel)
	for _, tt := range []struct {
		name string
		in   []byte
		want error
	}{
		{"CRC", crc, nil},
		{"CRC of something else, and nothing that is compressed", changed(crc, 0x410, 1), nil},
		{"signature", signed(crc), nil},
		{"signature, damaged", changed(signed(crc), 0x410, 1), kernelimage.ErrDamaged},
		{"gzip", exact(packed, len(packed)), nil},
		{"gzip, damaged", changed(exact(packed, len(packed)), 0x400+len(packed)/2, 'x'), kernelimage.ErrDamaged},
		{"zstd with its size", exact(squeezed, len(squeezed)+4), nil},
		{"zstd, damaged", changed(exact(squeezed, len(squeezed)+4), 0x400+len(squeezed)-6, 'x', 'y'), kernelimage.ErrDamaged},
		{"Image", kernelimagetest.Arm64(armLine), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			size := int64(len(tt.in))
			i, err := kernelimage.Inspect(bytes.NewReader(tt.in), size)
			if err != nil {
				t.Fatal(err)
			}
			if err := kernelimage.Verify(t.Context(), bytes.NewReader(tt.in), size, i); !errors.Is(err, tt.want) {
				t.Errorf("Verify = %v, want %v", err, tt.want)
			}
		})
	}
}

// TestInstalledKernels: those of this machine, which are signed.
func TestInstalledKernels(t *testing.T) {
	files, err := filepath.Glob("/boot/vmlinuz-*")
	needs.That(t, err == nil && len(files) > 0, "an installed kernel (Debian: linux-image-amd64)")
	for _, file := range files {
		image, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		size := int64(len(image))
		i, err := kernelimage.Inspect(bytes.NewReader(image), size)
		if want := strings.TrimPrefix(filepath.Base(file), "vmlinuz-"); err != nil || i.Release != want {
			t.Errorf("Inspect(%s) = %+v, %v, want release %s", file, i, err, want)
			continue
		}
		if err := kernelimage.Verify(t.Context(), bytes.NewReader(image), size, i); err != nil {
			t.Errorf("Verify(%s) = %v", file, err)
		}
		if err := kernelimage.Verify(t.Context(), bytes.NewReader(changed(image, len(image)/2, 'x', 'y', 'z')), size, i); !errors.Is(err, kernelimage.ErrDamaged) {
			t.Errorf("Verify(%s), damaged in the middle = %v, want %v", file, err, kernelimage.ErrDamaged)
		}
		ended, end := context.WithCancel(t.Context())
		end()
		if err := kernelimage.Verify(ended, bytes.NewReader(image), size, i); !errors.Is(err, context.Canceled) {
			t.Errorf("Verify after the end = %v, want %v", err, context.Canceled)
		}
		if _, err := kernelimage.Inspect(bytes.NewReader(image), size/2); !errors.Is(err, kernelimage.ErrTruncated) {
			t.Errorf("Inspect(half of %s) = %v, want %v", file, err, kernelimage.ErrTruncated)
		}
	}
}

// FuzzInspect feeds images from anywhere: what is said of them holds, and nothing is read behind their end.
func FuzzInspect(f *testing.F) {
	arm := kernelimagetest.Arm64(armLine)
	for _, seed := range [][]byte{
		kernelimagetest.BzImage(pcLine, []byte("k")), arm, gzipped(arm), kernelimagetest.ZBoot(gzipped(arm)), kernelimagetest.ZBoot(zstded(arm)), []byte("HdrS"),
		withCRC(kernelimagetest.BzImage(pcLine, gzipped([]byte("kernel")))),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, image []byte) {
		r := bytes.NewReader(image)
		i, err := kernelimage.Inspect(r, r.Size())
		if err != nil {
			return
		}
		if i.Size > r.Size() || filepath.Base(i.Release) != i.Release || i.Release[0] < '0' || i.Release[0] > '9' {
			t.Errorf("Inspect = %+v of %d bytes", i, len(image))
		}
		if payload, err := io.ReadAll(kernelimage.Payload(r, i)); err != nil || len(payload) > len(image) {
			t.Errorf("Payload has %d bytes of %d, %v", len(payload), len(image), err)
		}
		if err := kernelimage.Verify(t.Context(), r, r.Size(), i); err != nil && !errors.Is(err, kernelimage.ErrDamaged) {
			t.Errorf("Verify = %v, want %v", err, kernelimage.ErrDamaged)
		}
	})
}
