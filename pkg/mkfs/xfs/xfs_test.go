package xfs

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/liveboot/liveboot/pkg/mkfs/internal/sparse"
	"github.com/liveboot/liveboot/pkg/probe"
)

func someTime() time.Time { return time.Date(2026, 11, 22, 10, 0, 0, 5, time.UTC) }

func someUUID() [16]byte { return [16]byte([]byte("0123456789abcdef")) }

func device(size int64) *sparse.Device { return &sparse.Device{Size: size, Sector: blockSize} }

// decode reads a structure back.
func decode[T any](t testing.TB, d *sparse.Device, offset int64) T {
	t.Helper()
	var s T
	b := make([]byte, binary.Size(s))
	if _, err := d.ReadAt(b, offset); err != nil {
		t.Fatal(err)
	}
	if _, err := binary.Decode(b, bigEndian, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestFormatErrors(t *testing.T) {
	tests := []struct {
		name string
		size int64
		in   Options
		want string
	}{
		{"too small", MinSize - 1, Options{}, "make xfs: not possible for xfs: 314572799 bytes: give 314572800 to 1125899906842624"},
		{"sectors", MinSize, Options{SectorSize: 2048}, "make xfs: not possible for xfs: sectors of 2048 bytes: give 512 or 4096"},
		{"label too long", MinSize, Options{Label: "thirteenbytes"},
			`make xfs: not possible for xfs: label "thirteenbytes" has 13 bytes: give at most 12`},
		{"zero in label", MinSize, Options{Label: "a\x00b"}, `make xfs: not possible for xfs: label "a\x00b": leave out the zero byte`},
		{"too early", MinSize, Options{Time: time.Unix(-1<<31-1, 0).UTC()},
			"make xfs: not possible for xfs: time 1901-12-13 20:45:51 +0000 UTC: give one from 1901 to 2486"},
		{"too late", MinSize, Options{Time: time.Unix(16299260425, 0).UTC()},
			"make xfs: not possible for xfs: time 2486-07-02 20:20:25 +0000 UTC: give one from 1901 to 2486"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := device(tt.size)
			err := Format(d, tt.size, tt.in)
			if !errors.Is(err, ErrOptions) || err.Error() != tt.want {
				t.Errorf("Format() = %v, want %s", err, tt.want)
			}
			if d.Calls > 0 {
				t.Errorf("Format() wrote: %v, want nothing", d.Events)
			}
		})
	}
}

func TestBigtime(t *testing.T) {
	tests := []struct {
		name string
		in   time.Time
		want uint64
	}{
		{"first", time.Unix(-1<<31, 0), 0},
		{"1970", time.Unix(0, 0), 0x1dcd650000000000},
		{"last", time.Unix(16299260424, 999_999_999), 18446744072999999999},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := bigtime(tt.in); got != tt.want || err != nil {
				t.Errorf("bigtime(%v) = %#x, %v, want %#x", tt.in, got, err, tt.want)
			}
		})
	}
}

func TestRandomUUID(t *testing.T) {
	var seen [][16]byte
	for range 2 {
		d := device(MinSize)
		if err := Format(d, MinSize, Options{}); err != nil {
			t.Fatal(err)
		}
		uuid := decode[superblock](t, d, 0).UUID
		if uuid[6]>>4 != 4 || uuid[8]>>6 != 2 {
			t.Errorf("uuid %x, want one of version 4", uuid)
		}
		seen = append(seen, uuid)
	}
	if seen[0] == seen[1] {
		t.Errorf("two file systems with the uuid %x, want different ones", seen[0])
	}
}

func TestSameInputSameBytes(t *testing.T) {
	o := Options{Label: "cow", UUID: someUUID(), Time: someTime()}
	a, b := device(MinSize), device(MinSize)
	if err := errors.Join(Format(a, MinSize, o), Format(b, MinSize, o)); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(a.Written(), b.Written()); d != "" {
		t.Errorf("the same options, different bytes: %s", d)
	}
}

// TestGarbage: everything that is not free space is written, whatever stood there.
func TestGarbage(t *testing.T) {
	for _, sectorSize := range []int{512, 4096} {
		const size = 400 * mib
		o := Options{UUID: someUUID(), Time: someTime(), SectorSize: sectorSize}
		clean, dirty := device(size), device(size)
		dirty.Garbage = []byte("garbage")
		if err := errors.Join(Format(clean, size, o), Format(dirty, size, o)); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(clean.Written(), dirty.Written()); d != "" {
			t.Errorf("sectors of %d bytes: garbage makes a difference: %s", sectorSize, d)
		}
		g, err := newGeometry(size, sectorSize)
		if err != nil {
			t.Fatal(err)
		}
		behind := g.offset(g.logGroup, g.logStart()+1)
		if length := int64(g.logBlocks-1) << blockLog; !dirty.Blank(behind, length) {
			t.Errorf("sectors of %d bytes: garbage is left in the log", sectorSize)
		}
	}
}

// TestInterrupted lets every call fail once.
func TestInterrupted(t *testing.T) {
	old := device(MinSize)
	if err := Format(old, MinSize, Options{UUID: someUUID()}); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(old.Events, " "), "zero sync write zero write sync write sync"; got != want {
		t.Errorf("Format() did %q, want %q", got, want)
	}
	failure := errors.New("unplugged")
	for n := 1; n <= old.Calls; n++ {
		d := device(MinSize)
		d.FailAt, d.Failure = n, failure
		if err := Format(d, MinSize, Options{}); !errors.Is(err, failure) || d.Calls != n {
			t.Errorf("Format() = %v after %d calls, want %v after %d", err, d.Calls, failure, n)
		}
		if name, err := probe.FileSystem(d); err == nil && n != old.Calls {
			t.Errorf("interrupted at call %d, a probe finds %s, want nothing", n, name)
		}
	}
}

// TestReplaces: an interruption leaves nothing of an older file system to be mistaken.
func TestReplaces(t *testing.T) {
	d := device(MinSize)
	if err := Format(d, MinSize, Options{}); err != nil {
		t.Fatal(err)
	}
	d.Calls, d.FailAt, d.Failure = 0, 3, errors.New("unplugged")
	if err := Format(d, MinSize, Options{}); err == nil {
		t.Fatal("Format() = nil, want an error")
	}
	if name, err := probe.FileSystem(d); err == nil {
		t.Errorf("a probe finds %s, want nothing", name)
	}
}

// TestWithoutHelp writes zeros to what can only be written to.
func TestWithoutHelp(t *testing.T) {
	d, plain := device(MinSize), device(MinSize)
	d.Garbage, plain.Garbage = []byte("garbage"), []byte("garbage")
	o := Options{UUID: someUUID(), Time: someTime()}
	if err := errors.Join(Format(d, MinSize, o), Format(writerAt{plain}, MinSize, o)); err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(plain.Events, func(e string) bool { return e != "write" }) {
		t.Errorf("Format() did %v, want writes only", plain.Events)
	}
	if d := cmp.Diff(d.Written(), plain.Written()); d != "" {
		t.Errorf("without ZeroRange: %s", d)
	}
	if plain.Longest > mib {
		t.Errorf("a write of %d bytes, want at most 1 MiB", plain.Longest)
	}
}

// TestLittleIsWritten, in pieces that do not grow with the device, and so not much memory is needed.
func TestLittleIsWritten(t *testing.T) {
	for size, most := range map[int64]int64{tib: mib, 16 * tib: mib} {
		d := device(size)
		if err := Format(d, size, Options{}); err != nil {
			t.Fatal(err)
		}
		if d.Longest > mib/4 || d.Total > most {
			t.Errorf("%d bytes: %d were written, %d in the longest piece, want at most %d and %d", size, d.Total, d.Longest, most, mib/4)
		}
	}
}

// writerAt hides the other methods.
type writerAt struct{ d *sparse.Device }

func (w writerAt) WriteAt(b []byte, offset int64) (int, error) { return w.d.WriteAt(b, offset) }

// FuzzFormat: either the options are refused, or what is written reads back as what was asked for.
func FuzzFormat(f *testing.F) {
	f.Add(int64(MinSize), 512, "cow")
	f.Add(int64(16*tib), 4096, "")
	f.Add(int64(-1), 0, "a label that is too long")
	f.Add(int64(4*tib+16*mib), 0, "\x00")
	f.Fuzz(func(t *testing.T, size int64, sectorSize int, label string) {
		if size > 64*tib {
			size %= 64 * tib // more groups take longer, and show nothing new
		}
		d := device(size)
		err := Format(d, size, Options{SectorSize: sectorSize, Label: label})
		if errors.Is(err, ErrOptions) && d.Calls == 0 {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if name, err := probe.FileSystem(d); name != "xfs" || err != nil {
			t.Errorf("probe.FileSystem() = %q, %v, want xfs", name, err)
		}
		checkSuperblock(t, d, size, label)
	})
}

// checkSuperblock compares the superblock, and the groups' own counts with its.
func checkSuperblock(t *testing.T, d *sparse.Device, size int64, label string) {
	t.Helper()
	s := decode[superblock](t, d, 0)
	if got := strings.TrimRight(string(s.Label[:]), "\x00"); got != label {
		t.Errorf("label %q, want %q", got, label)
	}
	lost := size - int64(s.Blocks)*blockSize
	if lost < 0 || lost >= 16*mib {
		t.Errorf("%d blocks on %d bytes, want less than 16 MiB left unused", s.Blocks, size)
	}
	var blocks, free, inodes uint64
	for group := range s.Groups {
		at := int64(group) * int64(s.GroupBlocks) * blockSize
		if got := decode[superblock](t, d, at); got != s {
			t.Errorf("superblock of group %d: %s", group, cmp.Diff(s, got))
		}
		space := decode[freeSpace](t, d, at+int64(s.SectorSize))
		blocks += uint64(space.Length)
		free += uint64(space.FreeBlocks) + uint64(space.Spares)
		inodes += uint64(decode[inodeIndex](t, d, at+2*int64(s.SectorSize)).Inodes)
	}
	if blocks != s.Blocks || free != s.FreeBlocks || inodes != s.Inodes {
		t.Errorf("groups have %d blocks, %d free, %d inodes; superblock says %d, %d, %d", blocks, free, inodes, s.Blocks, s.FreeBlocks, s.Inodes)
	}
}

// BenchmarkFormat is the work for 1 TiB on a device that zeroes by itself.
func BenchmarkFormat(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if err := Format(device(tib), tib, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
