package stream

import (
	"context"
	"errors"
	"io"
	"time"
)

// errBeyond is a read that ends behind the image.
var errBeyond = errors.New("the read ends behind the image")

// Await returns when the length bytes from offset on are there, as far as they belong to the image. Its error is the cause of ctx's end, or
// why they are refused.
func (s *Store) Await(ctx context.Context, offset, length int64) error {
	if offset < 0 || length <= 0 || offset >= s.chunks*s.config.ChunkSize {
		return errBeyond
	}
	first, last := offset/s.config.ChunkSize, s.chunks-1
	if end := offset + length - 1; end >= 0 {
		last = min(last, end/s.config.ChunkSize)
	}
	s.mutex.Lock()
	var missing []*chunk
	for i := first; i <= last; i++ {
		if k := s.ask(i); k != nil && !k.loaded {
			missing = append(missing, k)
		}
	}
	s.mutex.Unlock()
	for _, k := range missing {
		if err := s.await(ctx, k); err != nil {
			return err
		}
	}
	return nil
}

// ask has a chunk fetched, and those that will follow it. It returns nil if the chunk is in its place.
func (s *Store) ask(index int64) *chunk {
	var k *chunk
	if !s.isHere(index) {
		if k = s.want(index, demanded); !k.loaded {
			s.asked = time.Now()
			s.neighbours(index)
		}
	}
	s.expect(index)
	return k
}

// await waits until k was loaded, and says so when it takes long.
func (s *Store) await(ctx context.Context, k *chunk) (err error) {
	select {
	case <-k.ready:
		return nil
	default:
	}
	began := time.Now()
	notice := time.AfterFunc(s.config.Notice, func() { s.noteWaiting(began) })
	defer func() {
		if !notice.Stop() {
			s.noteGoingOn(err == nil)
		}
	}()
	refused := s.waits()
	defer s.waitsNoMore()
	select {
	case <-k.ready:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-refused:
	}
	if err := s.refusal(); err != nil {
		return err
	}
	select {
	case <-k.ready:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// ReadAt fills p with what is at offset; behind the image, up to the end of its last chunk, are zeros. It waits for what is not there. Its
// error is the cause of ctx's end, or why it is refused, and nothing else for what belongs to the image.
func (s *Store) ReadAt(ctx context.Context, p []byte, offset int64) error {
	if offset < 0 || offset > s.chunks*s.config.ChunkSize-int64(len(p)) {
		return errBeyond
	}
	for len(p) > 0 {
		n, err := s.readSome(ctx, p, offset)
		if err != nil {
			return err
		}
		p, offset = p[n:], offset+int64(n)
	}
	return nil
}

// Lend returns the memory that holds the length bytes from offset on, in parts one behind the other, where all of them are in memory; they stay
// as they are until release is called. Otherwise it returns nil.
func (s *Store) Lend(offset, length int64) (parts [][]byte, release func()) {
	if offset < 0 || length <= 0 || offset > s.chunks*s.config.ChunkSize-length {
		return nil, nil
	}
	first, last := offset/s.config.ChunkSize, (offset+length-1)/s.config.ChunkSize
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for i := first; i <= last; i++ {
		if k := s.known[i]; k == nil || !k.loaded {
			return nil, nil
		}
	}
	lent := make([]*chunk, 0, last-first+1)
	for i := first; i <= last; i++ {
		k := s.known[i]
		if !s.pin(k) {
			for _, k := range lent {
				s.release(k)
			}
			return nil, nil
		}
		lent = append(lent, k)
		from, to := max(offset-i*s.config.ChunkSize, 0), min(offset+length-i*s.config.ChunkSize, s.config.ChunkSize)
		k.lent += to - from
		k.done = k.done || k.lent >= s.config.ChunkSize // who reads one after the other goes on to the next
		parts = append(parts, k.data[from:to])
	}
	return parts, func() {
		s.mutex.Lock()
		defer s.mutex.Unlock()
		for _, k := range lent {
			s.release(k)
		}
	}
}

// readSome reads what lies at one place: in memory, a chunk at most.
func (s *Store) readSome(ctx context.Context, p []byte, offset int64) (int, error) {
	for ctx.Err() == nil {
		index := offset / s.config.ChunkSize
		from := offset - index*s.config.ChunkSize
		s.mutex.Lock()
		k := s.known[index]
		switch {
		case k != nil && k.loaded:
			if !s.pin(k) {
				s.mutex.Unlock()
				continue
			}
			s.expect(index)
			s.mutex.Unlock()
			n := copy(p, k.data[from:])
			s.unpin(k)
			return n, nil
		case s.isHere(index):
			end := index + 1
			for end < s.chunks && end*s.config.ChunkSize < offset+int64(len(p)) && s.isHere(end) {
				end++
			}
			s.expect(index)
			s.mutex.Unlock()
			n := int(min(int64(len(p)), end*s.config.ChunkSize-offset))
			if s.readPlace(p[:n], offset, index, end) {
				return n, nil
			}
		default:
			k = s.ask(index)
			k.pins++ // once it is there, it stays until it is copied, however little memory there is
			s.mutex.Unlock()
			err := s.await(ctx, k)
			n := 0
			if err == nil {
				n = copy(p, k.data[from:])
			}
			s.unpin(k)
			return n, err
		}
	}
	return 0, context.Cause(ctx)
}

// readPlace reads from the place. Where that fails, the chunks up to end are as if they had not come yet, and it is never asked for them
// again.
func (s *Store) readPlace(p []byte, offset, index, end int64) bool {
	// What lies behind the image in its last chunk need not be in the place.
	inside := min(int64(len(p)), max(s.config.Size-offset, 0))
	clear(p[inside:])
	n, err := s.place.ReadAt(p[:inside], offset)
	if err == nil && int64(n) < inside {
		err = io.ErrUnexpectedEOF
	}
	if err == nil || int64(n) == inside {
		return true
	}
	s.mutex.Lock()
	for i := index; i < end; i++ {
		s.setHere(i, false)
	}
	s.mutex.Unlock()
	s.giveUp(err)
	return false
}
