package ext4

import (
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/liveboot/liveboot/pkg/mkfs/internal/image"
)

// edges are the sizes at which the geometry changes, up to what a file can have on ext4.
func edges() []int64 {
	sizes := []int64{
		MinSize, MinSize + 512, MinSize + kib, 32*mib - kib, 32 * mib, 32*mib + kib, 256*mib - kib, 256 * mib, 512*mib - 1, 512 * mib,
		gib, 2*gib + 4096, 16 * gib, 32 * gib, 64 * gib, 128*gib - 4096, 128 * gib, tib, 4*tib - 4096, 4 * tib, 16*tib - 4096,
	}
	// A last group that is nearly, or just, long enough.
	for _, rest := range []int64{1, 534, 535, 536} {
		sizes = append(sizes, 24*mib+rest*4*kib, 2*gib+rest*4*kib, 2*gib+128*mib+rest*4*kib)
	}
	return sizes
}

// random are n sizes, spread evenly over the orders of magnitude.
func random(n int) []int64 {
	r := rand.New(rand.NewPCG(3, 4))
	var sizes []int64
	for range n {
		sizes = append(sizes, MinSize+r.Int64N(MinSize<<r.IntN(16)))
	}
	return sizes
}

// TestCheck: e2fsck finds nothing to repair.
func TestCheck(t *testing.T) {
	for i, size := range append(edges(), random(200)...) {
		sectorSize := 512 << (i % 2 * 3)
		t.Run(fmt.Sprintf("%d bytes in sectors of %d", size, sectorSize), func(t *testing.T) {
			t.Parallel()
			d, path := image.New(t, size)
			if err := Format(d, size, Options{SectorSize: sectorSize, Label: "cow"}); err != nil {
				t.Fatal(err)
			}
			image.Tool(t, "e2fsprogs", "e2fsck", "-fn", path)
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestCheckBlockSize: with the block size that is not the default, and on top of garbage.
func TestCheckBlockSize(t *testing.T) {
	for size, blockSize := range map[int64]int{300 * mib: 4096, 600 * mib: 1024, 20 * gib: 1024, 256 * gib: 1024} {
		d, path := image.New(t, size)
		if size < gib {
			garbage := strings.Repeat("garbage.", 1<<17)
			for at := int64(0); at < size; at += int64(len(garbage)) {
				if _, err := d.WriteAt([]byte(garbage)[:min(int64(len(garbage)), size-at)], at); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := Format(d, size, Options{BlockSize: blockSize}); err != nil {
			t.Fatal(err)
		}
		image.Tool(t, "e2fsprogs", "e2fsck", "-fn", path)
	}
}

// variable are lines of dumpe2fs that cannot be equal, each with why.
func variable() []*regexp.Regexp {
	return []*regexp.Regexp{
		regexp.MustCompile(`(?m)^(Filesystem created|Last \w+( time)?|Lifetime writes):.*\n`), // times, and what mkfs.ext4 has counted
		regexp.MustCompile(`(?m)^Checksum: .*\n`),                                             // follows the lines above
		regexp.MustCompile(`csum 0x[0-9a-f]{4}\b`),                                            // follows the next
		regexp.MustCompile(`(?m)(, )?ITABLE_ZEROED| *\[(ITABLE_ZEROED)?\]| +$`),               // in a file, mkfs.ext4 knows that tables are zero
	}
}

// TestSameAsMkfs compares all that dumpe2fs tells with that of mkfs.ext4. At these sizes everything is at the same place, down to the
// checksums of the bitmaps; the documentation of the package says what is different at others.
func TestSameAsMkfs(t *testing.T) {
	// Older releases have no -O orphan_file; newer ones would make one, which older kernels do not know.
	const id = "30313233-3435-3637-3839-616263646566"
	for _, size := range []int64{20 * mib, 100 * mib, 300 * mib, 511*mib + kib, 512 * mib, gib + mib, 4 * gib, 7*gib + 64*mib, 60 * gib} {
		t.Run(fmt.Sprintf("%d bytes", size), func(t *testing.T) {
			d, ours := image.New(t, size)
			o := options()
			o.Time = someTime()
			if err := Format(d, size, o); err != nil {
				t.Fatal(err)
			}
			_, theirs := image.New(t, size)
			image.Tool(t, "e2fsprogs", "mkfs.ext4", "-q", "-F", "-U", id, "-L", "cow", "-E", "hash_seed="+id,
				"-O", "^orphan_file,^metadata_csum_seed", theirs)
			got, want := image.Tool(t, "e2fsprogs", "dumpe2fs", ours), image.Tool(t, "e2fsprogs", "dumpe2fs", theirs)
			for _, v := range variable() {
				got, want = v.ReplaceAllString(got, ""), v.ReplaceAllString(want, "")
			}
			if d := cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")); d != "" {
				t.Errorf("-mkfs.ext4 +ours\n%s", d)
			}
		})
	}
}
