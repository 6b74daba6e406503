package packed

import (
	"bytes"
	"fmt"
	"strings"
)

// A Segment is one archive, or one compressed stream of archives, of an initrd.
type Segment struct {
	Offset      int64
	Length      int64  // in bytes, in the initrd
	Compression string // empty: none
}

// Segments reads an initrd as Initrd does. For each file it calls f with the index of the file's segment among those that
// it returns.
func Segments(initrd []byte, f func(segment int, file File) error) ([]Segment, error) {
	var all []Segment
	r := bytes.NewReader(initrd)
	for skipZeros(r) {
		offset := len(initrd) - r.Len()
		s := Segment{Offset: int64(offset), Compression: compression(initrd[offset:])}
		err := unpackSegment(r, initrd[offset:], func(file File) error { return f(len(all), file) })
		if err != nil {
			return nil, fmt.Errorf("initrd, segment %d at byte %d: %w", len(all)+1, offset, err)
		}
		s.Length = int64(len(initrd) - r.Len() - offset)
		all = append(all, s)
	}
	return all, nil
}

// compression is the name of what begins like this; empty for anything that is not known.
func compression(start []byte) string {
	for _, u := range unpackers() {
		if strings.HasPrefix(string(start[:min(len(start), len(u.magic))]), u.magic) {
			return u.name
		}
	}
	return ""
}
