package stream

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestRead(t *testing.T) {
	image := pattern(5*testChunk + 1000)
	for _, lazy := range []bool{false, true} {
		for _, tt := range []struct {
			name           string
			offset, length int
			fetched        []int64 // chunks
		}{
			{"within a chunk", 100, 200, []int64{0}},
			{"a whole chunk", testChunk, testChunk, []int64{1}},
			{"over a border", testChunk - 1, 2, []int64{0, 1}},
			{"three chunks", testChunk / 2, 2 * testChunk, []int64{0, 1, 2}},
			{"the last, short one", 5 * testChunk, 1000, []int64{5}},
			{"all", 0, len(image), []int64{0, 1, 2, 3, 4, 5}},
		} {
			t.Run(fmt.Sprintf("%s, lazy %v", tt.name, lazy), func(t *testing.T) {
				source := &server{image: image}
				var place Place
				if !lazy {
					place = newPlace(len(image))
				}
				s, ctx, _ := start(t, Config{Size: int64(len(image))}, source, place)
				for range 2 { // from the source, and from what was kept
					if err := s.Await(ctx, int64(tt.offset), int64(tt.length)); err != nil {
						t.Fatal(err)
					}
					read(t, ctx, s, image, tt.offset, tt.length)
				}
				var chunks []int64
				for _, offset := range source.asked() {
					chunks = append(chunks, offset/testChunk)
				}
				slices.Sort(chunks)
				if !slices.Equal(chunks, tt.fetched) {
					t.Errorf("the chunks %d were fetched, want %d", chunks, tt.fetched)
				}
			})
		}
	}
}

// Behind the image, up to the end of a sector, are zeros.
func TestReadBehindTheImage(t *testing.T) {
	image := pattern(testChunk + 1000)
	place := newPlace(len(image))
	s, ctx, _ := start(t, Config{Size: int64(len(image))}, &server{image: image}, place)
	for range 2 {
		p := bytes.Repeat([]byte{1}, 512)
		if err := s.ReadAt(ctx, p, testChunk+512); err != nil {
			t.Fatal(err)
		}
		if want := append(slices.Clone(image[testChunk+512:]), make([]byte, 24)...); !bytes.Equal(p, want) {
			t.Errorf("ReadAt() over the end gave %x, want %x", p, want)
		}
		if err := s.Fill(ctx); err != nil {
			t.Fatal(err)
		}
		s.forget()
	}
	if err := s.ReadAt(ctx, make([]byte, 1), 2*testChunk); !errors.Is(err, errBeyond) {
		t.Errorf("ReadAt() behind the last chunk = %v, want %v", err, errBeyond)
	}
}

// forget gives up what is only in memory.
func (s *Store) forget() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for k := s.cache.oldest(); k != nil; k = s.cache.oldest() {
		delete(s.known, k.index)
		s.cache.put(k.data)
	}
}

// However many ask for a chunk at once, it is fetched once.
func TestFetchedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		image := pattern(testChunk)
		source := &server{image: image, took: time.Second}
		s, ctx, stop := start(t, Config{Size: testChunk}, source, newPlace(testChunk))
		defer stop()
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() { read(t, ctx, s, image, i*100, 100) })
		}
		all.Wait()
		if n := len(source.asked()); n != 1 {
			t.Errorf("the chunk was fetched %d times, want once", n)
		}
	})
}

// Whatever goes wrong, what is delivered is the image, and in the end all of it is in its place.
func TestFaults(t *testing.T) {
	for seed := range uint64(20) {
		for _, lazy := range []bool{false, true} {
			for _, streamed := range []bool{false, true} {
				t.Run(fmt.Sprintf("seed %d, lazy %v, streamed %v", seed, lazy, streamed), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { faults(t, seed, lazy, streamed) })
				})
			}
		}
	}
}

func faults(t *testing.T, seed uint64, lazy, streamed bool) {
	image := pattern(40*testChunk + int(seed)*100)
	var mutex sync.Mutex
	random := rand.New(rand.NewPCG(seed, 0))
	chance := func(n int) int {
		mutex.Lock()
		defer mutex.Unlock()
		return random.IntN(n)
	}
	sums := make([][32]byte, 0, 41)
	for c := range slices.Chunk(image, testChunk) {
		sums = append(sums, sha256.Sum256(c))
	}
	source := &server{image: image, before: func(ctx context.Context, p []byte, offset int64) error {
		if err := sleep(ctx, time.Duration(chance(300))*time.Millisecond); err != nil {
			return err
		}
		switch chance(6) {
		case 0:
			return errors.New("reset")
		case 1:
			copy(p, image[offset:])
			p[chance(len(p))] ^= 1
			return errFlipped
		}
		return nil
	}}
	var place Place
	filled := newPlace(len(image))
	if !lazy {
		place = filled
	}
	c := Config{
		Size: int64(len(image)), Memory: 8 * testChunk, Ahead: 4 * testChunk,
		Verify: func(index int, chunk []byte) error {
			if sha256.Sum256(chunk) != sums[index] {
				return errors.New("wrong")
			}
			return nil
		},
	}
	var from Source = flipping{source}
	if streamed {
		from = streaming{flipping{source}}
	}
	s, ctx, stop := start(t, c, from, place)
	defer stop()
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			for range 40 {
				offset := chance(len(image) - 1)
				length := 1 + chance(min(len(image)-offset, 3*testChunk))
				if err := s.Await(ctx, int64(offset), int64(length)); err != nil {
					t.Error(err)
				}
				if parts, release := s.Lend(int64(offset), int64(length)); parts != nil {
					if !bytes.Equal(slices.Concat(parts...), image[offset:offset+length]) {
						t.Errorf("Lend(%d, %d) gave other bytes than those of the image", offset, length)
					}
					release()
				} else {
					read(t, ctx, s, image, offset, length)
				}
			}
		})
	}
	if !lazy {
		if err := s.Fill(ctx); err != nil {
			t.Errorf("Fill() = %v, want nil", err)
		}
	}
	all.Wait()
	if lazy {
		return
	}
	if !bytes.Equal(filled.data[:len(image)], image) {
		t.Error("the place holds something else than the image")
	}
	h := sha256.New()
	if err := s.Hash(ctx, h); err != nil {
		t.Error(err)
	}
	if want := sha256.Sum256(image); !bytes.Equal(h.Sum(nil), want[:]) {
		t.Error("Hash() read something else than the image")
	}
	if st := s.Stats(); st.Present != st.Size || st.Size != int64(len(image)) {
		t.Errorf("Stats() = %+v after Fill, want all of %d bytes present", st, len(image))
	}
}

// errFlipped makes flipping keep the bytes that the function wrote.
var errFlipped = errors.New("flipped")

// flipping is a server that sends wrong bytes without a word.
type flipping struct{ *server }

func (f flipping) ReadAt(ctx context.Context, p []byte, offset int64) (int, error) {
	n, err := f.server.ReadAt(ctx, p, offset)
	if err == errFlipped {
		return len(p), nil
	}
	return n, err
}

// streaming is a flipping server that gives many parts by one request.
type streaming struct{ flipping }

func (s streaming) ReadInto(ctx context.Context, offset, length int64, next func() ([]byte, error)) error {
	for length > 0 {
		p, err := next()
		if err != nil {
			return err
		}
		n, err := s.ReadAt(ctx, p, offset)
		if err != nil {
			return err
		}
		offset, length = offset+int64(n), length-int64(n)
	}
	return nil
}

// A wrong chunk is fetched from elsewhere, and never delivered.
func TestWrongChunk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		image := pattern(3 * testChunk)
		source, told := &server{image: image}, &events{}
		var wrong int
		c := Config{Size: int64(len(image)), Report: told.report, Verify: func(index int, chunk []byte) error {
			if index == 1 && wrong < 4 {
				wrong++
				return errors.New("not the manifest's")
			}
			return nil
		}}
		s, ctx, stop := start(t, c, source, newPlace(len(image)))
		defer stop()
		began := time.Now()
		read(t, ctx, s, image, 0, len(image))
		if took := time.Since(began); took != 0+again+2*again+4*again {
			t.Errorf("it took %v, want an attempt at once, and three after waits that double", took)
		}
		if want := slices.Repeat([]int64{testChunk}, 4); !slices.Equal(source.distrusted, want) {
			t.Errorf("the source was told of wrong bytes at %d, want %d", source.distrusted, want)
		}
		if got := told.kinds(); !slices.Equal(got[:4], slices.Repeat([]string{"stream.Wrong"}, 4)) {
			t.Errorf("told %v, want stream.Wrong four times", got)
		}
		if st := s.Stats(); st.Wrong != 4 {
			t.Errorf("Stats().Wrong = %d, want 4", st.Wrong)
		}
	})
}

// An outage of a day is waited out; that it waits and goes on is said once each.
func TestOutage(t *testing.T) {
	for _, tt := range []struct {
		name  string
		cause error // of each read; nil for none that ends before the outage does
	}{{"the source waits", nil}, {"the source fails", errors.New("refused")}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				image := pattern(20 * testChunk)
				told := &events{}
				until := time.Now().Add(24 * time.Hour)
				source := &server{image: image, before: func(ctx context.Context, _ []byte, _ int64) error {
					if time.Now().Before(until) && tt.cause != nil {
						return tt.cause
					}
					return sleep(ctx, time.Until(until))
				}}
				s, ctx, stop := start(t, Config{Size: int64(len(image)), Report: told.report}, source, newPlace(len(image)))
				defer stop()
				var all sync.WaitGroup
				for i := range 10 {
					all.Go(func() { read(t, ctx, s, image, 2*i*testChunk, 100) })
				}
				all.Wait()
				if late := time.Since(until); late > longest {
					t.Errorf("the last read was answered %v after the server was back", late)
				}
				if got, want := told.kinds(), []string{"stream.Waiting", "stream.GoingOn"}; !slices.Equal(got, want) {
					t.Errorf("told %v, want %v", got, want)
				}
				if w := told.all[0].(Waiting); !errors.Is(w.Cause, tt.cause) {
					t.Errorf("the cause is %v, want %v", w.Cause, tt.cause)
				}
			})
		})
	}
}

// As long as somebody waits the system does not go on, and then it is told since when the one waited who waited for longest.
func TestSomebodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		image := pattern(20 * testChunk)
		told := &events{}
		began := time.Now()
		source := &server{image: image, before: func(ctx context.Context, _ []byte, offset int64) error {
			return sleep(ctx, time.Until(began.Add(time.Duration(1+offset/testChunk)*time.Minute)))
		}}
		s, ctx, stop := start(t, Config{Size: int64(len(image)), Report: told.report, Ahead: -1}, source, newPlace(len(image)))
		defer stop()
		var all sync.WaitGroup
		for _, chunk := range []int{0, 2} {
			all.Go(func() { read(t, ctx, s, image, chunk*testChunk, 100) })
		}
		all.Wait()
		want := []string{"stream.Waiting", "stream.GoingOn"}
		if got := told.kinds(); !slices.Equal(got, want) {
			t.Fatalf("told %v, want %v", got, want)
		}
		if got := told.all[1].(GoingOn).After; got != 3*time.Minute {
			t.Errorf("told of going on after %v, want 3m0s", got)
		}
	})
}

// A place that fails is given up; reads go on with the source.
func TestPlaceFails(t *testing.T) {
	broken := io.ErrClosedPipe
	for _, tt := range []struct {
		name  string
		spoil func(*memory)
	}{
		{"writing", func(m *memory) { m.write = broken }},
		{"reading", func(m *memory) { m.read = broken }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			image, told, place := pattern(8*testChunk), &events{}, newPlace(8*testChunk)
			s, ctx, _ := start(t, Config{Size: int64(len(image)), Memory: 1, Report: told.report}, &server{image: image}, place)
			read(t, ctx, s, image, 0, len(image)/2)
			place.mutex.Lock()
			tt.spoil(place)
			place.mutex.Unlock()
			s.forget()
			for range 2 {
				read(t, ctx, s, image, 0, len(image))
			}
			if err := s.Fill(ctx); !errors.Is(err, broken) {
				t.Errorf("Fill() = %v, want %v", err, broken)
			}
			if got, want := told.kinds(), []string{"stream.PlaceFailed"}; !slices.Equal(got, want) {
				t.Errorf("told %v, want %v", got, want)
			}
		})
	}
}
