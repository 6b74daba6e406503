package decompress

import (
	"bytes"
	"io"
	"testing"
)

// FuzzReader: no input makes a panic, and side by side the same comes out as one after the other.
func FuzzReader(f *testing.F) {
	const limit = 1 << 20
	for _, file := range packed(f) {
		f.Add(file)
	}
	read := func(file []byte, o Options) (got []byte, format string, err error) {
		d, err := New(bytes.NewReader(file), o)
		if err != nil {
			return nil, "", err
		}
		defer d.Close()
		got, err = io.ReadAll(io.LimitReader(d, limit))
		return got, d.Format(), err
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		one, format, err1 := read(file, Options{Workers: 1})
		more, _, err2 := read(file, Options{Workers: 2, Memory: 8 << 20})
		if len(one) == limit {
			return // what was not read may be damaged, which is seen earlier in large pieces
		}
		if (err1 == nil) != (err2 == nil) || err1 == nil && !bytes.Equal(one, more) {
			t.Errorf("one after the other: %d bytes, %v; side by side: %d bytes, %v", len(one), err1, len(more), err2)
		}
		if format == "" && err1 == nil && !bytes.Equal(one, file) {
			t.Errorf("%d bytes that are not compressed came out as %d others", len(file), len(one))
		}
	})
}

// FuzzXZHeader reads the header of a block behind a checksum that is right, where the fuzzer rarely gets.
func FuzzXZHeader(f *testing.F) {
	f.Add([]byte{0xc0, 1, 1, xzLZMA2, 1, 20})
	f.Add([]byte{0x02, 0x03, 1, 3, 0x04, 0, xzLZMA2, 1, 0})
	f.Fuzz(func(t *testing.T, fields []byte) {
		if len(fields) == 0 {
			return
		}
		b := xzBlock{raw: append([]byte{0}, fields...)}
		if err := b.parse(cursor{fields[1:]}); err == nil && (b.dictionary < 4<<10 || b.dictionary > MaxWindow) {
			t.Errorf("parse(%x): a dictionary of %d bytes, and no error", fields, b.dictionary)
		}
	})
}
