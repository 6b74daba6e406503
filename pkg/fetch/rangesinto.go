package fetch

import (
	"context"
	"fmt"
)

// ReadInto reads length bytes at offset, all of them within the image, by one request where nothing goes wrong. They go to what next
// returns, which is called again when that is full, by the same goroutine: what it returned before has its bytes then. An error of next ends
// the reading, and is returned. Otherwise it is as ReadAtContext.
func (r *Ranges) ReadInto(ctx context.Context, offset, length int64, next func() ([]byte, error)) error {
	if offset < 0 || length < 0 || offset > r.Size-length {
		return fmt.Errorf("read %v: %d bytes at %d are not within its %d", r.URL, length, offset, r.Size)
	}
	if length == 0 {
		return nil
	}
	t, stop := r.reading(ctx)
	defer stop()
	t.first, t.length, t.next = offset, length, next
	if err := r.start(t); err != nil {
		return err
	}
	defer r.end(t)
	if err := t.run(); err != nil {
		return fmt.Errorf("read byte %d: %w", t.offset(), err)
	}
	return nil
}
