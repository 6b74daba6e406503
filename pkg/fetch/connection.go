package fetch

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/wire"
)

// A connection is one attempt to read a file.
type connection struct {
	*wire.Body
	ctx    context.Context
	cancel context.CancelCauseFunc
	guard  *guard

	pacer *pacer // nil: as fast as it can
	got   int64  // bytes
}

// open asks for a file, under the guard that the options ask for.
func open(ctx context.Context, f wire.File, p wire.Position, o Options) (*connection, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	c := &connection{ctx: ctx, cancel: cancel, guard: newGuard(o.SpeedTime, o.SpeedLimit, cancel), pacer: newPacer(o.LimitRate)}
	c.guard.start()
	body, err := f.Open(ctx, p)
	c.guard.stop(1) // the answer counts
	if err != nil {
		err = c.reason(err)
		cancel(nil)
		return nil, err
	}
	c.Body = body
	c.guard.total = 0 // the way to the first byte says nothing about those that follow
	return c, nil
}

// reason returns what ended the connection in the place of the cancellation that it led to.
func (c *connection) reason(err error) error {
	if cause := context.Cause(c.ctx); cause != nil {
		return cause
	}
	return err
}

// Read reads the file on, not faster than it may.
func (c *connection) Read(p []byte) (int, error) {
	if c.pacer != nil {
		p = p[:min(len(p), c.pacer.part)]
		if err := c.pacer.wait(c.ctx); err != nil {
			return 0, err
		}
	}
	c.guard.start()
	n, err := c.Body.Read(p)
	c.guard.stop(n)
	c.got += int64(n)
	c.pacer.read(n)
	if err != nil && err != io.EOF {
		err = c.reason(err)
	}
	return n, err
}

// end returns the offset behind the last byte that will come, -1 if that is not known.
func (c *connection) end() int64 {
	if c.End > 0 {
		return c.End
	}
	return c.Size
}

// slow reports whether the server was waited for so long that several connections may be faster.
func (c *connection) slow() bool {
	return c.got >= probe && float64(c.got) < fast*c.guard.total.Seconds()
}

// Close gives the connection up.
func (c *connection) Close() error {
	c.guard.timer.Stop()
	c.cancel(nil)
	return c.Body.Close()
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

// small reads a whole file of up to limit bytes.
func small(ctx context.Context, f wire.File, o Options, limit int64) ([]byte, error) {
	c, err := open(ctx, f, wire.Position{}, o)
	if err != nil {
		return nil, err
	}
	defer c.Close() // what counts has been read
	if c.Size > limit {
		return nil, &tooLongError{limit}
	}
	data, err := io.ReadAll(io.LimitReader(c, limit+1))
	switch {
	case err != nil:
		return nil, err
	case int64(len(data)) > limit:
		return nil, &tooLongError{limit}
	case c.Size >= 0 && int64(len(data)) != c.Size:
		return nil, io.ErrUnexpectedEOF
	}
	return data, nil
}

// tooLongError says that what should be a small file is none.
type tooLongError struct{ limit int64 }

func (e *tooLongError) Error() string   { return fmt.Sprintf("it is longer than %d bytes", e.limit) }
func (e *tooLongError) Permanent() bool { return true }
func (e *tooLongError) OfFile() bool    { return true }
