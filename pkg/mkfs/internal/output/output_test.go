package output

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/liveboot/liveboot/pkg/mkfs/internal/sparse"
)

// unsupported is a device that has the method, but cannot do it.
type unsupported struct{ *sparse.Device }

func (unsupported) ZeroRange(_, _ int64) error { return fmt.Errorf("zero: %w", errors.ErrUnsupported) }

func TestZero(t *testing.T) {
	const size = 3 << 20
	tests := []struct {
		name string
		in   func(*sparse.Device) io.WriterAt
		want string
	}{
		{"with a method", func(d *sparse.Device) io.WriterAt { return d }, "zero sync"},
		{"that is not supported", func(d *sparse.Device) io.WriterAt { return unsupported{d} }, "write sync"},
		{"without", func(d *sparse.Device) io.WriterAt { return struct{ io.WriterAt }{d} }, "write"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := &sparse.Device{Size: size, Sector: 512, Garbage: []byte("garbage")}
			w := New(tt.in(d))
			w.Zero(512, size-1024)
			w.Zero(0, 0)
			w.Sync()
			if err := w.Err(); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(d.Events, " "); got != tt.want {
				t.Errorf("Zero and Sync did %q, want %q", got, tt.want)
			}
			if !d.Blank(512, size-1024) || d.Blank(0, 512) || d.Blank(size-512, 512) {
				t.Errorf("Zero(512, %d) did not zero that and only that", size-1024)
			}
		})
	}
}

// TestFirstError: after an error nothing is written any more.
func TestFirstError(t *testing.T) {
	steps := map[string]func(*Writer){
		"write": func(w *Writer) { w.Write(make([]byte, 512), 0) },
		"zero":  func(w *Writer) { w.Zero(0, 512) },
		"sync":  func(w *Writer) { w.Sync() },
	}
	for name, step := range steps {
		failure := errors.New("unplugged")
		d := &sparse.Device{Size: 4096, Sector: 512, FailAt: 1, Failure: failure}
		w := New(d)
		step(w)
		for _, next := range steps {
			next(w)
		}
		if err := w.Err(); !errors.Is(err, failure) || !strings.HasPrefix(err.Error(), name) || d.Calls != 1 {
			t.Errorf("%s: Err() = %v after %d calls, want %v after 1", name, err, d.Calls, failure)
		}
	}
}
