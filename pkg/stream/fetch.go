package stream

import (
	"context"
	"errors"
	"time"
)

// again is the wait after a chunk failed for the second time in a row; it doubles up to longest. The first failure is followed by another
// attempt at once, which asks another server where there is one.
const (
	again   = time.Second
	longest = 15 * time.Second
)

// fetchAll fetches chunks until ctx ends.
func (s *Store) fetchAll(ctx context.Context) {
	for {
		chunks, quiet := s.next(ctx)
		if chunks == nil {
			return
		}
		s.load(ctx, chunks)
		s.mutex.Lock()
		s.leave()
		if quiet {
			s.filling--
		}
		s.mutex.Unlock()
	}
}

// next waits for chunks that are to be fetched; quiet tells that nobody waits for them yet. It returns none when ctx ends.
func (s *Store) next(ctx context.Context) (chunks []*chunk, quiet bool) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for ctx.Err() == nil {
		if chunks := s.pick(); chunks != nil {
			s.active++
			quiet = chunks[0].class == background
			if quiet {
				s.filling++
			}
			s.work.Signal() // there may be more
			return chunks, quiet
		}
		s.work.Wait()
	}
	return nil, false
}

// wrongError says that a chunk is not the one of the image.
type wrongError struct{ cause error }

func (e *wrongError) Error() string { return e.cause.Error() }
func (e *wrongError) Unwrap() error { return e.cause }

// failed takes note of a chunk that could not be fetched, and has it fetched again.
func (s *Store) failed(k *chunk, err error) {
	offset, n := k.index*s.config.ChunkSize, s.length(k.index)
	wrong := errors.As(err, new(*wrongError))
	if d, ok := s.source.(Distruster); wrong && ok {
		d.Distrust(offset, n, err)
	}
	s.mutex.Lock()
	s.ended(k)
	k.attempts++
	attempts := k.attempts
	if wrong {
		s.delivered.Wrong++
	}
	s.trouble = err
	if attempts == 1 {
		s.enqueue(k)
	} else {
		time.AfterFunc(min(again<<min(attempts-2, 8), longest), func() { s.retry(k) })
	}
	s.mutex.Unlock()
	if wrong {
		s.tell(Wrong{Offset: offset, Length: n, Attempts: attempts, Cause: err})
	}
}

func (s *Store) retry(k *chunk) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.enqueue(k)
}
