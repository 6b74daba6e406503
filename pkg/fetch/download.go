package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/wire"
)

// A download reads the image as it travels, from whatever mirror gives it, over as many connections as it takes. It is read by one
// goroutine at a time.
type download struct {
	asker
	cancel context.CancelFunc

	conn  *connection
	lanes *lanes // read ahead; nil if nothing does
	alone bool   // what several connections brought was wrong: no more of them

	// What is being read. A generation is what is read from one beginning on.
	generation int
	size       int64 // -1: unknown
	etag       string
	want       Digest  // of this generation: the source's, or the one that was found
	lent       []byte  // the block that is read into, if it may be read there later; nil if not
	found      Digest  // the last one that was found beside an image
	digest     *hasher // nil if there is nothing to compare with, now or later
	patched    bool    // put together from connections of which only the digest can tell that they belong together
	offset     atomic.Int64
	length     atomic.Int64 // is size, for other goroutines
	given      bool         // bytes of this generation were given to the reader

	// How it goes.
	furthest int64     // bytes: what was reached in any generation
	moved    time.Time // when that was
	scratch  []byte

	at     URL  // where the first connection of this generation found the image, after redirects
	ranges bool // that server said that it can begin at an offset

	restart *RestartError // to be told to the reader
	err     error         // the end: io.EOF, or a failure
}

// quick is after how many bytes of a connection another one is tried at once.
const quick = 1 << 20

// Read returns io.EOF only after the whole image, verified.
func (d *download) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for d.err == nil {
		if d.conn == nil && !d.lanes.await(d.offset.Load()) {
			if d.err = d.connect(); d.err == nil {
				d.spread()
			}
			continue
		}
		if r := d.restart; r != nil {
			d.restart, r.Size = nil, d.size
			return 0, r
		}
		if d.conn != nil && d.lanes == nil {
			d.spread()
		}
		n, err := d.receive(p)
		if n > 0 {
			return n, nil
		}
		if err != nil {
			d.lost(err)
		}
	}
	return 0, d.err
}

// receive reads what is still to come, and ends the download when that is all.
func (d *download) receive(p []byte) (int, error) {
	offset := d.offset.Load()
	if d.size >= 0 {
		p = p[:min(int64(len(p)), d.size-offset)]
	}
	var n int
	var err error
	if len(p) > 0 {
		n, err = d.next(p, offset)
	}
	if n > 0 {
		offset += int64(n)
		if d.lent == nil {
			d.digest.write(p[:n])
		} else {
			from := cap(d.lent) - cap(p) // p is in its end
			d.digest.lend(d.lent, from, from+n)
		}
		d.offset.Store(offset)
		d.given = true
		if offset > d.furthest {
			d.furthest, d.moved, d.round = offset, time.Now(), 0
		}
	}
	switch {
	case offset == d.size, d.size < 0 && err == io.EOF:
		// What the reader got is told first; the end comes with the next call.
		if n == 0 {
			d.size = offset
			d.finish()
		}
		return n, nil
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
	}
	if n > 0 && err != nil {
		d.lost(err)
		err = nil
	}
	return n, err
}

// lost takes note of a connection that ended too early.
func (d *download) lost(err error) {
	d.unwaited = d.conn != nil && d.conn.got >= quick && d.round == 0
	d.hangUp()
	if d.ctx.Err() == nil {
		d.blame(d.current, err)
	}
}

func (d *download) hangUp() {
	if d.conn != nil {
		_ = d.conn.Close() // it is of no interest any more
		d.conn = nil
	}
}

// finish decides whether what was read is the image.
func (d *download) finish() {
	d.hangUp()
	d.stopLanes()
	err := d.digest.check(d.want)
	if err == nil {
		d.err = io.EOF
		return
	}
	// What was put together of two files may be right if it comes from one, and over one connection.
	d.alone = true
	if !d.patched {
		d.blame(d.current, err)
	}
	if !slices.ContainsFunc(d.mirrors, d.eligible) {
		d.err = d.failure()
		return
	}
	d.beginAnew(d.current, err)
}

// beginAnew forgets what was read. The next connection is the first of a new generation.
func (d *download) beginAnew(m *mirror, cause error) {
	lost := d.offset.Load()
	d.stopLanes()
	d.digest.stop()
	d.digest, d.patched, d.etag = nil, false, ""
	d.want = d.source.Digest
	d.offset.Store(0)
	for _, m := range d.mirrors {
		m.different, m.fromStart = false, false
	}
	d.report(Restarted{URL: m.url, Lost: lost, Cause: cause})
	if d.given {
		d.restart, d.given = &RestartError{Cause: cause}, false
	}
	d.current = nil
}

func (d *download) close() {
	d.cancel()
	d.hangUp()
	d.stopLanes()
	d.digest.stop()
	d.digest = nil
	if d.err == nil {
		d.err = fmt.Errorf("get %v: %w", d.place(), errClosed)
	}
}

var errClosed = errors.New("the stream is closed")

// known reports whether the bytes that are there can be proven, now or at the end, to belong to what m sends from here on.
func (d *download) known(m *mirror) bool {
	switch {
	case d.want != (Digest{}):
		return true
	case m.generation == d.generation:
		return m.validator.Known()
	}
	return d.etag != ""
}

// position is where m is asked to begin.
func (d *download) position(m *mirror) wire.Position {
	p := wire.Position{Offset: d.offset.Load()}
	switch {
	case p.Offset == 0, m.fromStart, !d.known(m):
		return wire.Position{}
	case m.generation == d.generation:
		p.Validator = m.validator
	case d.want == (Digest{}):
		p.Validator = wire.Validator{ETag: d.etag}
	}
	return p
}
