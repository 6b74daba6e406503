package repack

import (
	"fmt"
	"io"
)

// newcAlign is the multiple of bytes at which header and content begin.
const newcAlign = 4

// trailer ends an archive.
func trailer() entry { return entry{name: "TRAILER!!!", links: 1} }

// header is the entry up to its content: the magic, 13 fields of 8 hexadecimal digits, the name with a NUL at its end, padding.
func (e entry) header() []byte {
	b := fmt.Appendf(nil, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\x00",
		e.inode, e.mode, e.uid, e.gid, e.links, uint32(e.modified), e.size,
		0, 0, // the device that holds the file
		e.major, e.minor, len(e.name)+1,
		0, // the checksum of another format
		e.name)
	return append(b, make([]byte, padding(int64(len(b))))...)
}

// padding is how many bytes follow size others.
func padding(size int64) int64 { return -size & (newcAlign - 1) }

// write writes the entry, its content straight from where it is.
func (e entry) write(w io.Writer) error {
	if _, err := w.Write(e.header()); err != nil {
		return err
	}
	if e.size == 0 {
		return nil
	}
	content, err := e.open()
	if err != nil {
		return err
	}
	defer content.Close()
	n, err := io.CopyN(w, content, e.size)
	if err == io.EOF {
		return fmt.Errorf("it had %d bytes, and now has %d: %w", e.size, n, io.ErrUnexpectedEOF)
	}
	if err != nil {
		return err
	}
	_, err = w.Write(make([]byte, padding(e.size)))
	return err
}
