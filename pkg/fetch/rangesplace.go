package fetch

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/wire"
)

// A place is a mirror as all reads of Ranges know it. What goes wrong for one of them is its own affair.
type place struct {
	mirror mirror // as it was before anything was asked
	file   wire.Ranged

	validator wire.Validator // of its file; unknown before it gave something
	server    string         // that gave it, after redirects
	notBefore time.Time      // when it wants to be asked again
	answered  bool           // at any time
	changed   bool           // it has another file now, for ever
	different bool           // what it has is another file, as far as it gave anything
	lines     []*line        // all
}

// A line is a connection to a server that is kept.
type line struct {
	session wire.Session
	next    int64 // offset behind what was read last
	used    time.Time
	busy    bool
	heard   bool // the request that is under way had an answer
}

func newPlace(m *mirror) *place {
	p := &place{mirror: *m}
	file, ranged := m.file.(wire.Ranged)
	if m.file != nil && !ranged {
		p.mirror.dropped = true
		p.mirror.err = &NoRangesError{URL: m.url, Reason: "the protocol " + m.scheme.Name + " cannot begin in the middle of a file"}
	}
	p.file = file
	return p
}

// hangUp closes the lines that nobody uses.
func (p *place) hangUp() { p.hangUpBefore(time.Now().Add(time.Nanosecond)) }

// hangUpBefore closes the lines that nobody has used since then.
func (p *place) hangUpBefore(then time.Time) {
	p.lines = slices.DeleteFunc(p.lines, func(l *line) bool {
		unused := !l.busy && l.used.Before(then)
		if unused {
			_ = l.session.Close() // nothing is lost with it
		}
		return unused
	})
}

// remove closes a line that is not to be used again.
func (p *place) remove(l *line) {
	_ = l.session.Close() // nothing is lost with it
	p.lines = slices.DeleteFunc(p.lines, func(other *line) bool { return other == l })
}

// heard reports whether a request that is under way had an answer.
func (p *place) heard() bool {
	return slices.ContainsFunc(p.lines, func(l *line) bool { return l.busy && l.heard })
}

// idle returns a line for the bytes at offset, nil if a new one is better. One that was read up to there has them on their way already,
// where the protocol sends all that follows; for the same reason another one is only taken away from its place if there are as many as may
// be.
func (p *place) idle(offset int64, may int) *line {
	var best *line
	for _, l := range p.lines {
		switch {
		case l.busy:
		case l.next == offset:
			return l
		case best == nil, p.mirror.scheme.streams == l.used.Before(best.used):
			best = l // the one that was left longest ago, or of connections without a place the one that is warm
		}
	}
	if p.mirror.scheme.streams && len(p.lines) < may {
		return nil
	}
	return best
}

// plain tells if the image is compressed, by its first bytes.
func (r *Ranges) plain() error {
	if r.env.Decompress == nil {
		return nil
	}
	reader, kind, err := r.env.Decompress(bytes.NewReader(r.head), r.current.mirror.url.base())
	if closer, ok := reader.(io.Closer); ok {
		_ = closer.Close() // only what it is was asked
	}
	switch {
	case err != nil:
		return &NoRangesError{URL: r.current.mirror.url, Reason: "the image is compressed", Err: err}
	case kind != "":
		return &NoRangesError{URL: r.current.mirror.url, Reason: "the image is compressed with " + kind}
	}
	return nil
}

// adopt takes the size and the validator of the image from the first answer.
func (r *Ranges) adopt(p *place, b *wire.Body) error {
	no := func(reason string) error { return &NoRangesError{URL: p.mirror.url, Reason: reason} }
	switch {
	case b.Size < 0:
		return no("the server does not tell its size")
	case !b.Ranges, b.End == 0:
		return no("the server sends the whole of it only")
	case !b.Validator.Known() && !r.env.Verifies:
		return no("nothing would tell if the file on the server was changed: it gives neither a strong ETag nor a date of change")
	}
	r.URL, r.Size, r.first = URL(b.URL), b.Size, b.Validator
	p.validator, p.server = b.Validator, serverOf(b.URL)
	return nil
}

// check tells whether an answer is of the image, from offset on.
func (r *Ranges) check(p *place, b *wire.Body, offset int64) error {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.Size < 0 {
		return r.adopt(p, b)
	}
	had, server := p.validator, serverOf(b.URL)
	foreign := server != p.server
	if foreign {
		had = r.comparable()
	}
	err := sameFile(b, offset, r.Size, had, r.env.Verifies)
	var changed *ChangedError
	switch {
	case err == nil:
		if foreign || !had.Known() {
			p.validator, p.server = b.Validator, server // and never less than what was known once
		}
		p.different = false
		return nil
	case !errors.As(err, &changed):
		return err
	case foreign || !had.Known() || !b.Validator.Known():
		p.different = !p.validator.Known()
		err = &otherFileError{changed.What} // a page that says that the server is being repaired, for example
	default:
		p.changed = true
	}
	if some := func(is func(*place) bool) bool { return slices.ContainsFunc(r.places, is) }; some((*place).gone) && !some((*place).hopeful) {
		r.err = fmt.Errorf("read %v: %w", p.mirror.url, changed)
		r.signal()
	}
	return err
}

// comparable returns what another server than the one that was read must say of its file to have the same. The mutex is held.
func (r *Ranges) comparable() wire.Validator {
	if r.env.Verifies {
		return wire.Validator{}
	}
	return wire.Validator{ETag: r.first.ETag} // a date may be that of anything
}

// gone reports whether a place had the image, and has it no more.
func (p *place) gone() bool { return p.changed }

// hopeful reports whether a place may have the image.
func (p *place) hopeful() bool { return p.file != nil && !p.changed && !p.different }

// serverOf returns the part of an address that names the server.
func serverOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// An otherFileError says that a server gave something else than the image, which does not mean that the image was changed: it may be
// another server, or a page in the place of the file.
type otherFileError struct{ what string }

func (e *otherFileError) Error() string   { return "this is not the file that is being read: " + e.what }
func (e *otherFileError) Permanent() bool { return false }

// A refusedError says that a server has the image, and did not send the part that it was asked for.
type refusedError struct{ wrong *wire.RangeError }

func (e *refusedError) Error() string {
	return "the server has the file, and did not send a part of it: " + e.wrong.Error()
}
func (e *refusedError) Permanent() bool { return false }
