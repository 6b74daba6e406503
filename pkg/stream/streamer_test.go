package stream

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Never is more under way than there are connections, whoever comes back to the line that had left it to others.
func TestConnectionsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		image := pattern(40 * DefaultChunkSize)
		w := newWire(image, time.Millisecond, 1e6)
		s, ctx, stop := start(t, Config{Size: int64(len(image)), ChunkSize: DefaultChunkSize, Connections: 3}, w, newPlace(len(image)))
		defer stop()
		filling, cancel := context.WithCancel(ctx)
		defer cancel()
		go func() { _ = s.Fill(filling) }() // it ends with the test
		time.Sleep(100 * time.Millisecond)
		var all sync.WaitGroup
		for _, chunk := range []int{30, 31, 32, 33, 34, 35} {
			all.Go(func() { read(t, ctx, s, image, chunk*DefaultChunkSize, 100) })
		}
		time.Sleep(400 * time.Millisecond)
		for chunk := range 6 {
			all.Go(func() { read(t, ctx, s, image, chunk*DefaultChunkSize, 100) })
		}
		all.Wait()
		w.mutex.Lock()
		defer w.mutex.Unlock()
		if w.most != 3 {
			t.Errorf("%d requests were under way at a time, want 3", w.most)
		}
	})
}

// Who reads while the rest is filled in waits little longer than on a free line: for what is under way.
func TestReadsBeforeFill(t *testing.T) {
	whole := pattern(256 << 20)
	for _, tt := range lines {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				size := min(int(tt.rate*40), len(whole))
				image := whole[:size]
				w := newWire(image, tt.latency, tt.rate)
				s, ctx, stop := start(t, Config{Size: int64(size), ChunkSize: DefaultChunkSize}, w, newPlace(size))
				defer stop()
				filling, cancel := context.WithCancel(ctx)
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					_ = s.Fill(filling) // it ends with the test
				}()
				alone := tt.latency + time.Duration(DefaultChunkSize/tt.rate*float64(time.Second))
				for i := range 5 {
					time.Sleep(300 * time.Millisecond)
					began := time.Now()
					read(t, ctx, s, image, size-(i+1)*(DefaultChunkSize+100), 100)
					if took, want := time.Since(began), 2*(alone+pieceTime); took > want {
						t.Errorf("a read took %v while the rest was filled in, and %v on a free line, want no more than %v", took, alone, want)
					}
				}
				cancel()
				<-ended
			})
		})
	}
}

// One request brings many chunks, each of which can be read as soon as it is there, and only what is wrong is fetched again.
func TestManyByOneRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const many = 16
		image := pattern(many * testChunk)
		w := newWire(image, time.Second, testChunk) // a chunk a second
		wrong := true
		c := Config{Size: int64(len(image)), Connections: 1, Verify: func(index int, _ []byte) error {
			if index == 5 && wrong {
				wrong = false
				return errors.New("wrong")
			}
			return nil
		}}
		place := newPlace(len(image))
		s, ctx, stop := start(t, c, w, place)
		defer stop()
		s.mutex.Lock()
		s.line = line{latency: time.Second, speed: 1 << 30}
		s.wantMissing(0)
		s.mutex.Unlock()
		began := time.Now()
		synctest.Wait() // the request is made before somebody waits for a part of it
		for i := range many {
			if i == 5 {
				continue
			}
			read(t, ctx, s, image, i*testChunk, testChunk)
			if took, want := time.Since(began), time.Duration(i+2)*time.Second; took != want {
				t.Errorf("chunk %d took %v, want %v", i, took, want)
			}
		}
		read(t, ctx, s, image, 5*testChunk, testChunk)
		if got, want := w.asked(), []request{{0, many * testChunk}, {5 * testChunk, testChunk}}; !slices.Equal(got, want) {
			t.Errorf("asked for %v, want %v", got, want)
		}
		if !bytes.Equal(place.data, image) {
			t.Error("the place holds something else than the image")
		}
	})
}

// brokenWire is a wire whose answers end with an error, behind so many bytes. What ReadAt asks for comes whole.
type brokenWire struct {
	*wire
	after int64
	cause error
}

func (b *brokenWire) ReadInto(ctx context.Context, offset, length int64, next func() ([]byte, error)) error {
	if length <= b.after {
		return b.wire.ReadInto(ctx, offset, length, next)
	}
	last := []byte(nil)
	err := b.wire.ReadInto(ctx, offset, b.after, func() (p []byte, err error) {
		last, err = next()
		return last[:min(int64(len(last)), b.after)], err
	})
	return errors.Join(err, b.cause)
}

// What came before an answer broke is kept, and what did not is asked for again, part by part.
func TestAnswerBreaks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		image := pattern(16 * testChunk)
		b := &brokenWire{newWire(image, 0, 1<<30), 3*testChunk + 100, errors.New("reset")}
		place := newPlace(len(image))
		s, ctx, stop := start(t, Config{Size: int64(len(image)), Connections: 1}, b, place)
		defer stop()
		s.mutex.Lock()
		s.line.speed = 1 << 30
		s.mutex.Unlock()
		if err := s.Fill(ctx); err != nil {
			t.Fatal(err)
		}
		want := []request{{0, 3*testChunk + 100}}
		for i := int64(3); i < 16; i++ {
			want = append(want, request{i * testChunk, testChunk})
		}
		if got := b.asked(); !slices.Equal(got, want) {
			t.Errorf("asked for %v, want %v", got, want)
		}
		if !bytes.Equal(place.data, image) {
			t.Error("the place holds something else than the image")
		}
	})
}

// Where the way is long, what lies beside a chunk that somebody waits for is fetched with it, as far as that costs nobody time.
func TestNeighbours(t *testing.T) {
	for _, tt := range []struct {
		name string
		line line
		want []int64 // chunks that are there after chunk 5 was read
	}{
		{"nothing is known", line{}, []int64{5}},
		{"near", line{latency: time.Millisecond, speed: 1e9}, []int64{5}},
		{"far and slow", line{latency: 50 * time.Millisecond, speed: 2e6}, []int64{5}},
		{"far, and not so slow", line{latency: 50 * time.Millisecond, speed: 8e6}, []int64{4, 5}},
		{"far", line{latency: 50 * time.Millisecond, speed: 118e6}, []int64{4, 5, 6, 7}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				image := pattern(10 * DefaultChunkSize)
				w := newWire(image, tt.line.latency, max(tt.line.speed, 1e6))
				s, ctx, stop := start(t, Config{Size: int64(len(image)), ChunkSize: DefaultChunkSize, Ahead: DefaultAhead}, w, newPlace(len(image)))
				defer stop()
				s.mutex.Lock()
				s.line = tt.line
				s.mutex.Unlock()
				began := time.Now()
				read(t, ctx, s, image, 5*DefaultChunkSize, 100)
				if tt.line.speed > 0 && time.Since(began) > 3*tt.line.latency+time.Second/4 {
					t.Errorf("the read took %v", time.Since(began))
				}
				synctest.Wait()
				time.Sleep(time.Second)
				var here []int64
				s.mutex.Lock()
				for i := range s.chunks {
					if s.isHere(i) {
						here = append(here, i)
					}
				}
				s.mutex.Unlock()
				if !slices.Equal(here, tt.want) {
					t.Errorf("the chunks %d are there, want %d", here, tt.want)
				}
			})
		})
	}
}

// Requests that are under way at the same time, and overtake each other, are one reader.
func TestAheadOutOfOrder(t *testing.T) {
	var a ahead
	var fetched int64
	for _, index := range []int64{0, 1, 0, 3, 2, 1, 4, 3, 6, 5, 7, 9, 8} {
		fetched = max(fetched, a.touch(index, 8))
	}
	if fetched < 14 {
		t.Errorf("up to chunk %d is fetched ahead of a reader at 9, want 14 or more", fetched)
	}
	for _, r := range a.readers[1:] {
		if r.last != 0 {
			t.Errorf("there is a second reader: %+v", r)
		}
	}
}

// However little memory there is, and however many wait for something else, each read comes to its end without its chunks being fetched
// over and over.
func TestLittleMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const readers, each = 100, 3
		image := pattern(readers * each * testChunk)
		// It answers at once, so that whom a chunk is for need not get to it before the memory is wanted for the next.
		s, ctx, stop := start(t, Config{Size: int64(len(image)), Memory: 1}, &server{image: image}, nil)
		defer stop()
		var all sync.WaitGroup
		for i := range readers {
			all.Go(func() {
				if err := s.Await(ctx, int64(i*each*testChunk), each*testChunk); err != nil {
					t.Error(err)
				}
				read(t, ctx, s, image, i*each*testChunk, each*testChunk)
			})
		}
		all.Wait()
		if n := s.Stats().Chunks; n > 2*readers*each {
			t.Errorf("%d chunks were fetched for reads of %d", n, readers*each)
		}
	})
}
