package stream

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

const testChunk = 8192

// pattern is an image in which every place is another one.
func pattern(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// server is a Source whose faults are told by a function.
type server struct {
	image []byte
	// before is called for each read; what it returns takes the read's place, unless it is nil.
	before func(ctx context.Context, p []byte, offset int64) error
	took   time.Duration // by each read

	mutex      sync.Mutex
	reads      []int64 // offsets
	busy, most int
	distrusted []int64
}

func (s *server) ReadAt(ctx context.Context, p []byte, offset int64) (int, error) {
	s.mutex.Lock()
	s.reads = append(s.reads, offset)
	s.busy++
	s.most = max(s.most, s.busy)
	s.mutex.Unlock()
	defer func() {
		s.mutex.Lock()
		defer s.mutex.Unlock()
		s.busy--
	}()
	if err := sleep(ctx, s.took); err != nil {
		return 0, err
	}
	if s.before != nil {
		if err := s.before(ctx, p, offset); err != nil {
			return 0, err
		}
	}
	return copy(p, s.image[offset:]), nil
}

func (s *server) Distrust(offset, _ int64, _ error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.distrusted = append(s.distrusted, offset)
}

// asked returns the offsets that were read, and forgets them.
func (s *server) asked() []int64 {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	defer func() { s.reads = nil }()
	return slices.Clone(s.reads)
}

// memory is a Place that fails when it is told to.
type memory struct {
	mutex       sync.Mutex
	data        []byte
	write, read error
	synced      int
}

func newPlace(size int) *memory {
	return &memory{data: bytes.Repeat([]byte{0xee}, (size+4095)/4096*4096)}
}

func (m *memory) ReadAt(p []byte, offset int64) (int, error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if m.read != nil {
		return 0, m.read
	}
	return copy(p, m.data[offset:]), nil
}

func (m *memory) WriteAt(p []byte, offset int64) (int, error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if m.write != nil {
		return 0, m.write
	}
	return copy(m.data[offset:], p), nil
}

func (m *memory) Sync() error { m.synced++; return nil }

// events keeps what is reported.
type events struct {
	mutex sync.Mutex
	all   []Event
}

func (e *events) report(event Event) {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	e.all = append(e.all, event)
}

// kinds returns the types of what was reported.
func (e *events) kinds() (kinds []string) {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	for _, event := range e.all {
		kinds = append(kinds, fmt.Sprintf("%T", event))
	}
	return kinds
}

// start runs a Store until the test, or what it returns, ends it.
func start(t testing.TB, c Config, source Source, place Place) (s *Store, ctx context.Context, stop func()) {
	t.Helper()
	if c.ChunkSize == 0 {
		c.ChunkSize = testChunk
	}
	if c.Ahead == 0 {
		c.Ahead = -1
	}
	s, err := New(c, source, place)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Run(ctx)
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		<-done
		if err := s.Close(); err != nil {
			t.Errorf("Close() = %v, want nil", err)
		}
		if s.cache.held != 0 {
			t.Errorf("%d buffers are left behind", s.cache.held)
		}
	})
	t.Cleanup(stop)
	return s, ctx, stop
}

// read reads, and compares with the image.
func read(t testing.TB, ctx context.Context, s *Store, image []byte, offset, length int) {
	t.Helper()
	p := make([]byte, length)
	if err := s.ReadAt(ctx, p, int64(offset)); err != nil {
		t.Errorf("ReadAt(%d, %d) = %v, want nil", offset, length, err)
	} else if want := image[offset : offset+length]; !bytes.Equal(p, want) {
		t.Errorf("ReadAt(%d, %d) gave other bytes than those of the image", offset, length)
	}
}

// readToRest reads, and waits until the chunks are not used any more: who reads is told that one has come while it is still on its way to its
// place, or to rest.
func readToRest(t testing.TB, ctx context.Context, s *Store, image []byte, offset, length int) {
	t.Helper()
	read(t, ctx, s, image, offset, length)
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for i := int64(offset) / s.config.ChunkSize; i*s.config.ChunkSize < int64(offset+length); i++ {
		for s.known[i] != nil && s.known[i].pins > 0 {
			s.space.Wait()
		}
	}
}
