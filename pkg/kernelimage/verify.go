package kernelimage

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"

	"github.com/liveboot/liveboot/pkg/fetch/decompress"
)

// ErrDamaged says that a kernel is not what was built: it would be loaded, and then stop without a word.
var ErrDamaged = errors.New("the kernel image is damaged")

// Verify reads the whole image and looks for damage, as far as it has checksums: the CRC-32 at the end of a bzImage (boot.rst, protocol 2.08; Linux up
// to 6.14), the digest in a PE signature, or those of the compression inside. It says nothing on whether a signature is to be trusted. i is what
// Inspect said of the image in the first size bytes of r.
func Verify(ctx context.Context, r io.ReaderAt, size int64, i Info) error {
	image := reader{ctx, io.NewSectionReader(r, 0, size)}
	if i.Format != BzImage {
		return nil // Inspect has unpacked it, or it is not compressed
	}
	p, err := findSignature(image)
	if err != nil {
		return fmt.Errorf("verify the kernel image: %w", err)
	}
	sum, digest := crc32.NewIEEE(), sha256.New()
	if err := p.digest(image, i.Size, sum, digest); err != nil {
		return fmt.Errorf("verify the kernel image: %w", err)
	}
	// The residue of a CRC that stands behind its data, here complemented once more than the kernel does.
	if sum.Sum32() == 0xffffffff {
		return nil
	}
	if p.signature.length > 0 {
		return p.compare(image, digest.Sum(nil))
	}
	return verifyPayload(image, i)
}

// reader is a file that cannot be read any more when the context has ended.
type reader struct {
	ctx context.Context
	r   *io.SectionReader
}

func (r reader) ReadAt(b []byte, offset int64) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.r.ReadAt(b, offset)
}

// peSigned is what changes in a PE file when it is signed (Microsoft's "PE Format", section "Process for Generating the Authenticode PE Image Hash").
type peSigned struct {
	checksum  span // in the optional header
	directory span // the entry that says where the signature is
	signature span // behind the image; of length 0 where there is none
}

// Offsets in the optional header of PE32+ and of PE32, in bytes.
const (
	peChecksum       = 64
	peSignature      = 144 // the fifth of the data directories
	peSignatureOf32  = 128
	pe32Plus         = 0x20b
	peSignatureBound = 1 << 20 // the most that is read of a signature, in bytes; real ones have a few KiB
)

// findSignature returns empty spans for an image without a PE header.
func findSignature(image reader) (peSigned, error) {
	head := make([]byte, headSize)
	n, err := image.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return peSigned{}, err
	}
	if _, ok := peField(head[:n], peSections); !ok || string(head[:2]) != "MZ" {
		return peSigned{}, nil
	}
	optional := int64(binary.LittleEndian.Uint32(head[peOffset:])) + peHeader
	directory := optional + peSignature
	if optional+peSignature+8 > int64(n) {
		return peSigned{}, nil
	}
	if binary.LittleEndian.Uint16(head[optional:]) != pe32Plus {
		directory = optional + peSignatureOf32
	}
	field := func(at int64) int64 { return int64(binary.LittleEndian.Uint32(head[at:])) }
	return peSigned{
		checksum: span{optional + peChecksum, 4}, directory: span{directory, 8},
		signature: span{field(directory), min(field(directory+4), peSignatureBound)},
	}, nil
}

// digest computes the checksum of the first size bytes as they were before the image was signed, and the digest that a signature has.
func (p peSigned) digest(image reader, size int64, sum, digest hash.Hash) error {
	zeros := make([]byte, 8)
	at := int64(0)
	for _, hole := range []span{p.checksum, p.directory, {size, 0}} {
		if hole.offset < at {
			continue
		}
		if _, err := io.Copy(io.MultiWriter(sum, digest), io.NewSectionReader(image, at, hole.offset-at)); err != nil {
			return err
		}
		sum.Write(zeros[:hole.length])
		at = hole.offset + hole.length
	}
	// A signature is of all that is in front of it.
	if end := p.signature.offset; p.signature.length > 0 && end > at {
		_, err := io.Copy(digest, io.NewSectionReader(image, at, end-at))
		return err
	}
	return nil
}

// compare looks for the digest in the signature, which holds it in the open.
func (p peSigned) compare(image reader, digest []byte) error {
	signature, err := io.ReadAll(io.NewSectionReader(image, p.signature.offset, p.signature.length))
	if err != nil {
		return fmt.Errorf("verify the kernel image: %w", err)
	}
	if !bytes.Contains(signature, digest) {
		return fmt.Errorf("%w: its SHA-256 is not the one in its signature", ErrDamaged)
	}
	return nil
}

// verifyPayload unpacks the kernel inside a bzImage. One that is compressed in a way that is not known here passes.
func verifyPayload(image reader, i Info) error {
	payload := span{i.payload.offset, i.payload.length}
	z, err := decompress.New(Payload(image, i), decompress.Options{Workers: 1})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	defer z.Close()
	if z.Format() == "" {
		return nil
	}
	if z.Format() != "gzip" {
		// The kernel's build adds the size of what was compressed (scripts/Makefile.lib, size_append).
		payload.length -= 4
		if z, err = decompress.New(io.NewSectionReader(image, payload.offset, payload.length), decompress.Options{Workers: 1}); err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		defer z.Close()
	}
	if _, err := io.Copy(io.Discard, z); err != nil {
		if image.ctx.Err() != nil {
			return context.Cause(image.ctx)
		}
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return nil
}
