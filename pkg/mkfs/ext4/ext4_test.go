package ext4

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	reader "github.com/liveboot/liveboot/pkg/ext4"
	"github.com/liveboot/liveboot/pkg/mkfs/internal/sparse"
	"github.com/liveboot/liveboot/pkg/probe"
)

func someTime() time.Time { return time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC) }

// options are ones without anything random.
func options() Options {
	id := [16]byte([]byte("0123456789abcdef"))
	return Options{Label: "cow", UUID: id, HashSeed: id, Time: someTime()}
}

func device(size int64) *sparse.Device { return &sparse.Device{Size: size, Sector: 1024} }

// readSuperblock reads the one behind an offset, as the first one is behind the boot sector.
func readSuperblock(t testing.TB, d *sparse.Device, offset int64) superblock {
	t.Helper()
	var s superblock
	b := make([]byte, superblockSize)
	if _, err := d.ReadAt(b, offset+superblockAt); err != nil {
		t.Fatal(err)
	}
	if _, err := binary.Decode(b, binary.LittleEndian, &s); err != nil {
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
		{"too small", MinSize - 1, Options{}, "8388607 bytes: give 8388608 to 17592186044416"},
		{"too large", MaxSize + 1, Options{}, "17592186044417 bytes: give 8388608 to 17592186044416"},
		{"sectors", MinSize, Options{SectorSize: 2048}, "sectors of 2048 bytes: give 512 or 4096"},
		{"blocks", MinSize, Options{BlockSize: 2048}, "blocks of 2048 bytes on sectors of 512: give 1024 or 4096, and no less than a sector"},
		{"blocks smaller than sectors", MinSize, Options{BlockSize: 1024, SectorSize: 4096},
			"blocks of 1024 bytes on sectors of 4096: give 1024 or 4096, and no less than a sector"},
		{"too large for its blocks", 257 * gib, Options{BlockSize: 1024}, "275951648768 bytes with blocks of 1024: give blocks of 4096"},
		{"label too long", MinSize, Options{Label: "seventeen letters"}, `label "seventeen letters" has 17 bytes: give at most 16`},
		{"zero in label", MinSize, Options{Label: "a\x00b"}, `label "a\x00b": leave out the zero byte`},
		{"reserve", MinSize, Options{Reserve: 51}, "51 percent reserved: give up to 50"},
		{"negative reserve", MinSize, Options{Reserve: -2}, "-2 percent reserved: give up to 50"},
		{"too early", MinSize, Options{Time: time.Unix(-1<<31-1, 0).UTC()}, "time 1901-12-13 20:45:51 +0000 UTC: give one from 1901 to 2446"},
		{"too late", MinSize, Options{Time: time.Unix(1<<34-1<<31, 0).UTC()}, "time 2446-05-10 22:38:56 +0000 UTC: give one from 1901 to 2446"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := device(tt.size)
			err := Format(d, tt.size, tt.in)
			if want := "make ext4: not possible for ext4: " + tt.want; !errors.Is(err, ErrOptions) || err.Error() != want {
				t.Errorf("Format() = %v, want %s", err, want)
			}
			if d.Calls > 0 {
				t.Errorf("Format() wrote: %v, want nothing", d.Events)
			}
		})
	}
}

func TestReserve(t *testing.T) {
	tests := []struct {
		name string
		in   int
		want uint32
	}{
		{"default", 0, 409},
		{"none", NoReserve, 0},
		{"half", 50, 4096},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := device(MinSize)
			if err := Format(d, MinSize, Options{Reserve: tt.in}); err != nil {
				t.Fatal(err)
			}
			if got := readSuperblock(t, d, 0).ReservedLow; got != tt.want {
				t.Errorf("%d blocks reserved, want %d", got, tt.want)
			}
		})
	}
}

func TestExtraTime(t *testing.T) {
	tests := []struct {
		name string
		in   int64
		want uint32
	}{
		{"first", -1 << 31, 0},
		{"last of 32 bits", math.MaxInt32, 0},
		{"first of 33 bits", 1 << 31, 1},
		{"last", lastTime, 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := extraTime(time.Unix(tt.in, 0)); got != tt.want {
				t.Errorf("extraTime(%d) = %d, want %d", tt.in, got, tt.want)
			}
		})
	}
}

func TestRandomIDs(t *testing.T) {
	seen := make(map[[16]byte]bool)
	for range 2 {
		d := device(MinSize)
		if err := Format(d, MinSize, Options{}); err != nil {
			t.Fatal(err)
		}
		s := readSuperblock(t, d, 0)
		for _, id := range [][16]byte{s.UUID, s.HashSeed} {
			if id[6]>>4 != 4 || id[8]>>6 != 2 || seen[id] {
				t.Errorf("uuid %x, want one of version 4 that was not there before", id)
			}
			seen[id] = true
		}
	}
}

func TestSameInputSameBytes(t *testing.T) {
	a, b := device(MinSize), device(MinSize)
	if err := errors.Join(Format(a, MinSize, options()), Format(b, MinSize, options())); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(a.Written(), b.Written()); d != "" {
		t.Errorf("the same options, different bytes: %s", d)
	}
}

// TestGarbage: what is written does not depend on what stood there, and nothing of it is left in the journal.
func TestGarbage(t *testing.T) {
	for _, size := range []int64{MinSize, gib} {
		clean, dirty := device(size), device(size)
		dirty.Garbage = []byte("garbage")
		if err := errors.Join(Format(clean, size, options()), Format(dirty, size, options())); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(clean.Written(), dirty.Written()); d != "" {
			t.Errorf("%d bytes: garbage makes a difference: %s", size, d)
		}
		o := options()
		if err := o.complete(size); err != nil {
			t.Fatal(err)
		}
		l := newLayout(size, o)
		for n, e := range l.journal {
			if n == 0 { // its superblock
				e = extent{e.start + 1, e.count - 1}
			}
			if !dirty.Blank(int64(e.start*l.blockSize), int64(e.count*l.blockSize)) {
				t.Errorf("%d bytes: garbage is left in the journal", size)
			}
		}
		if !dirty.Blank(0, superblockAt) {
			t.Errorf("%d bytes: garbage is left in front of the superblock", size)
		}
	}
}

// TestInterrupted lets every call fail once, on a device that holds an older file system.
func TestInterrupted(t *testing.T) {
	const size = 20 * mib
	good := device(size)
	if err := Format(good, size, Options{}); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(good.Events, " "), "zero sync write zero write sync write sync"; got != want {
		t.Errorf("Format() did %q, want %q", got, want)
	}
	failure := errors.New("unplugged")
	for n := 2; n < good.Calls; n++ {
		d := device(size)
		if err := Format(d, size, Options{}); err != nil {
			t.Fatal(err)
		}
		d.FailAt, d.Failure = d.Calls+n, failure
		if err := Format(d, size, Options{}); !errors.Is(err, failure) || d.Calls != d.FailAt {
			t.Errorf("Format() = %v after %d calls, want %v after %d", err, d.Calls, failure, d.FailAt)
		}
		if name, err := probe.FileSystem(d); err == nil {
			t.Errorf("interrupted at call %d of %d, a probe finds %s, want nothing", n, good.Calls, name)
		}
	}
}

// TestWithoutHelp writes zeros to what can only be written to.
func TestWithoutHelp(t *testing.T) {
	const size = 20 * mib
	d, plain := device(size), device(size)
	d.Garbage, plain.Garbage = []byte("garbage"), []byte("garbage")
	if err := errors.Join(Format(d, size, options()), Format(writerAt{plain}, size, options())); err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(plain.Events, func(e string) bool { return e != "write" }) {
		t.Errorf("Format() did %v, want writes only", plain.Events)
	}
	if d := cmp.Diff(d.Written(), plain.Written()); d != "" {
		t.Errorf("without ZeroRange: %s", d)
	}
}

// writerAt hides the other methods.
type writerAt struct{ d *sparse.Device }

func (w writerAt) WriteAt(b []byte, offset int64) (int, error) { return w.d.WriteAt(b, offset) }

// TestCopies: the superblocks of the other groups say where they are, and that they are not the one in use.
func TestCopies(t *testing.T) {
	const size = 20 * gib
	d := device(size)
	if err := Format(d, size, Options{}); err != nil {
		t.Fatal(err)
	}
	first := readSuperblock(t, d, 0)
	for _, group := range []int64{1, 3, 5, 7, 9, 25, 27, 49, 81, 125} {
		got, want := readSuperblock(t, d, group*128*mib-superblockAt), first
		want.Group, want.State, want.Checksum = uint16(group), 0, got.Checksum
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("superblock of group %d: -want +got\n%s", group, d)
		}
	}
}

// TestLazy: little is written, in pieces that do not grow with the device, and so not much memory is needed.
func TestLazy(t *testing.T) {
	for size, most := range map[int64]int64{tib: 20 * mib, 4 * tib: 64 * mib} {
		d := device(size)
		if err := Format(d, size, Options{}); err != nil {
			t.Fatal(err)
		}
		if d.Longest > descriptorBytes || d.Total > most {
			t.Errorf("%d bytes: %d were written, %d in the longest piece, want at most %d and %d", size, d.Total, d.Longest, most, descriptorBytes)
		}
	}
}

// checkReadBack reads with our own reader and our own probe.
func checkReadBack(t *testing.T, d *sparse.Device, label string) {
	t.Helper()
	if name, err := probe.FileSystem(d); name != "ext4" || err != nil {
		t.Errorf("probe.FileSystem() = %q, %v, want ext4", name, err)
	}
	if got := strings.TrimRight(string(labelOf(t, d)), "\x00"); got != label {
		t.Errorf("label %q, want %q", got, label)
	}
	fsys, err := reader.Open(d)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil || len(entries) != 1 || entries[0].Name() != "lost+found" || !entries[0].IsDir() {
		t.Errorf("ReadDir(.) = %v, %v, want lost+found", entries, err)
	}
	if entries, err = fs.ReadDir(fsys, "lost+found"); err != nil || len(entries) != 0 {
		t.Errorf("ReadDir(lost+found) = %v, %v, want nothing", entries, err)
	}
}

func labelOf(t *testing.T, d *sparse.Device) []byte {
	label := readSuperblock(t, d, 0).Label
	return label[:]
}

// FuzzFormat: either the options are refused, or what is written reads back as what was asked for.
func FuzzFormat(f *testing.F) {
	f.Add(int64(MinSize), 512, 0, 0, "cow")
	f.Add(int64(3*tib+5*mib), 4096, 4096, NoReserve, "")
	f.Add(int64(-1), 0, 0, 0, "a label that is too long")
	f.Add(int64(128*mib), 0, 1024, 50, "\x00")
	f.Fuzz(func(t *testing.T, size int64, sectorSize, blockSize, reserve int, label string) {
		size %= 5 * tib // more groups take longer, and show nothing new
		d := device(size)
		err := Format(d, size, Options{SectorSize: sectorSize, BlockSize: blockSize, Reserve: reserve, Label: label})
		if errors.Is(err, ErrOptions) && d.Calls == 0 {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		checkReadBack(t, d, label)
	})
}

// BenchmarkFormat is the work for 1 TiB on a device that zeroes by itself.
func BenchmarkFormat(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if err := Format(nowhere{}, tib, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

// nowhere is a device that takes no time.
type nowhere struct{}

func (nowhere) WriteAt(b []byte, _ int64) (int, error) { return len(b), nil }
func (nowhere) ZeroRange(_, _ int64) error             { return nil }
