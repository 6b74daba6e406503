package initrd

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"time"
)

// Bounds for archives that others made, in bytes.
const (
	newcHeaderSize = 110
	newcNameMax    = 4096    // PATH_MAX
	maxFile        = 1 << 30 // far more than any module or firmware
	newcTrailer    = "TRAILER!!!"
)

// Newc reads one archive in the newc or crc format (the kernel's
// Documentation/driver-api/early-userspace/buffer-format.rst), up to its
// trailer: what is behind it stays unread. It returns io.EOF if there is
// nothing at all.
func Newc(r io.Reader, f func(File) error) error {
	archive := &archiveID{}
	for n := 0; ; n++ {
		entry, err := newcHeader(r)
		if err != nil {
			if n == 0 && errors.Is(err, io.EOF) {
				return io.EOF
			}
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("cpio entry %d: %w", n, err)
		}
		if entry.Name == newcTrailer {
			return nil
		}
		content := io.LimitReader(r, entry.Size)
		entry.Content, entry.id.archive = content, archive
		if err := f(entry); err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, content); err != nil {
			return fmt.Errorf("cpio file %s: %w", entry.Name, err)
		}
		if err := skip(r, -entry.Size&3); err != nil {
			return fmt.Errorf("cpio file %s: %w", entry.Name, err)
		}
	}
}

// newcHeader reads a header of 13 fields of 8 hexadecimal digits behind
// the magic, and the name.
func newcHeader(r io.Reader) (File, error) {
	var f File
	h := make([]byte, newcHeaderSize)
	if _, err := io.ReadFull(r, h); err != nil {
		return f, err
	}
	if magic := string(h[:6]); magic != "070701" && magic != "070702" {
		return f, fmt.Errorf("magic %q is not that of a newc archive", magic)
	}
	var fields [13]int64
	for i := range fields {
		v, err := strconv.ParseUint(string(h[6+8*i:][:8]), 16, 32)
		if err != nil {
			return f, fmt.Errorf("header: %w", err)
		}
		fields[i] = int64(v)
	}
	const inode, mode, links, mtime, size, major, minor, nameSize = 0, 1, 4, 5, 6, 7, 8, 11
	if n := fields[nameSize]; n == 0 || n > newcNameMax {
		return f, fmt.Errorf("a name of %d bytes", n)
	}
	if fields[size] > maxFile {
		return f, fmt.Errorf("a file of %d bytes", fields[size])
	}
	name := make([]byte, fields[nameSize])
	if _, err := io.ReadFull(r, name); err != nil {
		return f, err
	}
	if err := skip(r, -(newcHeaderSize+fields[nameSize])&3); err != nil {
		return f, err
	}
	text, _, _ := strings.Cut(string(name), "\x00")
	return File{
		Name: strings.TrimLeft(strings.TrimPrefix(text, "./"), "/"), Mode: unixMode(fields[mode]), Modified: time.Unix(fields[mtime], 0),
		Size: fields[size], id: fileID{major: fields[major], minor: fields[minor], inode: fields[inode]}, links: fields[links],
	}, nil
}

// unixMode turns the mode of stat(2) into Go's, as far as it matters here.
func unixMode(mode int64) fs.FileMode {
	perm := fs.FileMode(mode & 0o777)
	switch mode & 0o170000 {
	case 0o040000:
		return perm | fs.ModeDir
	case 0o100000:
		return perm
	case 0o120000:
		return perm | fs.ModeSymlink
	}
	return perm | fs.ModeIrregular
}

func skip(r io.Reader, n int64) error {
	_, err := io.CopyN(io.Discard, r, n)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}
