package mkfs

import (
	"errors"
	"fmt"
	"testing"

	"github.com/liveboot/liveboot/pkg/mkfs/internal/sparse"
)

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
	tib = 1 << 40
)

// place is where a format has its signature, on a device of size bytes. The places are those of libblkid, the programs' own headers, or
// the specification.
type place struct {
	format string
	at     func(size int64) int64
}

func fixed(offset int64) func(int64) int64 { return func(int64) int64 { return offset } }

// fromEnd is so many bytes before the end.
func fromEnd(n int64) func(int64) int64 { return func(size int64) int64 { return size - n } }

func places() []place {
	return []place{
		{"MBR", fixed(510)},
		{"GPT", fixed(512)},
		{"GPT, sectors of 4096", fixed(4096)},
		{"GPT backup", fromEnd(512)},
		{"GPT backup entries", fromEnd(33 * 512)},
		{"GPT backup entries, sectors of 4096", fromEnd(5 * 4096)},
		{"Apple partition map", fixed(512)},
		{"ISO 9660", fixed(32*kib + 1)},
		{"UDF", fixed(38 * kib)},
		{"ext4", fixed(1024 + 56)},
		{"xfs", fixed(0)},
		{"btrfs", fixed(64*kib + 64)},
		{"btrfs, first copy", fixed(64*mib + 64)},
		{"btrfs, second copy", fixed(256*gib + 64)},
		{"bcachefs", fixed(4096 + 24)},
		{"f2fs", fixed(1024)},
		{"f2fs copy", fixed(4096 + 1024)},
		{"JFS", fixed(32 * kib)},
		{"reiserfs", fixed(64*kib + 52)},
		{"ocfs2", fixed(4096)},
		{"GFS2", fixed(64 * kib)},
		{"nilfs2", fixed(1024 + 6)},
		{"nilfs2 copy", func(size int64) int64 { return size/4096*4096 - 4096 + 6 }},
		{"UFS", fixed(256*kib + 1372)},
		{"VMFS volume", fixed(2*mib + 512)},
		{"VMFS member", fixed(1 * mib)},
		{"swap", fixed(4096 - 10)},
		{"swap, pages of 64 KiB", fixed(64*kib - 10)},
		{"LVM", fixed(512 + 24)},
		{"LUKS", fixed(0)},
		{"LUKS2, second header", fixed(4 * mib)},
		{"BitLocker", fixed(3)},
		{"md 0.90", func(size int64) int64 { return size/(64*kib)*(64*kib) - 64*kib }},
		{"md 1.0", func(size int64) int64 { return size/4096*4096 - 8192 }},
		{"md 1.1", fixed(0)},
		{"md 1.2", fixed(4096)},
		{"Intel RAID", fromEnd(1024)},
		{"DDF", fromEnd(512)},
		{"DDF, VIA", fromEnd(257 * 512)},
		{"Promise RAID", fromEnd(3087 * 512)},
		{"Highpoint RAID", fixed(9 * 512)},
		{"DRBD", fromEnd(4096)},
		{"bcache", fixed(4096 + 24)},
		{"ZFS, first uberblock", fixed(128 * kib)},
		{"ZFS, second label", fixed(384 * kib)},
		{"ZFS, third label", func(size int64) int64 { return size/(256*kib)*(256*kib) - 512*kib + 128*kib }},
		{"ZFS, fourth label", func(size int64) int64 { return size/(256*kib)*(256*kib) - 128*kib }},
	}
}

// TestWipeSignatures: nothing is left at any of the places, on devices of any size.
func TestWipeSignatures(t *testing.T) {
	for _, size := range []int64{
		0, 512, 5 * mib, 12 * mib, 12*mib + 512, 64 * mib, 64*mib + 512, 70 * mib, 500*mib + 1536, 256*gib + kib, 260 * gib, 16 * tib,
	} {
		d := &sparse.Device{Size: size, Sector: 512, Garbage: []byte("garbage")}
		if err := WipeSignatures(d, size); err != nil {
			t.Fatal(err)
		}
		for _, p := range places() {
			if at := p.at(size); at >= 0 && at < size && !d.Blank(at, min(size-at, 64)) {
				t.Errorf("%d bytes: %s is left at %d", size, p.format, at)
			}
		}
		if size > tib && d.Blank(tib, 512) {
			t.Errorf("%d bytes: what is not a signature was wiped too", size)
		}
	}
}

func TestWipeSignaturesErrors(t *testing.T) {
	failure := errors.New("unplugged")
	for n := 1; n <= 4; n++ {
		d := &sparse.Device{Size: gib, Sector: 512, FailAt: n, Failure: failure}
		if err := WipeSignatures(d, gib); !errors.Is(err, failure) {
			t.Errorf("WipeSignatures() = %v, want %v from call %d", err, failure, n)
		}
	}
	want := "wipe signatures: a device of -1 bytes: give its size"
	if err := WipeSignatures(&sparse.Device{Sector: 512}, -1); fmt.Sprint(err) != want {
		t.Errorf("WipeSignatures(-1) = %v, want %s", err, want)
	}
}
