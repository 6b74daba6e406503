package stream

import (
	"bytes"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// What is in memory is lent, as it is and for as long as it is used, and nothing else.
func TestLend(t *testing.T) {
	image := pattern(40*testChunk + 100)
	s, ctx, _ := start(t, Config{Size: int64(len(image)), Memory: 1, Connections: 1}, &server{image: image}, nil)
	readToRest(t, ctx, s, image, testChunk, 2*testChunk)
	readToRest(t, ctx, s, image, 40*testChunk, 100)
	for range 2 { // there is no other place
		if _, release := s.Lend(testChunk, testChunk); release == nil {
			t.Fatal("Lend() of what was read = nil")
		} else {
			release()
		}
	}
	for _, tt := range []struct {
		name           string
		offset, length int64
		parts          int
	}{
		{"a part of one", testChunk + 1, 100, 1},
		{"over a border", 2*testChunk - 1, 2, 2},
		{"two", testChunk, 2 * testChunk, 2},
		{"behind the image", 40*testChunk + 50, 512, 1},
		{"not in memory", 10 * testChunk, 1, 0},
		{"half of it", 2*testChunk + 1, testChunk, 0},
		{"behind the last chunk", 41*testChunk - 1, 2, 0},
		{"far behind it", 1<<63 - 1, 1, 0},
		{"before the image", -1, 1, 0},
		{"nothing", testChunk, 0, 0},
	} {
		parts, release := s.Lend(tt.offset, tt.length)
		if len(parts) != tt.parts || (release == nil) != (tt.parts == 0) {
			t.Errorf("%s: Lend() = %d parts, want %d", tt.name, len(parts), tt.parts)
		}
		if release == nil {
			continue
		}
		want := append(slices.Clone(image[tt.offset:min(tt.offset+tt.length, int64(len(image)))]), make([]byte, tt.length)...)[:tt.length]
		for i := range 20 { // more than fits into memory
			if i != 1 && i != 2 {
				readToRest(t, ctx, s, image, i*testChunk, 10)
			}
		}
		if !bytes.Equal(slices.Concat(parts...), want) {
			t.Errorf("%s: what was lent is not the image", tt.name)
		}
		release()
		readToRest(t, ctx, s, image, testChunk, 2*testChunk)
		readToRest(t, ctx, s, image, 40*testChunk, 100)
	}
}

// Answers are sent in any order: a chunk of which a part is still to be lent stays in memory, though its end was lent and it is in its place.
func TestLendInAnyOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		image := pattern(4 * testChunk)
		s, ctx, stop := start(t, Config{Size: int64(len(image)), Ahead: -1}, &server{image: image}, newPlace(len(image)))
		defer stop()
		if err := s.Await(ctx, testChunk, testChunk); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // it is in its place
		for _, offset := range []int64{testChunk + testChunk/2, testChunk} {
			parts, release := s.Lend(offset, testChunk/2)
			if release == nil {
				t.Fatalf("Lend(%d) = nil, want what is in memory", offset)
			}
			if !bytes.Equal(slices.Concat(parts...), image[offset:][:testChunk/2]) {
				t.Errorf("Lend(%d) is not the image", offset)
			}
			release()
		}
		if _, release := s.Lend(testChunk, 1); release != nil {
			t.Error("what was read as a whole is still in memory, which is the best there is for the next chunk")
			release()
		}
	})
}

// What comes later is kept in as much memory as the machine can spare where the place has failed, as if there had been none.
func TestCacheForPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 1 << 20
		image, place := pattern(50*size), newPlace(50*size)
		place.write = io.ErrShortWrite
		source := &server{image: image}
		c := Config{Size: int64(len(image)), ChunkSize: size, Memory: 1, Available: func() (int64, error) { return 1 << 40, nil }}
		s, ctx, stop := start(t, c, source, place)
		defer stop()
		read(t, ctx, s, image, 0, 1)
		time.Sleep(2 * look)
		for range 2 {
			read(t, ctx, s, image, 0, len(image))
		}
		if n := len(source.asked()); n != 50 {
			t.Errorf("%d chunks were fetched, want each of the 50 once", n)
		}
	})
}
