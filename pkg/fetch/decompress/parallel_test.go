package decompress

import (
	"bytes"
	"io"
	"testing"
	"testing/iotest"
	"testing/synctest"
)

// TestMemory: nobody reads, and so no more blocks are fetched than there is memory for.
func TestMemory(t *testing.T) {
	file := bytes.Repeat(golden(t, "blocks.xz"), 50)
	const cost = 64<<10 + 512 // dictionary and unpacked block; a packed one has a few hundred bytes
	for _, room := range []int{2, 5} {
		synctest.Test(t, func(t *testing.T) {
			d, err := New(bytes.NewReader(file), Options{Workers: 20, Memory: int64(room*cost + cost/2)})
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			synctest.Wait()
			if got := len(d.r.(*xzReader).blocks); got != room {
				t.Errorf("with room for %d blocks, %d are kept", room, got)
			}
			got, err := io.ReadAll(d)
			if want := bytes.Repeat(golden(t, "plain.txt"), 50); err != nil || !bytes.Equal(got, want) {
				t.Errorf("read %d bytes, %v; want %d", len(got), err, len(want))
			}
		})
	}
}

// TestLeftovers: however the reading ends, no goroutine stays behind; synctest waits for them all.
func TestLeftovers(t *testing.T) {
	blocks, sequential := golden(t, "blocks.xz"), golden(t, "sequential.xz")
	damaged := bytes.Clone(blocks)
	damaged[len(damaged)/2]++
	for name, source := range map[string]func() io.Reader{
		"blocks":            func() io.Reader { return bytes.NewReader(bytes.Repeat(blocks, 50)) },
		"arriving":          func() io.Reader { return bytes.NewReader(bytes.Repeat(sequential, 50)) },
		"damaged":           func() io.Reader { return bytes.NewReader(damaged) },
		"cut off":           func() io.Reader { return bytes.NewReader(blocks[:len(blocks)-20]) },
		"arriving, cut off": func() io.Reader { return bytes.NewReader(sequential[:len(sequential)/2]) },
		"error": func() io.Reader {
			return io.MultiReader(bytes.NewReader(blocks[:300]), iotest.ErrReader(io.ErrClosedPipe))
		},
	} {
		for _, n := range []int64{0, 10, 700, 1 << 20} {
			synctest.Test(t, func(t *testing.T) {
				d, err := New(source(), Options{Workers: 3, Memory: 400 << 10})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.CopyN(io.Discard, d, n); n == 10 && err != nil {
					t.Errorf("%s: read %d bytes: %v", name, n, err)
				}
				d.Close()
			})
		}
	}
}
