package packed

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/liveboot/liveboot/pkg/initrd"
)

const (
	rpmMagic       = "\xed\xab\xee\xdb"
	rpmLead        = 96
	rpmHeaderMagic = "\x8e\xad\xe8\x01"
	// rpmHeaderMax bounds what a header can have, in bytes; that of rpm itself is 256 MiB.
	rpmHeaderMax = 256 << 20
)

// IsRPM says whether a file begins as an RPM package does.
func IsRPM(start []byte) bool { return bytes.HasPrefix(start, []byte(rpmMagic)) }

// RPM reads the files of an RPM package (rpm's docs/manual/format.md): lead, signature, header, and a cpio archive in the
// newc format, compressed with gzip, xz, zstd, bzip2 or lzma.
func RPM(r io.Reader, f func(initrd.File) error) error {
	lead := make([]byte, rpmLead)
	if _, err := io.ReadFull(r, lead); err != nil || !IsRPM(lead) {
		return ErrRPM
	}
	length, err := skipRPMHeader(r)
	if err != nil {
		return fmt.Errorf("%w: signature: %w", ErrRPM, err)
	}
	if err := skip(r, -length&7); err != nil { // only the signature is padded
		return fmt.Errorf("%w: signature: %w", ErrRPM, err)
	}
	if _, err := skipRPMHeader(r); err != nil {
		return fmt.Errorf("%w: header: %w", ErrRPM, err)
	}
	payload, err := decompress(r)
	if err != nil {
		return fmt.Errorf("payload: %w", err)
	}
	defer payload.Close()
	if err := initrd.Newc(payload, f); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("payload: %w", err)
	}
	return nil
}

// skipRPMHeader reads over a header structure: magic (4 bytes), reserved (4), number of entries in the index and bytes of data
// (4 each, big endian), index of 16 bytes an entry, data. It returns its length.
func skipRPMHeader(r io.Reader) (int64, error) {
	h := make([]byte, 16)
	if _, err := io.ReadFull(r, h); err != nil {
		return 0, err
	}
	if !bytes.HasPrefix(h, []byte(rpmHeaderMagic)) {
		return 0, errors.New("no header where one belongs")
	}
	length := int64(binary.BigEndian.Uint32(h[8:]))*16 + int64(binary.BigEndian.Uint32(h[12:]))
	if length > rpmHeaderMax {
		return 0, fmt.Errorf("a header of %d bytes", length)
	}
	return 16 + length, skip(r, length)
}
