package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/liveboot/liveboot/pkg/kernel/block"
)

// firstPart is what is read of an answer before it counts as begun, in bytes: little enough to come with its header.
const firstPart = 4096

// loading is chunks that lie one behind the other on their way, by one request or, one after the other, by several.
type loading struct {
	store  *Store
	chunks []*chunk // that are still to come
	memory []byte   // of the first of them; nil while it has none
	came   int64    // bytes of the first that are in memory
	part   int64    // bytes that are being read, behind those
	rest   int64    // bytes of the request, behind those

	streams bool          // the request gives its bytes as they come
	asked   time.Time     // when it was made
	began   time.Time     // when its first part was there; zero before
	idle    time.Duration // for which it was not read since then
}

// load fetches chunks, verifies them, hands them out, and writes them to their place.
func (s *Store) load(ctx context.Context, chunks []*chunk) {
	l := &loading{store: s, chunks: chunks, streams: s.streamer != nil && chunks[0].attempts == 0}
	var err error
	for err == nil && len(l.chunks) > 0 {
		err = l.request(ctx)
	}
	if l.memory != nil {
		s.giveMemory(l.memory)
	}
	if err != nil && ctx.Err() == nil {
		for _, k := range l.chunks {
			s.failed(k, err)
		}
	}
}

// request waits for its turn, and brings as much as may come then.
func (l *loading) request(ctx context.Context) error {
	part, err := l.store.turn(ctx, l)
	if err != nil {
		return err
	}
	offset := l.chunks[0].index*l.store.config.ChunkSize + l.came
	l.rest, l.asked, l.began, l.idle = part, time.Now(), time.Time{}, 0
	next := func() ([]byte, error) { return l.next(ctx) }
	if l.streams {
		err = l.store.streamer.ReadInto(ctx, offset, part, next)
	} else {
		err = l.store.readInto(ctx, offset, part, next)
	}
	if err != nil {
		l.part = 0
		return err
	}
	if l.rest > 0 {
		return fmt.Errorf("read %d bytes at %d: %d of them did not come: %w", part, offset, l.rest, io.ErrUnexpectedEOF)
	}
	l.arrived(ctx)
	l.measured(part)
	return nil
}

// readInto reads by as many requests as there are parts.
func (s *Store) readInto(ctx context.Context, offset, length int64, next func() ([]byte, error)) error {
	for length > 0 {
		p, err := next()
		if err != nil {
			return err
		}
		n, err := s.source.ReadAt(ctx, p, offset)
		if err == nil && n < len(p) {
			err = fmt.Errorf("read %d bytes at %d: got %d: %w", len(p), offset, n, io.ErrUnexpectedEOF)
		}
		if err != nil {
			return err
		}
		offset, length = offset+int64(n), length-int64(n)
	}
	return nil
}

// next takes note that the last part has come, and returns where the next one goes.
func (l *loading) next(ctx context.Context) ([]byte, error) {
	now := time.Now()
	if l.began.IsZero() && l.part > 0 {
		l.began = now
	}
	l.arrived(ctx)
	if l.rest == 0 {
		return nil, errors.New("more came than was asked for")
	}
	if l.memory == nil {
		var err error
		if l.memory, err = l.store.takeMemory(ctx); err != nil {
			return nil, err
		}
	}
	l.part = min(l.store.length(l.chunks[0].index)-l.came, l.rest)
	if l.streams && l.began.IsZero() {
		l.part = min(l.part, firstPart)
	}
	l.rest -= l.part
	if !l.began.IsZero() {
		l.idle += time.Since(now)
	}
	return l.memory[l.came : l.came+l.part], nil
}

// arrived takes note that the last part has come. A chunk that is complete is delivered before the next byte is read.
func (l *loading) arrived(ctx context.Context) {
	k := l.chunks[0]
	l.came += l.part
	l.store.brought(k, l.part)
	l.part = 0
	if l.came < l.store.length(k.index) {
		return
	}
	memory := l.memory
	l.chunks, l.memory, l.came = l.chunks[1:], nil, 0
	l.store.deliver(k, memory)
}

// measured takes note of how long n bytes took. Of a source that does not give them as they come, the way of the request is a part of that.
func (l *loading) measured(n int64) {
	now := time.Now()
	s := l.store
	s.mutex.Lock()
	defer s.mutex.Unlock()
	switch {
	case !l.streams:
		s.line.brought(n, now.Sub(l.asked))
	case l.began.IsZero():
		s.line.answered(now.Sub(l.asked))
	default:
		s.line.answered(l.began.Sub(l.asked))
		s.line.brought(n-firstPart, now.Sub(l.began)-l.idle)
	}
}

// turn waits until l may use the line, and says for how many bytes.
func (s *Store) turn(ctx context.Context, l *loading) (part int64, err error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if l.class() == background && s.urgent() {
		s.leave()
		for ctx.Err() == nil && (l.class() == background && s.urgent() || s.active >= s.config.Connections) {
			s.turns.Wait()
		}
		s.active++
	}
	for _, k := range l.chunks {
		part += s.length(k.index)
	}
	part -= l.came
	if l.class() == background {
		part = min(part, s.line.piece())
	}
	return part, context.Cause(ctx)
}

// leave gives a connection back.
func (s *Store) leave() {
	s.active--
	s.work.Signal()
	s.turns.Broadcast()
}

// class is how urgent the most urgent of the chunks is.
func (l *loading) class() class {
	c := background
	for _, k := range l.chunks {
		c = min(c, k.class)
	}
	return c
}

// brought takes note of bytes that came.
func (s *Store) brought(k *chunk, n int64) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.delivered.Fetched += n
	if k.class == demanded {
		s.delivered.Asked += n
	}
}

// deliver verifies a chunk that has come, hands it out, and writes it to its place.
func (s *Store) deliver(k *chunk, memory []byte) {
	n := s.length(k.index)
	if s.config.Verify != nil {
		if err := s.config.Verify(int(k.index), memory[:n]); err != nil {
			s.giveMemory(memory)
			s.failed(k, &wrongError{err})
			return
		}
	}
	clear(memory[n:]) // behind the image
	s.loaded(k, memory)
	if s.place != nil {
		s.write(k)
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	k.done = k.done || k.class == background
	s.release(k)
}

// loaded hands a chunk to those who wait for it. It is pinned for its way to its place.
func (s *Store) loaded(k *chunk, memory []byte) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.delivered.Chunks++
	s.trouble = nil
	if k.class == demanded {
		s.asked = time.Now()
		s.wants.Served = s.asked
	}
	k.loaded, k.data, k.attempts = true, memory, 0
	k.pins++
	s.ended(k)
	close(k.ready)
}

// ended takes note that no connection has k any more.
func (s *Store) ended(k *chunk) {
	k.fetching = false
	s.busy[k.class]--
	if s.busy[k.class] == 0 {
		s.turns.Broadcast()
		s.work.Signal()
	}
}

// write brings a chunk to its place. A place that fails gets no more: the image is then as if it had none, but for what is there.
func (s *Store) write(k *chunk) {
	s.mutex.Lock()
	broken := s.broken != nil
	s.mutex.Unlock()
	if broken {
		return
	}
	n := (s.length(k.index) + block.Alignment - 1) / block.Alignment * block.Alignment
	_, err := s.place.WriteAt(k.data[:n], k.index*s.config.ChunkSize)
	if err != nil {
		s.giveUp(fmt.Errorf("write %d bytes at %d: %w", n, k.index*s.config.ChunkSize, err))
		return
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.setHere(k.index, true)
}

// giveUp takes note that the place has failed.
func (s *Store) giveUp(err error) {
	s.mutex.Lock()
	first := s.broken == nil
	if first {
		s.broken = err
		if s.config.Available != nil {
			s.cache.most = max(s.cache.most, DefaultCache/s.config.ChunkSize)
		}
	}
	s.filled.Broadcast()
	s.mutex.Unlock()
	if first {
		s.tell(PlaceFailed{Cause: err})
	}
}
