package daemon

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch"
)

// How long it is waited before a file that has changed is looked at again: at first, since a server behind a balancer may have the old one,
// and then.
const (
	lookSoon  = time.Second
	lookAgain = 15 * time.Second
)

// source is an image at its servers, as a stream.Source. It outlives that the file becomes another one: reads wait until the old one is back.
type source struct {
	line *line
	// open asks for the image anew, first at the mirror that has this number, of as many as there are.
	open func(first int) (*fetch.Ranges, error)
	// verified tells that every part is, so that any file of the right size may be the old one. Otherwise its validator must be that of the old
	// one.
	verified bool
	// changed is told that the file is another one, while the reads wait, and with nil that they go on.
	changed func(cause error)
	again   time.Duration // lookAgain, but in tests
	turn    chan struct{} // who holds what is in it looks for the file

	mutex sync.Mutex
	image *fetch.Ranges
}

func newSource(image *fetch.Ranges, l *line) *source {
	return &source{line: l, image: image, again: lookAgain, turn: make(chan struct{}, 1), changed: func(error) {}}
}

// ReadAt implements stream.Source.
func (s *source) ReadAt(ctx context.Context, p []byte, offset int64) (int, error) {
	for {
		image := s.current()
		n, err := image.ReadAtContext(ctx, p, offset)
		var changed *fetch.ChangedError
		switch {
		case err == nil:
			s.line.works()
			return n, nil
		case ctx.Err() != nil:
			return n, context.Cause(ctx)
		case !errors.As(err, &changed):
			if s.current() == image { // otherwise it was closed beside this read
				s.line.fails(err)
			}
			return n, err
		}
		if err := s.replace(ctx, image, err); err != nil {
			return 0, err
		}
	}
}

// Distrust implements stream.Distruster.
func (s *source) Distrust(offset, length int64, cause error) {
	s.current().Distrust(offset, length, cause)
}

// Close gives the connections up.
func (s *source) Close() error { return s.current().Close() }

func (s *source) current() *fetch.Ranges {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.image
}

// replace waits until one of the servers has the file again that old was, or may have been.
func (s *source) replace(ctx context.Context, old *fetch.Ranges, cause error) error {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if s.current() != old {
		return nil
	}
	s.changed(cause)
	pause := min(lookSoon, s.again)
	for n := 0; ; n++ {
		if err := sleep(ctx, pause); err != nil {
			return err
		}
		pause = s.again
		next, err := s.open(n)
		if err != nil {
			continue // it is the same trouble, or a new one; the old file is what is waited for
		}
		if next.Size != old.Size || !s.verified && !old.SameFile(next) {
			_ = next.Close() // nothing was read
			continue
		}
		s.mutex.Lock()
		s.image = next
		s.mutex.Unlock()
		_ = old.Close() // it gives nothing any more
		s.changed(nil)
		return nil
	}
}

// sleep waits for d. Its error is the cause of ctx's end.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
