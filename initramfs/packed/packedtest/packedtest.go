// Package packedtest packs for tests what package packed reads.
package packedtest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
)

// Deb makes a Debian package of its member data.tar, data.tar.gz, ….
func Deb(member string, data []byte) []byte {
	var b bytes.Buffer
	b.WriteString("!<arch>\n")
	for _, m := range []struct {
		name    string
		content []byte
	}{{"debian-binary", []byte("2.0\n")}, {"control.tar.xz", []byte("odd")}, {member, data}} {
		fmt.Fprintf(&b, "%-16s%-12d%-6d%-6d%-8o%-10d`\n", m.name, 0, 0, 0, 0o100644, len(m.content))
		b.Write(m.content)
		b.Write(make([]byte, len(m.content)&1))
	}
	return b.Bytes()
}

// RPM makes an RPM package of a payload, with headers that say nothing.
func RPM(payload []byte) []byte {
	header := func(entries, data int) []byte {
		b := append([]byte("\x8e\xad\xe8\x01"), make([]byte, 12+16*entries+data)...)
		binary.BigEndian.PutUint32(b[8:], uint32(entries))
		binary.BigEndian.PutUint32(b[12:], uint32(data))
		return b
	}
	lead := append([]byte("\xed\xab\xee\xdb"), make([]byte, 92)...)
	return slices.Concat(lead, header(2, 5), make([]byte, 3), header(1, 3), payload)
}
