package ftp

import (
	"context"
	"errors"
	"io"
	"math"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/wire"
)

// patient is how long a transfer may rest and be read on. After it the server is asked first whether the file is still the same: it may
// send what somebody has written into the file meanwhile.
const patient = 10 * time.Second

// A reader is a login that is kept, with the transfer that was read last. A server sends all that follows an offset, so that what is asked
// for next is best what comes next: that is read on, without a word to the server. Anything else ends the transfer and begins another.
type reader struct {
	file     *File
	control  *session  // nil if there is none
	transfer *transfer // that can be read on; nil if there is none
	body     wire.Body // says what it is of
	next     int64     // offset of what it brings next
	rests    time.Time // since when nobody reads it
}

// Session implements wire.Ranged.
func (f *File) Session() wire.Session { return &reader{file: f} }

// Open implements wire.File.
func (r *reader) Open(ctx context.Context, p wire.Position) (*wire.Body, error) {
	same := !p.Validator.Known() || p.Validator.Same(r.body.Validator)
	if r.transfer != nil && p.Offset == r.next && same && time.Since(r.rests) < patient {
		r.control.watch(ctx)
		r.transfer.data.watch(ctx)
		return r.part(p), nil
	}
	r.interrupt()
	kept := r.control != nil
	body, err := r.retrieve(ctx, p)
	var answer *ReplyError
	if err != nil && kept && ctx.Err() == nil && !errors.As(err, &answer) {
		return r.retrieve(ctx, p) // the server may have ended a login that was not used for a while
	}
	return body, err
}

// retrieve begins a transfer, and logs in before where that is needed.
func (r *reader) retrieve(ctx context.Context, p wire.Position) (*wire.Body, error) {
	var err error
	if r.control == nil {
		r.control, err = r.file.connect(ctx)
	} else {
		r.control.watch(ctx)
	}
	if err != nil {
		r.control = nil
		return nil, err
	}
	r.control.heard.N = maxReplies
	body, err := r.file.retrieve(ctx, r.control, p)
	if err != nil {
		r.control.close()
		r.control = nil
		return nil, err
	}
	r.body, r.next = *body, body.Offset
	r.transfer = body.ReadCloser.(*transfer)
	return r.part(p), nil
}

// settle is how long a server may take to notice that nobody reads on.
const settle = 5 * time.Second

// interrupt ends the transfer under way. The login survives it if the server says, in time, how the transfer ended: it does not matter how.
func (r *reader) interrupt() {
	if r.transfer == nil {
		return
	}
	_ = r.transfer.data.Close() // what counts has been read
	r.transfer = nil
	err := r.control.conn.SetReadDeadline(time.Now().Add(settle))
	if err == nil {
		_, err = r.control.reply("RETR", 0)
	}
	if err == nil {
		err = r.control.conn.SetReadDeadline(time.Time{})
	}
	if err != nil {
		_ = r.Close()
	}
}

// part returns what is asked for of the transfer.
func (r *reader) part(p wire.Position) *wire.Body {
	body := r.body
	body.Offset = r.next
	left := int64(math.MaxInt64)
	if p.Length > 0 {
		left = p.Length
	}
	if body.Size >= 0 {
		left = min(left, body.Size-r.next)
	}
	body.End = r.next + min(left, math.MaxInt64-r.next)
	body.ReadCloser = &part{reader: r, left: left}
	return &body
}

// Close implements wire.Session.
func (r *reader) Close() error {
	if r.transfer != nil {
		_ = r.transfer.data.Close() // what counts has been read
	}
	if r.control != nil {
		r.control.quit()
	}
	r.control, r.transfer = nil, nil
	return nil
}

// A part is what one request gets of a transfer.
type part struct {
	reader *reader
	left   int64
}

// Read implements io.Reader.
func (p *part) Read(to []byte) (int, error) {
	if p.left == 0 {
		return 0, io.EOF
	}
	r := p.reader
	n, err := r.transfer.Read(to[:min(int64(len(to)), p.left)])
	p.left -= int64(n)
	r.next += int64(n)
	r.rests = time.Now()
	if p.left == 0 && !(r.control.stop() && r.transfer.data.stop()) {
		_ = r.Close() // the context has ended it, too late
	}
	return n, err
}

// Close leaves the transfer to the next part if this one has been read to its end, and gives it up otherwise.
func (p *part) Close() error {
	if p.left > 0 {
		return p.reader.Close()
	}
	return nil
}
