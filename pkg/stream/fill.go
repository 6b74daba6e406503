package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/liveboot/liveboot/pkg/kernel/block"
)

const (
	// quiet is how long nobody must have waited for a chunk before the next one is filled in: who reads one thing will read another. That
	// lasts for patience at most, so that a system that reads all the time gets its image too.
	quiet    = 100 * time.Millisecond
	patience = time.Second
	// calm to calmest is the same while the system starts, which it does for startup at most: its processor has enough to do, and there may be
	// only one. A slow machine pauses for longer: in between it is a quarter of the time that it has been starting.
	calm    = 5 * time.Second
	calmest = 15 * time.Second
	startup = 3 * time.Minute
	// hashPiece is what is hashed at a time, in bytes.
	hashPiece = 256 << 10
)

// Fill brings what is not there yet to the place, in the order of the image, while Run runs. It returns nil when all is there, and
// otherwise the cause of ctx's end, or why the place failed.
func (s *Store) Fill(ctx context.Context) error {
	if s.place == nil {
		return errors.New("fill an image: it has no place")
	}
	stop := context.AfterFunc(ctx, s.wake)
	defer stop()
	began, given := time.Now(), int64(0)
	for next := int64(0); next < s.chunks; {
		after, asked, err := s.fillIn(ctx, next, began)
		if err != nil {
			return err
		}
		next, given = after, given+asked
		if s.config.Rate <= 0 {
			continue
		}
		due := began.Add(time.Duration(float64(given) / float64(s.config.Rate) * float64(time.Second)))
		if err := sleep(ctx, time.Until(due)); err != nil {
			return err
		}
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for s.count < s.chunks {
		if err := s.stopped(ctx); err != nil {
			return err
		}
		s.filled.Wait()
	}
	return s.stopped(ctx)
}

// stopped says why filling ends before the image is complete.
func (s *Store) stopped(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if s.broken != nil {
		return fmt.Errorf("fill the image's place: %w", s.broken)
	}
	return nil
}

// fillIn has the chunks fetched that are not there, from a chunk on, as many as one request is for, when their turn has come. It returns the
// chunk to go on with, and how many bytes were asked for. Filling began at a time.
func (s *Store) fillIn(ctx context.Context, from int64, began time.Time) (next, asked int64, err error) {
	for since := time.Now(); ; {
		s.mutex.Lock()
		// The next ones are ready when a connection is, so that the line is not idle between two.
		for len(s.queues[background]) > 0 && ctx.Err() == nil && s.broken == nil {
			s.filled.Wait()
		}
		for from < s.chunks && s.isHere(from) {
			from++
		}
		if err := s.stopped(ctx); err != nil || from == s.chunks {
			s.mutex.Unlock()
			return from, 0, err
		}
		wait := min(time.Until(s.asked.Add(quiet)), time.Until(since.Add(patience)))
		if starting := time.Since(began); starting < startup {
			wait = min(time.Until(s.asked.Add(max(calm, min(starting/4, calmest)))), startup-starting)
		}
		if wait <= 0 {
			next, asked = s.wantMissing(from)
			s.mutex.Unlock()
			return next, asked, nil
		}
		s.mutex.Unlock()
		if err := sleep(ctx, wait); err != nil {
			return from, 0, err
		}
	}
}

// wantMissing has those chunks from one on fetched that are not there, as many as one request is for.
func (s *Store) wantMissing(from int64) (next, asked int64) {
	most := s.longest(background)
	if s.config.Rate > 0 {
		most = max(min(most, int64(float64(s.config.Rate)*pieceTime.Seconds())/s.config.ChunkSize), 1)
	}
	for next = from; next < s.chunks && most > 0; next++ {
		if s.isHere(next) {
			continue
		}
		s.want(next, background)
		asked += s.length(next)
		most--
	}
	return next, asked
}

// Hash writes the whole image to w, read back from its place: what the digest is of is what will be read from now on. It takes no more than
// half of a processor's time.
func (s *Store) Hash(ctx context.Context, w io.Writer) error {
	b, err := block.Buffer(hashPiece)
	if err != nil {
		return err
	}
	defer block.Free(b)
	for offset := int64(0); offset < s.config.Size; {
		began := time.Now()
		piece := b[:min(hashPiece, s.config.Size-offset)]
		if err := s.readBack(ctx, piece, offset); err != nil {
			return err
		}
		if _, err := w.Write(piece); err != nil {
			return err
		}
		offset += int64(len(piece))
		if err := sleep(ctx, time.Since(began)); err != nil {
			return err
		}
	}
	return nil
}

// readBack is ReadAt past what is in memory: what is in its place comes from there, and from nowhere else.
func (s *Store) readBack(ctx context.Context, p []byte, offset int64) error {
	first, end := offset/s.config.ChunkSize, (offset+int64(len(p))-1)/s.config.ChunkSize+1
	s.mutex.Lock()
	here := true
	for i := first; i < end; i++ {
		here = here && s.isHere(i)
	}
	s.mutex.Unlock()
	if !here {
		return s.ReadAt(ctx, p, offset)
	}
	if s.readPlace(p, offset, first, end) {
		return nil
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return fmt.Errorf("read the image back from its place: %w", s.broken)
}

// isComplete returns nil if all of the image is in its place.
func (s *Store) isComplete() error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	switch {
	case s.broken != nil:
		return fmt.Errorf("the image's place has failed: %w", s.broken)
	case s.count < s.chunks:
		return fmt.Errorf("%d of the %d chunks of the image are in their place: call Fill before", s.count, s.chunks)
	}
	return nil
}

// sleep waits for d. Its error is the cause of ctx's end.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
