package stream

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// chunksOf turns offsets into chunks.
func chunksOf(offsets []int64) (chunks []int64) {
	for _, offset := range offsets {
		chunks = append(chunks, offset/testChunk)
	}
	return chunks
}

// Fill goes from the beginning to the end, and fetches nothing that is there.
func TestFillInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		image := pattern(12*testChunk + 5)
		source, place := &server{image: image, took: 10 * time.Millisecond}, newPlace(len(image))
		s, ctx, stop := start(t, Config{Size: int64(len(image)), Connections: 1}, source, place)
		defer stop()
		read(t, ctx, s, image, 3*testChunk, 2*testChunk)
		source.asked()
		if err := s.Fill(ctx); err != nil {
			t.Fatal(err)
		}
		if got, want := chunksOf(source.asked()), []int64{0, 1, 2, 5, 6, 7, 8, 9, 10, 11, 12}; !slices.Equal(got, want) {
			t.Errorf("the chunks %d were fetched, want %d", got, want)
		}
		if !bytes.Equal(place.data[:len(image)], image) {
			t.Error("the place holds something else than the image")
		}
		if tail := place.data[len(image):]; !bytes.Equal(tail, make([]byte, len(tail))) {
			t.Errorf("behind the image is %x, want zeros", tail)
		}
	})
}

// Who waits for a chunk waits for what is under way in the background, at most, and a slow line is not occupied by long requests.
func TestFillLeavesTheLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const chunk = 1 << 20
		image := pattern(64 * chunk)
		const rate = 2 << 20 // bytes per second, of the line, which all who read share
		line := make(chan struct{}, 1)
		source := &server{image: image, before: func(ctx context.Context, p []byte, _ int64) error {
			line <- struct{}{}
			defer func() { <-line }()
			return sleep(ctx, time.Duration(float64(len(p))/rate*float64(time.Second)))
		}}
		s, ctx, stop := start(t, Config{Size: int64(len(image)), ChunkSize: chunk}, source, newPlace(len(image)))
		defer stop()
		filling := make(chan error, 1)
		go func() { filling <- s.Fill(ctx) }()
		alone := time.Second * chunk / rate
		for i := range 5 {
			time.Sleep(3 * time.Second)
			began := time.Now()
			read(t, ctx, s, image, (60-i)*chunk, 100)
			if took := time.Since(began); took > alone+4*pieceTime {
				t.Errorf("a read took %v while the rest was filled in, want no more than %v", took, alone+4*pieceTime)
			}
		}
		if err := <-filling; err != nil {
			t.Errorf("Fill() = %v, want nil", err)
		}
	})
}

// A system that reads all the time gets its image, too.
func TestFillIsNotStarved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		image := pattern(40 * testChunk)
		var first atomic.Bool
		source := &server{image: image, took: 10 * time.Millisecond}
		s, ctx, stop := start(t, Config{Size: int64(len(image))}, source, newPlace(len(image)))
		defer stop()
		go func() {
			// It has what it reads taken away again, so that it always waits.
			for ctx.Err() == nil {
				if s.Await(ctx, 39*testChunk, 1) != nil {
					return
				}
				s.mutex.Lock()
				if !first.Load() {
					s.setHere(39, false)
				}
				s.mutex.Unlock()
				s.forget()
				if sleep(ctx, 50*time.Millisecond) != nil {
					return
				}
			}
		}()
		time.AfterFunc(time.Minute, func() { first.Store(true) })
		began := time.Now()
		if err := s.Fill(ctx); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 2*time.Minute {
			t.Errorf("Fill() took %v, want about a chunk a second", took)
		}
	})
}

func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		image := pattern(100 * testChunk)
		s, ctx, stop := start(t, Config{Size: int64(len(image)), Rate: 10 * testChunk}, &server{image: image}, newPlace(len(image)))
		defer stop()
		began := time.Now()
		if err := s.Fill(ctx); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < 9*time.Second || took > 11*time.Second {
			t.Errorf("100 chunks at 10 a second took %v, want 10 s", took)
		}
	})
}

func TestFillEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		image := pattern(10 * testChunk)
		s, ctx, stop := start(t, Config{Size: int64(len(image))}, &server{image: image, took: time.Hour}, newPlace(len(image)))
		defer stop()
		gone := errors.New("gone")
		filling, cancel := context.WithCancelCause(ctx)
		time.AfterFunc(time.Minute, func() { cancel(gone) })
		if err := s.Fill(filling); err != gone {
			t.Errorf("Fill() = %v, want %v", err, gone)
		}
	})
	s, ctx, _ := start(t, Config{Size: 1}, &server{}, nil)
	if err := s.Fill(ctx); err == nil {
		t.Error("Fill() = nil without a place, want an error")
	}
}

// Where reading is sequential, more and more is fetched before it is asked for, and nothing where it is not.
func TestAhead(t *testing.T) {
	for _, tt := range []struct {
		name  string
		read  []int64 // chunks
		extra []int64 // what is fetched without being asked for
	}{
		{"one chunk", []int64{5}, nil},
		{"here and there", []int64{5, 20, 11, 30, 2}, nil},
		{"backwards", []int64{9, 8, 7, 6}, nil},
		{"two in a row", []int64{5, 6}, []int64{7}},
		{"three in a row", []int64{5, 6, 7}, []int64{8, 9}},
		{"up to the most", []int64{5, 6, 7, 8, 9}, []int64{10, 11, 12, 13}},
		{"two readers in turns", []int64{5, 25, 6, 26}, []int64{7, 27}},
		{"up to the end", []int64{37, 38}, []int64{39}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				image := pattern(40 * testChunk)
				source := &server{image: image}
				s, ctx, stop := start(t, Config{Size: int64(len(image)), Ahead: 4 * testChunk, Memory: 64 * testChunk}, source, newPlace(len(image)))
				defer stop()
				for _, chunk := range tt.read {
					read(t, ctx, s, image, int(chunk)*testChunk, 100)
					read(t, ctx, s, image, int(chunk)*testChunk+200, 100)
				}
				synctest.Wait()
				got, want := chunksOf(source.asked()), append(slices.Clone(tt.read), tt.extra...)
				slices.Sort(got)
				slices.Sort(want)
				if !slices.Equal(got, want) {
					t.Errorf("the chunks %d were fetched, want %d", got, want)
				}
			})
		})
	}
}

// Never is more under way than there are connections.
func TestConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		image := pattern(40 * testChunk)
		source := &server{image: image, took: time.Second}
		s, ctx, stop := start(t, Config{Size: int64(len(image)), Connections: 3, Ahead: 8 * testChunk}, source, newPlace(len(image)))
		defer stop()
		var all sync.WaitGroup
		for i := range 10 {
			all.Go(func() { read(t, ctx, s, image, i*testChunk, testChunk) })
		}
		all.Wait()
		source.mutex.Lock()
		defer source.mutex.Unlock()
		if source.most != 3 {
			t.Errorf("%d reads were under way at a time, want 3", source.most)
		}
	})
}

// Without a place memory is what bounds it: what is used least goes, and what the machine needs.
func TestCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 1 << 20
		image := pattern(100 * size)
		var available atomic.Int64
		available.Store(reserve + 40*size)
		source := &server{image: image}
		s, ctx, stop := start(t, Config{
			Size: int64(len(image)), ChunkSize: size, Memory: 50 * size, Available: func() (int64, error) { return available.Load(), nil },
		}, source, nil)
		defer stop()
		synctest.Wait()
		cached := func(want int64) {
			t.Helper()
			if got := s.Stats().Cached / size; got != want {
				t.Errorf("%d chunks are in memory, want %d", got, want)
			}
		}
		for i := range 60 {
			read(t, ctx, s, image, i*size, 100)
		}
		cached(20) // half of what is there
		available.Store(reserve + 40*size)
		time.Sleep(look)
		for i := range 60 {
			read(t, ctx, s, image, i*size, 100)
		}
		cached(40)
		source.asked()
		read(t, ctx, s, image, 59*size, 100)
		read(t, ctx, s, image, 30*size, 100)
		if got := source.asked(); len(got) != 0 {
			t.Errorf("%d were fetched although they were used last", got)
		}
		available.Store(0)
		time.Sleep(2 * look)
		cached(s.cache.least)
		read(t, ctx, s, image, 0, len(image))
		cached(s.cache.least)
		available.Store(1 << 40)
		time.Sleep(look)
		read(t, ctx, s, image, 0, len(image))
		cached(50)
	})
}
