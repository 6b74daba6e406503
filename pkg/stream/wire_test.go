package stream

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// wire is a Streamer at the end of a line: an answer begins after latency, and all answers share rate, in bytes per second.
type wire struct {
	image   []byte
	latency time.Duration
	rate    float64
	line    chan struct{} // who has it sends

	mutex    sync.Mutex
	requests []request
	busy     int // requests that are under way
	most     int // and were at a time
}

// request is what was asked for, in bytes.
type request struct{ offset, length int64 }

func newWire(image []byte, latency time.Duration, rate float64) *wire {
	return &wire{image: image, latency: latency, rate: rate, line: make(chan struct{}, 1)}
}

func (w *wire) ReadInto(ctx context.Context, offset, length int64, next func() ([]byte, error)) error {
	w.mutex.Lock()
	w.requests = append(w.requests, request{offset, length})
	w.busy++
	w.most = max(w.most, w.busy)
	w.mutex.Unlock()
	defer func() {
		w.mutex.Lock()
		defer w.mutex.Unlock()
		w.busy--
	}()
	if err := sleep(ctx, w.latency); err != nil {
		return err
	}
	for length > 0 {
		p, err := next()
		if err != nil {
			return err
		}
		for len(p) > 0 {
			n := copy(p[:min(len(p), 16<<10)], w.image[offset:])
			if err := w.send(ctx, n); err != nil {
				return err
			}
			p, offset, length = p[n:], offset+int64(n), length-int64(n)
		}
	}
	return nil
}

// send takes the time that n bytes take.
func (w *wire) send(ctx context.Context, n int) error {
	w.line <- struct{}{}
	defer func() { <-w.line }()
	return sleep(ctx, time.Duration(float64(n)/w.rate*float64(time.Second)))
}

func (w *wire) ReadAt(ctx context.Context, p []byte, offset int64) (int, error) {
	err := w.ReadInto(ctx, offset, int64(len(p)), func() ([]byte, error) { return p, nil })
	return len(p), err
}

// asked returns what was asked for, and forgets it.
func (w *wire) asked() []request {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	defer func() { w.requests = nil }()
	return w.requests
}

// lines are ways to a server: on the same network, far away, slow, and both.
var lines = []struct {
	name    string
	latency time.Duration
	rate    float64
}{
	{"near", 200 * time.Microsecond, 118e6},
	{"far", 50 * time.Millisecond, 118e6},
	{"far away", 300 * time.Millisecond, 118e6},
	{"slow", time.Millisecond, 2e6},
	{"far and slow", 50 * time.Millisecond, 2e6},
}

// What nobody waits for comes as fast as the line is, and so does what is read from the beginning to the end, but for the first moments.
func TestLineIsFull(t *testing.T) {
	whole := pattern(256 << 20)
	for _, tt := range lines {
		size := min(int(tt.rate*40), len(whole))
		image := whole[:size]
		full := time.Duration(float64(size) / tt.rate * float64(time.Second))
		for _, sequential := range []bool{false, true} {
			name, do := tt.name+", filled", func(t *testing.T, ctx context.Context, s *Store) error { return s.Fill(ctx) }
			if sequential {
				name, do = tt.name+", read", readThrough
			}
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWire(image, tt.latency, tt.rate)
					s, ctx, stop := start(t, Config{Size: int64(size), ChunkSize: DefaultChunkSize, Ahead: DefaultAhead}, w, newPlace(size))
					defer stop()
					began := time.Now()
					if err := do(t, ctx, s); err != nil {
						t.Fatal(err)
					}
					took := time.Since(began)
					share := full.Seconds() / took.Seconds()
					t.Logf("%.2f of the line, %d requests for %d chunks", share, len(w.asked()), s.chunks)
					least := 0.8
					switch {
					case tt.latency < 100*time.Millisecond && sequential:
						least = 0.75
					case tt.latency < 100*time.Millisecond:
					case sequential:
						least = 0.15 // what is fetched ahead is a quarter of what fits on such a line
					default:
						least = 0.5 // longer requests would make those wait who read
					}
					if share < least {
						t.Errorf("it took %v, which is %.2f of the line's rate, want %.2f or more", took, share, least)
					}
				})
			})
		}
	}
}

// readThrough reads from the beginning to the end as the kernel does, several requests at a time.
func readThrough(t *testing.T, ctx context.Context, s *Store) error {
	const request, under = 128 << 10, 4
	turns := make(chan struct{}, under)
	var all sync.WaitGroup
	for offset := int64(0); offset < s.config.Size; offset += request {
		turns <- struct{}{}
		all.Go(func() {
			if err := s.Await(ctx, offset, request); err != nil {
				t.Error(err)
			}
			if parts, release := s.Lend(offset, min(request, s.config.Size-offset)); parts != nil {
				release()
			}
			<-turns
		})
	}
	all.Wait()
	return nil
}
