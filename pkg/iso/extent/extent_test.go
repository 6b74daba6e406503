package extent

import (
	"errors"
	"io"
	"strings"
	"testing"
)

func TestReadAt(t *testing.T) {
	const image = "0123456789abcdef"
	tests := []struct {
		name   string
		pieces []Extent
		size   int64
		offset int64
		length int
		want   string
		err    error
	}{
		{"one piece", []Extent{{2, 4}}, 4, 0, 4, "2345", nil},
		{"across pieces", []Extent{{0, 2}, {8, 2}, {4, 2}}, 6, 1, 4, "189" + "4", nil},
		{"hole", []Extent{{0, 2}, {Zeros, 3}, {10, 1}}, 6, 1, 5, "1\x00\x00\x00a", nil},
		{"last piece longer than the file", []Extent{{0, 2}, {8, 8}}, 3, 0, 5, "018", io.EOF},
		{"at the end", []Extent{{0, 2}}, 2, 2, 1, "", io.EOF},
		{"pieces end early", []Extent{{0, 2}}, 4, 0, 4, "01", io.ErrUnexpectedEOF},
		{"image ends early", []Extent{{14, 4}}, 4, 0, 4, "ef", io.ErrUnexpectedEOF},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := make([]byte, tt.length)
			n, err := NewReader(strings.NewReader(image), tt.pieces, tt.size).ReadAt(b, tt.offset)
			if string(b[:n]) != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("ReadAt(%d bytes, %d) = %q, %v, want %q, %v", tt.length, tt.offset, b[:n], err, tt.want, tt.err)
			}
		})
	}
}

func TestContiguous(t *testing.T) {
	tests := []struct {
		name   string
		pieces []Extent
		size   int64
		want   Extent
		ok     bool
	}{
		{"empty", nil, 0, Extent{}, true},
		{"pieces that follow each other", []Extent{{4, 4}, {8, 4}}, 7, Extent{4, 7}, true},
		{"a gap", []Extent{{4, 4}, {9, 4}}, 8, Extent{}, false},
		{"zeros", []Extent{{Zeros, 4}, {Zeros, 4}}, 8, Extent{}, false},
		{"too short", []Extent{{4, 4}}, 8, Extent{}, false},
	}
	for _, tt := range tests {
		if got, ok := NewReader(strings.NewReader(""), tt.pieces, tt.size).Contiguous(); got != tt.want || ok != tt.ok {
			t.Errorf("%s: Contiguous() = %v, %v, want %v, %v", tt.name, got, ok, tt.want, tt.ok)
		}
	}
}
