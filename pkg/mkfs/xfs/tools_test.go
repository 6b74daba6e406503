package xfs

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/liveboot/liveboot/pkg/mkfs/internal/image"
	"github.com/liveboot/liveboot/pkg/needs"
)

// edges are the sizes at which the geometry changes, up to what a file can have on ext4.
func edges() []int64 {
	return []int64{
		MinSize, MinSize + 512, MinSize + 4096, 512*mib - 4096, 512 * mib, gib, 128 * gib, 128*gib + 8*mib,
		tib - 4096, tib, tib + 4096, 4*tib - 4096, 4 * tib, 4*tib - 4*4096 + 16*mib - 4096, 4*tib - 4*4096 + 16*mib, 4*tib + gib,
		16*tib - 16*4096, 16*tib - 4096,
	}
}

// random are n sizes, spread evenly over the orders of magnitude.
func random(n int) []int64 {
	r := rand.New(rand.NewPCG(1, 2))
	var sizes []int64
	for range n {
		sizes = append(sizes, MinSize+r.Int64N(MinSize<<r.IntN(15)))
	}
	return sizes
}

// TestRepair: xfs_repair finds nothing to repair.
func TestRepair(t *testing.T) {
	for i, size := range append(edges(), random(200)...) {
		sectorSize := 512 << (i % 2 * 3)
		t.Run(fmt.Sprintf("%d bytes in sectors of %d", size, sectorSize), func(t *testing.T) {
			t.Parallel()
			d, path := image.New(t, size)
			if err := Format(d, size, Options{SectorSize: sectorSize, Label: "cow"}); err != nil {
				t.Fatal(err)
			}
			image.Tool(t, "xfsprogs", "xfs_repair", "-n", "-f", path)
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// difference says why bytes differ from those of mkfs.xfs. from and to are offsets in the inode or in the first sector.
type difference struct {
	why      string
	from, to int
}

// inInodes are the differences in the three inodes that are used.
func inInodes() []difference {
	return []difference{
		{"mkfs.xfs gives no time of access", 32, 40},
		{"the times are not those of the moment, to the nanosecond", 40, 56},
		{"the checksum follows", 100, 104},
		{"mkfs.xfs changes an inode twice to make it", 104, 112},
		{"time of creation", 144, 152},
	}
}

// inCopies are the differences in the superblocks of the other groups, which mkfs.xfs writes before it has counted and made the
// inodes, and puts right in some of them. Ours are equal to the first.
func inCopies() []difference {
	return []difference{
		{"root folder and inodes of the realtime device", 56, 80},
		{"in progress", 126, 127},
		{"allocated and free inodes, free blocks", 128, 152},
		{"the checksum follows", 224, 228},
	}
}

// TestSameAsMkfs compares every byte with an image of mkfs.xfs of the same size.
func TestSameAsMkfs(t *testing.T) {
	for _, sectorSize := range []int{512, 4096} {
		for _, size := range []int64{MinSize, 500 * mib, 3*gib + 12800, 200 * gib, 5*tib + 77*mib} {
			if size > tib && sectorSize == 512 { // its log takes long to read, and once is enough
				continue
			}
			t.Run(fmt.Sprintf("%d bytes in sectors of %d", size, sectorSize), func(t *testing.T) {
				ours := device(size)
				o := Options{SectorSize: sectorSize, Label: "cow", UUID: someUUID(), Time: time.Now()}
				if err := Format(ours, size, o); err != nil {
					t.Fatal(err)
				}
				theirs := filepath.Join(t.TempDir(), "image")
				args := append(older(t), "-q", "-L", "cow", "-m", "uuid=30313233-3435-3637-3839-616263646566", "-s", fmt.Sprint("size=", sectorSize),
					"-d", fmt.Sprintf("file,name=%s,size=%d", theirs, size))
				image.Tool(t, "xfsprogs", "mkfs.xfs", args...)
				g, err := newGeometry(size, sectorSize)
				if err != nil {
					t.Fatal(err)
				}
				compare(t, g, ours.Written(), theirs)
			})
		}
	}
}

// older are the options that have newer releases of mkfs.xfs do what 6.1 did, as far as the installed one has them.
func older(t *testing.T) []string {
	t.Helper()
	usage, err := exec.Command(needs.Program(t, "mkfs.xfs", "xfsprogs")).CombinedOutput()
	if err == nil {
		t.Fatalf("mkfs.xfs without a device does not fail: %s", usage)
	}
	var args []string
	for _, o := range [][2]string{{"-m", "rmapbt"}, {"-i", "nrext64"}, {"-i", "exchange"}, {"-n", "parent"}} {
		if strings.Contains(string(usage), o[1]+"=0|1") {
			args = append(args, o[0], o[1]+"=0")
		}
	}
	return args
}

// compare looks at every block of the image that is not a hole, and at every one that was written.
func compare(t *testing.T, g geometry, ours map[int64][]byte, theirs string) {
	t.Helper()
	f, err := os.Open(theirs)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, offset := range image.Data(t, f, blockSize) {
		if _, ok := ours[offset]; !ok {
			ours[offset] = make([]byte, blockSize)
		}
	}
	for offset, got := range ours {
		want := make([]byte, blockSize)
		if _, err := f.ReadAt(want, offset); err != nil && err != io.EOF {
			t.Fatal(err)
		}
		block := offset / blockSize
		switch {
		case block >= int64(g.inodes) && block < int64(g.inodes+chunkAlign):
			for at := 0; at < blockSize; at += inodeSize {
				if g.inode(0)+uint64(block-int64(g.inodes))<<inodesLog+uint64(at/inodeSize) < g.inode(usedInodes) {
					even(want[at:], got[at:], inInodes())
				}
			}
		case block != 0 && block%int64(g.groupLen) == 0:
			even(want, got, inCopies())
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("block %d: -mkfs.xfs +ours\n%s", block, d)
		}
	}
}

// even makes equal what may be different.
func even(want, got []byte, differences []difference) {
	for _, d := range differences {
		copy(got[d.from:d.to], want[d.from:d.to])
	}
}
