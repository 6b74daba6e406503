package blockcache

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A source records what is read of it, and fails where it is told to.
type source struct {
	data []byte
	fail map[int64]int // by offset, so often

	mutex sync.Mutex
	reads [][2]int64 // offset and length
}

func (s *source) ReadAt(p []byte, offset int64) (int, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.reads = append(s.reads, [2]int64{offset, int64(len(p))})
	for at, times := range s.fail {
		if times > 0 && offset <= at && at < offset+int64(len(p)) {
			s.fail[at]--
			return copy(p, s.data[offset:at]), errBroken
		}
	}
	return bytes.NewReader(s.data).ReadAt(p, offset)
}

var errBroken = errors.New("broken")

func noise(n int) []byte {
	data := make([]byte, n)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range data {
		data[i] = byte(random.Uint32())
	}
	return data
}

// TestReads: what is read below, for what is read above, with blocks of 10 bytes, 80 ahead and 200 kept of 1005.
func TestReads(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   [][2]int64
		want [][2]int64
	}{
		{"a block", [][2]int64{{12, 3}, {19, 1}, {10, 10}}, [][2]int64{{10, 10}}},
		{"over a border", [][2]int64{{19, 2}}, [][2]int64{{10, 20}}},
		{"sequential", [][2]int64{{0, 10}, {10, 10}, {20, 10}, {30, 100}}, [][2]int64{{0, 10}, {10, 20}, {30, 80}, {110, 80}}},
		{"backwards", [][2]int64{{50, 1}, {40, 1}, {30, 1}}, [][2]int64{{50, 10}, {40, 10}, {30, 10}}},
		{"two trails", [][2]int64{{0, 10}, {500, 10}, {10, 10}, {510, 10}, {30, 1}}, [][2]int64{{0, 10}, {500, 10}, {10, 20}, {510, 20}, {30, 40}}},
		{"a gap is closed", [][2]int64{{10, 10}, {30, 10}, {0, 40}}, [][2]int64{{10, 10}, {30, 10}, {0, 10}, {20, 10}}},
		{"large", [][2]int64{{0, 1000}}, [][2]int64{{0, 80}, {80, 80}, {160, 80}, {240, 80}, {320, 80}, {400, 80}, {480, 80}, {560, 80}, {640, 80}, {720, 80}, {800, 80}, {880, 80}, {960, 45}}},
		{"the end", [][2]int64{{1000, 5}, {1004, 1}}, [][2]int64{{1000, 5}}},
		{"used last", [][2]int64{{0, 1}, {300, 80}, {0, 1}, {600, 80}, {800, 80}, {0, 1}}, [][2]int64{{0, 10}, {300, 80}, {600, 80}, {800, 80}}},
		{"used first", [][2]int64{{0, 1}, {300, 80}, {600, 80}, {800, 80}, {0, 1}}, [][2]int64{{0, 10}, {300, 80}, {600, 80}, {800, 80}, {0, 10}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &source{data: noise(1005)}
			c := New(s, 1005, Options{Block: 10, Ahead: 80, Memory: 200})
			for _, in := range tt.in {
				p := make([]byte, in[1])
				if n, err := c.ReadAt(p, in[0]); err != nil || !bytes.Equal(p, s.data[in[0]:in[0]+in[1]]) {
					t.Fatalf("ReadAt(%d bytes, %d) = %d, %v", in[1], in[0], n, err)
				}
			}
			if diff := cmp.Diff(tt.want, s.reads); diff != "" {
				t.Errorf("reads (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEnds(t *testing.T) {
	s := &source{data: noise(25)}
	c := New(s, 25, Options{Block: 10})
	for _, tt := range []struct {
		offset, length int64
		n              int
		err            error
	}{{0, 25, 25, nil}, {20, 6, 5, io.EOF}, {25, 1, 0, io.EOF}, {99, 1, 0, io.EOF}, {25, 0, 0, nil}} {
		if n, err := c.ReadAt(make([]byte, tt.length), tt.offset); n != tt.n || err != tt.err {
			t.Errorf("ReadAt(%d bytes, %d) = %d, %v, want %d, %v", tt.length, tt.offset, n, err, tt.n, tt.err)
		}
	}
	if n, err := c.ReadAt(make([]byte, 1), -1); n != 0 || err == nil {
		t.Errorf("ReadAt before the beginning = %d, %v, want an error", n, err)
	}
	if n, err := New(s, 35, Options{Block: 10}).ReadAt(make([]byte, 10), 25); n != 0 || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("ReadAt behind what there is = %d, %v, want %v", n, err, io.ErrUnexpectedEOF)
	}
}

// TestErrors: what arrived before an error is used and kept, and what did not is read again: at once if others are to come before it,
// since it may have been read ahead only.
func TestErrors(t *testing.T) {
	s := &source{data: noise(1000), fail: map[int64]int{25: 2}}
	c := New(s, 1000, Options{Block: 10, Ahead: 80})
	p := make([]byte, 50)
	if n, err := c.ReadAt(p, 0); n != 20 || err != errBroken || !bytes.Equal(p[:n], s.data[:n]) {
		t.Fatalf("ReadAt = %d, %v, want 20, %v", n, err, errBroken)
	}
	if n, err := c.ReadAt(p, 0); n != 50 || err != nil || !bytes.Equal(p, s.data[:50]) {
		t.Fatalf("second ReadAt = %d, %v, want all", n, err)
	}
	if want := [][2]int64{{0, 50}, {20, 80}, {20, 30}}; !slices.Equal(s.reads, want) {
		t.Errorf("reads %v, want %v", s.reads, want)
	}
}

// TestConcurrent: whatever several read at once, it is right, every block is read once while it is kept, and the memory is bounded.
func TestConcurrent(t *testing.T) {
	s := &source{data: noise(100_003)}
	c := New(s, 100_003, Options{Block: 100, Ahead: 1600, Memory: 200_000})
	small := New(s, 100_003, Options{Block: 100, Ahead: 1600, Memory: 1000})
	var group sync.WaitGroup
	for seed := range uint64(8) {
		group.Go(func() {
			random := rand.New(rand.NewPCG(seed, 0))
			for range 500 {
				p := make([]byte, random.IntN(3000))
				offset := random.Int64N(100_003)
				want := min(len(p), 100_003-int(offset))
				for _, c := range []*Cache{c, small} {
					if n, _ := c.ReadAt(p, offset); n != want || !bytes.Equal(p[:n], s.data[offset:][:n]) {
						t.Errorf("ReadAt(%d bytes, %d) = %d, want %d of the right ones", len(p), offset, n, want)
					}
				}
			}
		})
	}
	group.Wait()
	if n := small.recent.Len(); n > 10 || len(small.known) != n {
		t.Errorf("%d blocks are kept, %d known, want at most 10", n, len(small.known))
	}
	s.reads = nil
	if _, err := c.ReadAt(make([]byte, 100_003), 0); err != nil {
		t.Fatal(err)
	}
	read := map[int64]bool{}
	for _, r := range s.reads {
		for at := r[0]; at < r[0]+r[1]; at += 100 {
			if read[at] {
				t.Errorf("the block at %d was read twice", at)
			}
			read[at] = true
		}
	}
}
