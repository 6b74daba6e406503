package blockdev

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestZeroRange(t *testing.T) {
	path := filepath.Join(t.TempDir(), "device")
	if err := os.WriteFile(path, bytes.Repeat([]byte{0xff}, 3<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if d.Size() != 3<<20 || d.SectorSize() != 512 {
		t.Errorf("Open() of a file: %d bytes in sectors of %d, want %d in 512", d.Size(), d.SectorSize(), 3<<20)
	}
	if err := d.ZeroRange(4096, 2<<20); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := bytes.Repeat([]byte{0xff}, 3<<20)
	clear(want[4096 : 4096+2<<20])
	if !bytes.Equal(got, want) {
		t.Errorf("ZeroRange(4096, 2 MiB) left something else than zeros there, or changed something else")
	}
}

func TestOpenErrors(t *testing.T) {
	if _, err := Open(filepath.Join(t.TempDir(), "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open(absent) = %v, want %v", err, fs.ErrNotExist)
	}
	if _, err := Open("/dev/null"); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Open(/dev/null) = %v, want %v", err, errors.ErrUnsupported)
	}
}
