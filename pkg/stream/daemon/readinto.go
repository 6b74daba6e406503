package daemon

import (
	"context"
)

// ReadInto implements stream.Streamer. What did not come is asked for again by ReadAt, which finds out why.
func (s *source) ReadInto(ctx context.Context, offset, length int64, next func() ([]byte, error)) error {
	err := s.current().ReadInto(ctx, offset, length, next)
	switch {
	case err == nil:
		s.line.works()
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	}
	return err
}
