package probe

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFileSystem(t *testing.T) {
	var names []string
	for _, f := range formats() {
		if !f.live {
			continue
		}
		names = append(names, f.name)
		m := make(image, 128<<10).put(int(f.magics[0].offset), f.magics[0].text)
		if got, err := FileSystem(bytes.NewReader(m)); got != f.name || err != nil {
			t.Errorf("FileSystem(%s) = %q, %v", f.name, got, err)
		}
	}
	if diff := cmp.Diff([]string{"squashfs", "erofs", "ext4", "xfs", "btrfs", "iso9660"}, names); diff != "" {
		t.Errorf("FileSystem() knows other file systems (-want +got):\n%s", diff)
	}
	for _, tt := range []struct {
		name string
		in   []byte
	}{{"empty", nil}, {"short", []byte("hsq")}, {"zeros", make([]byte, 128<<10)}, {"swap", make(image, 128<<10).put(4086, "SWAPSPACE2")}} {
		if got, err := FileSystem(bytes.NewReader(tt.in)); !errors.Is(err, ErrUnknown) {
			t.Errorf("FileSystem(%s) = %q, %v, want %v", tt.name, got, err, ErrUnknown)
		}
	}
}

// TestMagics: whatever has a signature that is long enough not to be chance is found, whole or not.
func TestMagics(t *testing.T) {
	short := map[string]bool{"ext4": true, "hfs": true, "nilfs2": true, "CoreStorage": true, "Sun disk label": true}
	for _, f := range append(formats(), otherTables()...) {
		for _, g := range f.magics {
			m := make(image, 4*mib).put(int(g.offset), g.text)
			got, err := Identify(bytes.NewReader(m), int64(len(m)), 512)
			want := 1
			if short[f.name] || strings.HasSuffix(g.text, "MSWIN4.1") { // which FAT32 has too
				want = 0
			}
			if err != nil || len(got) != want {
				t.Errorf("Identify(%q at %d) = %v, %v, want %d of %s", g.text, g.offset, got, err, want, f.name)
			}
		}
	}
}

// A device counts what is read of it, and fails where it is broken.
type device struct {
	io.ReaderAt
	reads  int
	broken int64 // no read reaches this byte; 0 for none
}

var errBroken = errors.New("medium error")

func (d *device) ReadAt(b []byte, offset int64) (int, error) {
	d.reads++
	if d.broken > 0 && offset+int64(len(b)) > d.broken {
		n, _ := d.ReaderAt.ReadAt(b[:max(0, d.broken-offset)], offset)
		return n, errBroken
	}
	return d.ReaderAt.ReadAt(b, offset)
}

func TestReads(t *testing.T) {
	const size = 8 * mib
	blank := bytes.NewReader(make([]byte, size))
	d := &device{ReaderAt: blank}
	if got, err := Identify(d, size, 512); got != nil || err != nil {
		t.Errorf("Identify(blank) = %v, %v, want nothing", got, err)
	}
	if d.reads > 4 {
		t.Errorf("Identify(blank) reads %d times, want 4 at the most: the head, the tail, and the places at 2 and 4 MiB", d.reads)
	}
	for _, broken := range []int64{1, 600 << 10, 4*mib + 100, size - 512} {
		got, err := Identify(&device{ReaderAt: blank, broken: broken}, size, 512)
		if got != nil || !errors.Is(err, errBroken) {
			t.Errorf("Identify(broken at %d) = %v, %v, want %v", broken, got, err, errBroken)
		}
	}
	if _, err := Identify(&device{ReaderAt: blank, broken: 600 << 10}, size, 512); err == nil || !strings.Contains(err.Error(), "at byte 614400:") {
		t.Errorf("Identify(broken) = %v, want the place", err)
	}
	for _, length := range []int{0, 1, 511, 512, 70 << 10, 2 * mib} {
		short := make(image, length)
		if length > 4096 {
			short.put(0, "XFSB")
		}
		got, err := Identify(bytes.NewReader(short), size, 512)
		if found := got != nil; err != nil || found != (length > 4096) {
			t.Errorf("Identify(%d bytes) = %v, %v", length, got, err)
		}
	}
	for _, sectorSize := range []int{0, -512, 100, 1000} {
		if _, err := Identify(blank, size, sectorSize); err == nil {
			t.Errorf("Identify(sectors of %d bytes) = nil, want an error", sectorSize)
		}
	}
}

func TestString(t *testing.T) {
	for _, tt := range []struct {
		in   Content
		want string
	}{
		{Content{Name: "xfs"}, "xfs"},
		{Content{Name: "ext4", Label: "data"}, `ext4 "data"`},
		{Content{Name: "vfat", Label: "a\x1b[2J"}, `vfat "a\x1b[2J"`},
		{Content{Name: "MBR", State: Empty}, "MBR without partitions"},
		{Content{Name: "GPT", State: BackupOnly}, "GPT (only its backup is valid)"},
		{Content{Name: "GPT", State: OtherSector}, "GPT (for sectors of another size)"},
		{Content{Name: "btrfs", Label: "pool", State: Damaged}, `btrfs "pool" (damaged)`},
	} {
		if got := tt.in.String(); got != tt.want {
			t.Errorf("%#v.String() = %s, want %s", tt.in, got, tt.want)
		}
	}
	if got, want := KindSwap.String()+", "+Kind(9).String(), "swap area, kind 9"; got != want {
		t.Errorf("Kind.String() = %s, want %s", got, want)
	}
}

// FuzzIdentify puts bytes at the head and at the tail of a disk: whatever they are, the answer comes, and is sorted and in the disk.
func FuzzIdentify(f *testing.F) {
	for _, format := range append(formats(), otherTables()...) {
		for _, m := range format.magics {
			if m.offset < 70<<10 {
				f.Add([]byte(make(image, m.offset+512).put(int(m.offset), m.text)), []byte(nil), false)
			}
		}
	}
	member, pool := make(image, 8192), make(image, 256<<10)
	md(member, 4096)
	zfs(pool, 0, "name", "tank", "pool_guid", uint64(5))
	f.Add([]byte(member), []byte(nil), true)
	f.Add([]byte(pool[:17<<10]), []byte(nil), false)
	f.Fuzz(func(t *testing.T, head, tail []byte, large bool) {
		const size = 320 << 10
		m := make(image, size)
		copy(m, head)
		copy(m[size-min(size, len(tail)):], tail) // which wins
		sectorSize := 512
		if large {
			sectorSize = 4096
		}
		got, err := Identify(bytes.NewReader(m), size, sectorSize)
		if err != nil {
			t.Fatalf("Identify() = %v", err)
		}
		for i, c := range got {
			if c.Name == "" || c.Offset < 0 || c.Offset >= size || i > 0 && got[i-1].State >= BackupOnly && c.State < BackupOnly {
				t.Errorf("Identify() = %+v", got)
			}
		}
	})
}
