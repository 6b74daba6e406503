package manifest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
)

// A Root is the hash that stands for a manifest, and by that for every byte of an image.
type Root [sha256.Size]byte

// String returns the root as the kernel command line has it: "sha256:" and hexadecimal digits.
func (r Root) String() string { return hashName + ":" + hex.EncodeToString(r[:]) }

// MarshalText is String.
func (r Root) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// ParseRoot reads what String returns, with digits of either case.
func ParseRoot(text string) (Root, error) {
	digits, ok := strings.CutPrefix(text, hashName+":")
	if !ok {
		return Root{}, fmt.Errorf("root %q: want %s: and %d hexadecimal digits", text, hashName, 2*sha256.Size)
	}
	sum, err := hex.DecodeString(digits)
	if err != nil || len(sum) != sha256.Size {
		return Root{}, fmt.Errorf("root %q: it does not have %d hexadecimal digits, and only those, behind the colon", text, 2*sha256.Size)
	}
	return Root(sum), nil
}

// WriteTo writes the file.
func (m *Manifest) WriteTo(w io.Writer) (int64, error) {
	b := bytes.NewBuffer(m.header())
	for i := range m.chunks {
		b.Write(m.chunks[i][:])
	}
	return b.WriteTo(w)
}

// Parse reads a file. It says nothing about where that comes from: compare Root with what it must be.
func Parse(b []byte) (*Manifest, error) {
	m, err := parse(b)
	if err != nil {
		return nil, fmt.Errorf("parse manifest: %w", err)
	}
	return m, nil
}

func parse(b []byte) (*Manifest, error) {
	if len(b) < headerSize {
		return nil, fmt.Errorf("%d bytes are too few", len(b))
	}
	if !bytes.HasPrefix(b, []byte(magic)) {
		return nil, errors.New("it does not begin as a manifest does")
	}
	if v := binary.BigEndian.Uint32(b[16:]); v != version {
		return nil, fmt.Errorf("version %d, only %d is known: write it with the mkinitramfs that made this initramfs", v, version)
	}
	size := binary.BigEndian.Uint64(b[24:])
	m := &Manifest{ChunkSize: int64(binary.BigEndian.Uint32(b[20:])), Size: int64(min(size, 1<<62))}
	if err := m.checkChunkSize(); err != nil {
		return nil, err
	}
	if err := m.checkSize(); err != nil {
		return nil, err
	}
	copy(m.Digest[:], b[48:])
	// What is left of the header, too, is as it would be written.
	if !bytes.Equal(b[:headerSize], m.header()) {
		return nil, fmt.Errorf("its hash is %q, only %s is known", bytes.TrimRight(b[32:48], "\x00"), hashName)
	}
	count := int((m.Size + m.ChunkSize - 1) / m.ChunkSize)
	if want := headerSize + count*sha256.Size; len(b) != want {
		return nil, fmt.Errorf("%d bytes, want %d for the %d chunks of an image of %d bytes", len(b), want, count, m.Size)
	}
	m.chunks = make([][sha256.Size]byte, count)
	for i := range m.chunks {
		copy(m.chunks[i][:], b[headerSize+i*sha256.Size:])
	}
	m.seal()
	return m, nil
}
