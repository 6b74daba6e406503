package iso

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/liveboot/liveboot/pkg/fstree/fstreetest"
	"github.com/liveboot/liveboot/pkg/iso/extent"
	"github.com/liveboot/liveboot/pkg/iso/isotest"
)

func TestFind(t *testing.T) {
	files := map[string]string{
		"LiveOS/squashfs.img":       strings.Repeat("container ", 700),
		"LiveOS/empty":              "",
		"boot/x86_64/loader/linux":  "kernel",
		"boot/x86_64/loader/initrd": "initrd",
	}
	for i := range 100 { // more records than a sector holds
		files[fmt.Sprintf("boot/many/file-with-a-long-name-%03d", i)] = fmt.Sprint(i)
	}
	data := isotest.Image("CDROM", files)
	image, err := Open(bytes.NewReader(data))
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	if image.VolumeID != "CDROM" || image.Size != int64(len(data)) {
		t.Errorf("Open = volume %q of %d bytes, want CDROM of %d", image.VolumeID, image.Size, len(data))
	}
	for path, want := range files {
		offset, size, err := image.Find(path)
		if err != nil {
			t.Errorf("Find(%s): %v", path, err)
			continue
		}
		if got := string(data[offset : offset+size]); got != want {
			t.Errorf("Find(%s) = %d bytes %.20q, want %d bytes %.20q", path, size, got, len(want), want)
		}
	}
	for _, path := range []string{"LiveOS/none", "none/x", "LiveOS/squashfs.img/x", "liveos/squashfs.img", ""} {
		if _, _, err := image.Find(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Find(%q) = %v, want %v", path, err, fs.ErrNotExist)
		}
	}
}

// record makes a plain directory record of the given flags.
func plainRecord(name string, block, size uint32, flags byte) []byte {
	r := make([]byte, 33, 64)
	r[2], r[3] = byte(block), byte(block>>8)
	r[10], r[11], r[12], r[13] = byte(size), byte(size>>8), byte(size>>16), byte(size>>24)
	r[25], r[32] = flags, byte(len(name))
	r = append(r, name...)
	if len(r)%2 == 1 {
		r = append(r, 0)
	}
	r[0] = byte(len(r))
	return r
}

func TestExtents(t *testing.T) {
	const more = flagMultiExtent
	for _, tt := range []struct {
		name    string
		records [][]byte
		want    extent.Extent
		wantErr string
	}{
		{"plain name with version, other case", [][]byte{plainRecord("SQUASHFS.IMG;1", 50, 10, 0)}, extent.Extent{Offset: 50 * 2048, Size: 10}, ""},
		{"plain name with a lone dot", [][]byte{plainRecord("SQUASHFS.IMG.;1", 50, 10, 0)}, extent.Extent{Offset: 50 * 2048, Size: 10}, ""},
		{"several extents", [][]byte{plainRecord("squashfs.img", 50, 4096, more), plainRecord("squashfs.img", 52, 2048, more), plainRecord("squashfs.img", 53, 7, 0)}, extent.Extent{Offset: 50 * 2048, Size: 4096 + 2048 + 7}, ""},
		{"several extents with a gap", [][]byte{plainRecord("squashfs.img", 50, 4096, more), plainRecord("squashfs.img", 60, 7, 0)}, extent.Extent{}, "do not follow"},
		{"last extent missing", [][]byte{plainRecord("squashfs.img", 50, 4096, more)}, extent.Extent{}, "missing"},
		{"interleaved", [][]byte{interleaved(plainRecord("squashfs.img", 50, 4096, 0))}, extent.Extent{}, "interleaved"},
		{"associated file first", [][]byte{plainRecord("squashfs.img", 90, 9, flagAssociated), plainRecord("squashfs.img", 50, 7, 0)}, extent.Extent{Offset: 50 * 2048, Size: 7}, ""},
		{"record too short", [][]byte{{20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}}, extent.Extent{}, "too short"},
		{"name beyond the record", [][]byte{append([]byte{34}, append(make([]byte, 31), 200, 0)...)}, extent.Extent{}, "too short"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			folder := bytes.Join(tt.records, nil)
			folder = append(folder, make([]byte, SectorSize-len(folder)%SectorSize)...)
			volume := make([]byte, 17*SectorSize)
			i := &Image{
				r:       bytes.NewReader(append(volume, folder...)),
				primary: record{mode: fs.ModeDir, pieces: []extent.Extent{{Offset: int64(len(volume)), Size: int64(len(folder))}}},
			}
			offset, size, err := i.Find("squashfs.img")
			if (extent.Extent{Offset: offset, Size: size}) != tt.want || (err == nil) != (tt.wantErr == "") || err != nil && !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("Find = %d, %d, %v, want %v, error %q", offset, size, err, tt.want, tt.wantErr)
			}
		})
	}
}

func interleaved(r []byte) []byte {
	r[26], r[27] = 2, 1
	return r
}

func TestOpenErrors(t *testing.T) {
	good := isotest.Image("X", nil)
	page := make([]byte, 64<<10)
	copy(page, "<html>Not here")
	for _, tt := range []struct {
		name string
		in   []byte
	}{{"empty", nil}, {"short", good[:17*2048-1]}, {"web page", page}} {
		if _, err := Open(bytes.NewReader(tt.in)); !errors.Is(err, ErrNotISO) {
			t.Errorf("Open(%s) = %v, want %v", tt.name, err, ErrNotISO)
		}
	}
}

// FuzzFind has a volume with Rock Ridge, and one with Joliet.
func FuzzFind(f *testing.F) {
	f.Add(isotest.Image("CDROM", map[string]string{"LiveOS/squashfs.img": "x"})[16*2048:], "LiveOS/squashfs.img")
	dir := f.TempDir()
	if err := errors.Join(os.WriteFile(filepath.Join(dir, strings.Repeat("long name ", 20)), []byte("a"), 0o644), os.Symlink("/x/../y", filepath.Join(dir, "l"))); err != nil {
		f.Fatal(err)
	}
	for _, kind := range []string{"-R", "-J"} {
		image := filepath.Join(f.TempDir(), "image")
		program(f, "genisoimage", "genisoimage", "-quiet", "-no-pad", kind, "-o", image, dir)
		b, err := os.ReadFile(image)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[16*2048:], "l")
	}
	f.Fuzz(func(t *testing.T, volume []byte, path string) {
		image, err := Open(bytes.NewReader(append(make([]byte, 16*2048), volume...)))
		if err != nil {
			return
		}
		if offset, size, err := image.Find(path); err == nil && (offset < 0 || size < 0) {
			t.Errorf("Find(%q) = %d, %d", path, offset, size)
		}
		if fsys, err := image.FS(); err == nil {
			fstreetest.Walk(fsys)
		}
	})
}
