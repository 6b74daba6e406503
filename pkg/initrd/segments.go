package initrd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

// A Segment is one archive, or one compressed stream of archives, of an initrd.
type Segment struct {
	Offset      int64
	Length      int64  // in bytes, in the initrd
	Compression string // empty: none
}

// Read reads an initrd as the kernel does (init/initramfs.c): a row of archives, each plain or compressed in its own way, with
// zeros between them. A plain one in front is microcode; several may be in one compressed stream. f is called for each file; when it
// returns fs.SkipAll, that is the end. More compressions than are known here can be given. What unpacks to more than 4 GiB is an error.
func Read(initrd []byte, f func(File) error, more ...Compression) error {
	_, err := Segments(initrd, func(_ int, file File) error { return f(file) }, more...)
	if errors.Is(err, fs.SkipAll) {
		return nil
	}
	return err
}

// Segments reads an initrd as Read does. For each file it calls f with the index of the file's segment among those that
// it returns.
func Segments(initrd []byte, f func(segment int, file File) error, more ...Compression) ([]Segment, error) {
	var all []Segment
	known := append(compressions(), more...)
	left := int64(unpackedMax)
	r := bytes.NewReader(initrd)
	for skipZeros(r) {
		offset := len(initrd) - r.Len()
		s := Segment{Offset: int64(offset), Compression: compression(initrd[offset:], known)}
		err := unpack(r, initrd[offset:], known, &left, func(file File) error { return f(len(all), file) })
		if err != nil {
			return nil, fmt.Errorf("initrd, segment %d at byte %d: %w", len(all)+1, offset, err)
		}
		s.Length = int64(len(initrd) - r.Len() - offset)
		all = append(all, s)
	}
	return all, nil
}

// compression is the name of what begins like this; empty for anything that is not known.
func compression(start []byte, known []Compression) string {
	for _, c := range known {
		if strings.HasPrefix(string(start[:min(len(start), len(c.Magic))]), c.Magic) {
			return c.Name
		}
	}
	return ""
}

// skipZeros moves to the next byte that is not zero, and says whether there is one.
func skipZeros(r io.ByteScanner) bool {
	for {
		b, err := r.ReadByte()
		if err != nil {
			return false
		}
		if b != 0 {
			return r.UnreadByte() == nil
		}
	}
}
