package ext4

import (
	"cmp"
	"fmt"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/liveboot/liveboot/pkg/mkfs/internal/layouttest"
)

// TestLayout has the structures' lengths in the kernel: of the types of the same names in ext4.h, ext4_extents.h and jbd2.h, the last up
// to the field used here.
func TestLayout(t *testing.T) {
	layouttest.Check(t, ".", map[any]int{
		superblock{}:        1024,
		descriptor{}:        64,
		inode{}:             256,
		extentHeader{}:      12,
		fileExtent{}:        12,
		fileIndex{}:         12,
		entryHeader{}:       8,
		folderTail{}:        12,
		journalSuperblock{}: 68,
	})
}

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
	tib = 1 << 40
)

// shape is the part of a layout that dumpe2fs tells.
type shape struct {
	Blocks, Groups, InodesPerGroup, Descriptors, Reserved, Journal uint64
}

// TestGeometry has what mkfs.ext4 1.47 makes.
func TestGeometry(t *testing.T) {
	tests := []struct {
		name      string
		in        int64
		blockSize int
		want      shape
	}{
		{"smallest", 8 * mib, 1024, shape{8192, 1, 2048, 1, 63, 1024}},
		{"100 MiB", 100 * mib, 1024, shape{102400, 13, 1968, 1, 256, 4096}},
		{"below 512 MiB", 511 * mib, 1024, shape{523264, 64, 2040, 4, 256, 8192}},
		{"512 MiB", 512 * mib, 4096, shape{131072, 4, 8192, 1, 63, 4096}},
		{"4 GiB", 4 * gib, 4096, shape{1048576, 32, 8192, 1, 511, 16384}},
		{"100 GiB", 100 * gib, 4096, shape{26214400, 800, 8192, 13, 1024, 131072}},
		{"1 TiB", tib, 4096, shape{268435456, 8192, 8192, 128, 1024, 262144}},
		{"below 16 TiB", 16383 * gib, 4096, shape{4294705152, 131064, 4096, 2048, 0, 262144}},
		{"a last group too short for its tables", gib + mib, 4096, shape{262144, 8, 8208, 1, 127, 8192}},
		{"a last group one block too short", 2*gib + 534*4*kib, 4096, shape{524288, 16, 8208, 1, 255, 16384}},
		{"a last group just long enough", 2*gib + 535*4*kib, 4096, shape{524823, 17, 7728, 1, 256, 16384}},
		{"not a whole block", 512*mib + 4095, 4096, shape{131072, 4, 8192, 1, 63, 4096}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLayout(tt.in, Options{BlockSize: tt.blockSize})
			got := shape{l.blocks, l.groups, l.inodesPerGroup, l.descriptors, l.reserved, l.journalLen()}
			if d := gocmp.Diff(tt.want, got); d != "" {
				t.Errorf("newLayout(%d): -want +got\n%s", tt.in, d)
			}
		})
	}
}

// claims are all runs that are taken, each once.
func (l *layout) claims() []extent {
	claims := append([]extent{l.root, l.lostFound}, l.journal...)
	for _, block := range []uint64{l.resizeMap, l.journalMap} {
		if block != 0 {
			claims = append(claims, extent{block, 1})
		}
	}
	for group := range l.groups {
		claims = append(claims, l.head(group))
		if group%flex == 0 {
			b := l.bundle(group)
			claims = append(claims, append(b.tables, b.blockBitmaps, b.inodeBitmaps)...)
		}
	}
	return slices.DeleteFunc(claims, func(e extent) bool { return e.count == 0 })
}

// TestNothingOverlaps looks at every run, and compares the number of free blocks with what they leave.
func TestNothingOverlaps(t *testing.T) {
	for _, blockSize := range []int{1024, 4096} {
		for _, size := range append(edges(), random(100)...) {
			if blockSize == 1024 && size > maxSmallBlocks || size > tib { // larger ones take long, and show nothing new
				continue
			}
			l := newLayout(size, Options{BlockSize: blockSize})
			claims := l.claims()
			slices.SortFunc(claims, func(a, b extent) int { return cmp.Compare(a.start, b.start) })
			next, taken := l.firstBlock, uint64(0)
			for _, c := range claims {
				if c.start < next {
					t.Fatalf("%d bytes in blocks of %d: blocks %d to %d are taken twice", size, blockSize, c.start, next)
				}
				next, taken = c.end(), taken+c.count
			}
			if next > l.blocks || l.blocks*l.blockSize > uint64(size) {
				t.Errorf("%d bytes in blocks of %d: block %d of %d is taken", size, blockSize, next-1, l.blocks)
			}
			free, journal := uint64(0), uint64(0)
			for group := range l.groups {
				free += l.bundle(group).free(group)
			}
			for _, e := range l.journal {
				journal += e.count
			}
			if want := l.blocks - l.firstBlock - taken; free != want || journal != l.journalLen() {
				t.Errorf("%d bytes in blocks of %d: %d blocks free, journal of %d, want %d, %d", size, blockSize, free, journal, want, l.journalLen())
			}
		}
	}
}

func TestHasCopy(t *testing.T) {
	var got []uint64
	for group := range uint64(400) {
		if hasCopy(group) {
			got = append(got, group)
		}
	}
	want := []uint64{0, 1, 3, 5, 7, 9, 25, 27, 49, 81, 125, 243, 343}
	if d := gocmp.Diff(want, got); d != "" {
		t.Errorf("hasCopy: -want +got\n%s", d)
	}
	if d := gocmp.Diff(want, (&layout{groups: 400}).copies()); d != "" {
		t.Errorf("copies: -want +got\n%s", d)
	}
}

// TestJournalOfManyPieces is one that does not fit into the inode.
func TestJournalOfManyPieces(t *testing.T) {
	small, large := newLayout(60*gib, Options{BlockSize: 4096}), newLayout(tib, Options{BlockSize: 4096})
	if len(small.journal) > inInode || small.journalMap != 0 {
		t.Errorf("60 GiB: journal %v, map %d, want it in the inode", small.journal, small.journalMap)
	}
	if len(large.journal) <= inInode || large.journalMap == 0 {
		t.Errorf("1 TiB: journal %v, map %d, want a map", large.journal, large.journalMap)
	}
	for _, e := range large.journal {
		if e.count > maxExtent {
			t.Errorf("1 TiB: an extent of %d blocks, want at most %d", e.count, maxExtent)
		}
	}
}

func TestSet(t *testing.T) {
	tests := []struct {
		first, count uint64
		want         string
	}{
		{0, 0, "000000"}, {0, 1, "010000"}, {7, 2, "800100"}, {0, 24, "ffffff"}, {4, 16, "f0ff0f"}, {8, 8, "00ff00"}, {23, 1, "000080"},
	}
	for _, tt := range tests {
		b := make([]byte, 3)
		set(b, tt.first, tt.count)
		if got := fmt.Sprintf("%x", b); got != tt.want {
			t.Errorf("set(%d, %d) = %s, want %s", tt.first, tt.count, got, tt.want)
		}
	}
}
