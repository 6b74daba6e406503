package probe

import (
	"bytes"
	"errors"
	"testing"
)

func TestFileSystem(t *testing.T) {
	for _, s := range signatures() {
		image := make([]byte, 128<<10)
		copy(image[s.offset:], s.magic)
		if got, err := FileSystem(bytes.NewReader(image)); got != s.name || err != nil {
			t.Errorf("FileSystem(%s) = %q, %v", s.name, got, err)
		}
	}
	for _, tt := range []struct {
		name string
		in   []byte
	}{{"empty", nil}, {"short", []byte("hsq")}, {"zeros", make([]byte, 128<<10)}} {
		if got, err := FileSystem(bytes.NewReader(tt.in)); !errors.Is(err, ErrUnknown) {
			t.Errorf("FileSystem(%s) = %q, %v, want %v", tt.name, got, err, ErrUnknown)
		}
	}
}
