package daemon

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch"
	"github.com/liveboot/liveboot/pkg/stream"
)

// How long it is waited before a file that has changed is looked at again: at first, since a server behind a balancer may have the old one,
// and then.
const (
	lookSoon  = time.Second
	lookAgain = 15 * time.Second
)

// source is an image at its servers, as a stream.Source. Where every part is verified, it outlives that the file becomes another one: reads
// wait until there is a file again that may be the old one.
type source struct {
	line *line
	// open asks for the image anew. It is nil where nothing but the server's word tells whether the file is the old one.
	open func() (*fetch.Ranges, error)
	// changed is told that the file is another one, while the reads wait, and with nil that they go on.
	changed func(cause error)
	turn    chan struct{} // who holds what is in it looks for the file

	mutex sync.Mutex
	image *fetch.Ranges
}

func newSource(image *fetch.Ranges, l *line) *source {
	return &source{line: l, image: image, turn: make(chan struct{}, 1), changed: func(error) {}}
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
		case s.open == nil:
			return n, fmt.Errorf("%w: %w", stream.ErrChanged, err)
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

// replace waits until the servers have a file of the right size again, in place of old.
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
	for pause := lookSoon; ; pause = lookAgain {
		if err := sleep(ctx, pause); err != nil {
			return err
		}
		next, err := s.open()
		if err != nil {
			continue // it is the same trouble, or a new one; the old file is what is waited for
		}
		if next.Size != old.Size {
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
