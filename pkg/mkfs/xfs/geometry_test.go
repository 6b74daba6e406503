package xfs

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	mib = 1 << 20
	gib = 1 << 30
	tib = 1 << 40
)

// shape is the part of a geometry that mkfs.xfs -N tells.
type shape struct {
	Blocks    uint64
	Groups    uint32
	GroupLen  uint32
	LogBlocks uint32
	MaxInodes uint8
}

// TestGeometry has what mkfs.xfs 6.1 -N says.
func TestGeometry(t *testing.T) {
	tests := []struct {
		name string
		in   int64
		want shape
	}{
		{"smallest", 300 * mib, shape{76800, 4, 19200, 16384, 25}},
		{"one block more", 300*mib + 4096, shape{76801, 4, 19201, 16384, 25}},
		{"not a whole block", 300*mib + 4095, shape{76800, 4, 19200, 16384, 25}},
		{"500 MiB", 500 * mib, shape{128000, 4, 32000, 16384, 25}},
		{"128 GiB, where the log begins to grow", 128 * gib, shape{33554432, 4, 8388608, 16384, 25}},
		{"128 GiB and 8 MiB", 128*gib + 8*mib, shape{33556480, 4, 8389120, 16385, 25}},
		{"a block below 1 TiB", tib - 4096, shape{268435455, 4, 67108864, 131071, 25}},
		{"1 TiB", tib, shape{268435456, 4, 67108864, 131072, 5}},
		{"3 TiB", 3 * tib, shape{805306368, 4, 201326592, 393216, 5}},
		{"a block below 4 TiB", 4*tib - 4096, shape{1073741820, 4, 268435455, 521728, 5}},
		{"4 TiB, whose rest is too small for a group", 4 * tib, shape{1073741820, 4, 268435455, 521728, 5}},
		{"a rest of one block less than a group needs", 4*tib - 4*4096 + 16*mib - 4096, shape{1073741820, 4, 268435455, 521728, 5}},
		{"a rest that makes a group", 4*tib - 4*4096 + 16*mib, shape{1073741820 + 4096, 5, 268435455, 521728, 5}},
		{"5 TiB", 5 * tib, shape{1342177275, 5, 268435455, 521728, 5}},
		{"16 TiB", 16 * tib, shape{4294967280, 16, 268435455, 521728, 5}},
		{"50 TiB", 50 * tib, shape{13421772750, 50, 268435455, 521728, 5}},
		{"51 TiB", 51 * tib, shape{13690208205, 51, 268435455, 521728, 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g, err := newGeometry(tt.in, 512)
			if err != nil {
				t.Fatal(err)
			}
			got := shape{g.blocks, g.groups, g.groupLen, g.logBlocks, g.maxInodes()}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("newGeometry(%d): -want +got\n%s", tt.in, d)
			}
		})
	}
}

func TestGeometryErrors(t *testing.T) {
	for _, size := range []int64{-1, 0, MinSize - 1, MaxSize + 1, 1<<63 - 1} {
		if _, err := newGeometry(size, 512); !errors.Is(err, ErrOptions) {
			t.Errorf("newGeometry(%d) = %v, want %v", size, err, ErrOptions)
		}
	}
}

// claim is an extent of a group and what it is for.
type claim struct {
	extent
	what string
}

// checkClaims fails if the parts of a group overlap, or leave blocks out other than those in front of the inodes.
func (g geometry) checkClaims(t *testing.T, group uint32) {
	t.Helper()
	claims := []claim{{extent{0, g.trees + treeCount}, "head"}}
	if group == g.logGroup {
		claims = append(claims, claim{extent{g.logStart(), g.logBlocks}, "log"})
	}
	claims = append(claims, claim{extent{g.spare(group), reserved}, "spares"})
	free := g.free(group)
	if group == 0 {
		if len(free) > 1 {
			claims = append(claims, claim{free[0], "free"})
			free = free[1:]
		}
		claims = append(claims, claim{extent{g.inodes, chunkAlign}, "inodes"})
	}
	for _, e := range free {
		claims = append(claims, claim{e, "free"})
	}
	next := uint32(0)
	for _, c := range claims {
		if c.Start != next || c.Count == 0 {
			t.Errorf("%s in group %d of %+v: %d blocks at %d, want some at %d", c.what, group, g, c.Count, c.Start, next)
		}
		next = c.Start + c.Count
	}
	if next != g.length(group) {
		t.Errorf("group %d of %+v is used up to %d, want its length, %d", group, g, next, g.length(group))
	}
}

func TestGroupsAreUsedWhole(t *testing.T) {
	for _, sectorSize := range []int{512, 4096} {
		for _, size := range []int64{MinSize, MinSize + 4096, gib, tib, 4 * tib, 4*tib + 20*mib, 16 * tib, MaxSize} {
			g, err := newGeometry(size, sectorSize)
			if err != nil {
				t.Fatal(err)
			}
			for group := range g.groups {
				g.checkClaims(t, group)
			}
			if end := g.offset(g.groups-1, g.length(g.groups-1)); end != int64(g.blocks)<<blockLog || end > size {
				t.Errorf("%d bytes: the last group ends at %d, want %d", size, end, g.blocks<<blockLog)
			}
		}
	}
}
