package deploy

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"strings"
)

const (
	// recordSize is that of a record on the disk, in bytes, and what its place is a multiple of.
	recordSize = 4096
	recordMark = "liveboot image 1"
	// searched is how far behind a place where the image may end its record is looked for, in bytes: an image may be longer than the
	// file system in it says.
	searched = 4 << 20
)

// A Record says that an image was deployed completely. It lies directly behind the image, at the next multiple of 4096 bytes: lines of
// text in a block of that size, the rest zeros.
//
//	liveboot image 1
//	length 389275648
//	volume 389275648 CDROM
//	digest sha256 2c26b4…
//	url http://server/x.iso
//	boot none                   (only if so)
//	crc32c 1f2e3d4c
//
// The last line is the CRC-32C (Castagnoli) of all lines before it.
type Record struct {
	// Length is that of the image, in bytes; Volume that of the ISO file system in it.
	Length, Volume int64
	// VolumeID is the label of the ISO.
	VolumeID string
	// Digest that the image was verified by ("sha256 2c26…"), or empty.
	Digest string
	// URL that it came from, without secrets.
	URL string
	// Unbootable tells that the image has no boot sector: LBA 0 of the finished disk is empty.
	Unbootable bool
}

// errNoRecord says that there is no sound record.
var errNoRecord = errors.New("no record of a deployment")

// place returns where the record of an image of length bytes lies.
func place(length int64) int64 { return roundUp(length, recordSize) }

func roundUp(n, multiple int64) int64 { return (n + multiple - 1) / multiple * multiple }

// encode returns the block for the disk. A line that does not fit is shortened: it is for people.
func (r Record) encode() []byte {
	var b bytes.Buffer
	line := func(key, value string) {
		value = strings.Map(func(c rune) rune {
			if c < ' ' || c == 0x7f {
				return -1
			}
			return c
		}, value)
		if value != "" {
			fmt.Fprintf(&b, "%s %s\n", key, value[:min(len(value), 1024)])
		}
	}
	fmt.Fprintln(&b, recordMark)
	line("length", strconv.FormatInt(r.Length, 10))
	line("volume", fmt.Sprintf("%d %s", r.Volume, r.VolumeID))
	line("digest", r.Digest)
	line("url", r.URL)
	if r.Unbootable {
		line("boot", "none")
	}
	fmt.Fprintf(&b, "crc32c %08x\n", crc32.Checksum(b.Bytes(), castagnoli()))
	block := make([]byte, recordSize)
	copy(block, b.Bytes())
	return block
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// decode reads a block of recordSize.
func decode(block []byte) (Record, error) {
	if !bytes.HasPrefix(block, []byte(recordMark+"\n")) {
		return Record{}, errNoRecord
	}
	text, _, _ := bytes.Cut(block, []byte{0})
	end := bytes.LastIndex(text, []byte("\ncrc32c "))
	if end < 0 {
		return Record{}, errNoRecord
	}
	lines, sum := text[:end+1], strings.TrimSpace(string(text[end+len("\ncrc32c "):]))
	if fmt.Sprintf("%08x", crc32.Checksum(lines, castagnoli())) != sum {
		return Record{}, fmt.Errorf("%w: its checksum is wrong", errNoRecord)
	}
	var r Record
	var errs []error
	number := func(value string) int64 {
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || n <= 0 {
			errs = append(errs, fmt.Errorf("%w: %q is no size", errNoRecord, value))
		}
		return n
	}
	for s := bufio.NewScanner(bytes.NewReader(lines)); s.Scan(); {
		key, value, _ := strings.Cut(s.Text(), " ")
		switch key {
		case "length":
			r.Length = number(value)
		case "volume":
			size, id, _ := strings.Cut(value, " ")
			r.Volume, r.VolumeID = number(size), id
		case "digest":
			r.Digest = value
		case "url":
			r.URL = value
		case "boot":
			r.Unbootable = value == "none"
		}
	}
	if r.Length < r.Volume || r.Volume == 0 {
		errs = append(errs, fmt.Errorf("%w: it has no lengths, or impossible ones", errNoRecord))
	}
	return r, errors.Join(errs...)
}

// findRecord looks for a record behind each of the places where the image may end. It returns nil when there is none. A record that does not
// lie where its own length says is of an image that was overwritten by another.
func findRecord(r io.ReaderAt, size int64, ends []int64) (*Record, error) {
	buffer := make([]byte, searched)
	for _, end := range ends {
		at := place(end)
		if at < 0 || at >= size {
			continue
		}
		n, err := r.ReadAt(buffer[:min(searched, size-at)], at)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("read at byte %d: %w", at, err)
		}
		for b := buffer[:n]; len(b) >= recordSize; b, at = b[recordSize:], at+recordSize {
			if record, err := decode(b[:recordSize]); err == nil && place(record.Length) == at {
				return &record, nil
			}
		}
	}
	return nil, nil
}
