package kernelmodules

import (
	"bytes"
	"compress/gzip"
	"strings"
	"testing"

	"github.com/liveboot/liveboot/pkg/kernelmodules/kernelmodulestest"
)

// TestTakenBound: the bound is that of all modules together, as they are when unpacked.
func TestTakenBound(t *testing.T) {
	folder := kernelmodulestest.Folder()
	x, err := ReadIndex(folder)
	if err != nil {
		t.Fatal(err)
	}
	var unpacked int64
	for _, name := range []string{"libphy", "r8169", "realtek"} {
		b, err := ReadModule(folder, x.Paths[name])
		if err != nil {
			t.Fatal(err)
		}
		unpacked += int64(len(b))
	}
	for _, tt := range []struct {
		name string
		most int64
		want string
	}{
		{"all fit", unpacked, ""},
		{"one byte too many", unpacked - 1, "take fewer"},
		{"the first one too large", 1, "take fewer"},
	} {
		s := &Set{Index: x, Why: map[string]string{"r8169": "asked for"}}
		s.Close()
		taken := &Taken{}
		err := taken.fill(t.Context(), folder, s, tt.most)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: fill(%d bytes of %d) = %v, want %q", tt.name, tt.most, unpacked, err, tt.want)
		}
	}
	// What is compressed is unpacked no further than to the bound.
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	folder[x.Paths["r8169"]].Data = packed.Bytes()
	if b, err := readModule(folder, x.Paths["r8169"], 1<<15); err == nil || len(b) > 1<<15+1 {
		t.Errorf("readModule(unpacks to 1 MiB, may have 32 KiB) = %d bytes, %v, want an error", len(b), err)
	}
}
