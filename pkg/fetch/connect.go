package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/wire"
)

// connect tries the mirrors, round after round, until one gives the image from where the download is, or from its beginning.
func (d *download) connect() error {
	for {
		if err := d.pause(); err != nil {
			return err
		}
		for _, m := range d.candidates() {
			err := d.attempt(m)
			if err == nil {
				for _, m := range d.mirrors {
					m.since = time.Time{} // patience begins anew
				}
				return nil
			}
			if d.ctx.Err() != nil {
				return d.stopped()
			}
			d.blame(m, err)
		}
	}
}

// eligible reports whether m may be asked. One that can only begin anew is left out for as long as there is hope for the one that gave
// what is there.
func (d *download) eligible(m *mirror) bool {
	switch {
	case m.dropped:
		return false
	case d.offset.Load() == 0, m == d.current, d.desperate():
		return true
	case m.scheme.pushes && d.want == (Digest{}):
		// What is there would be thrown away before anybody knows whether a ring comes.
		return false
	}
	return !m.different && (d.known(m) || d.digest != nil)
}

func (d *download) desperate() bool {
	return d.current == nil || d.current.dropped || over(d.env.Patience.Silent, d.moved)
}

// attempt asks m for what is to come. When it returns nil there is a connection.
func (d *download) attempt(m *mirror) error {
	if m.since.IsZero() {
		m.since = time.Now()
	}
	for {
		if m.scheme.pushes && d.offset.Load() > 0 && d.want == (Digest{}) {
			// A ring cannot be joined once more to find out that nothing proves that its image is still the same.
			lost := m
			if d.current != nil {
				lost = d.current
			}
			d.beginAnew(lost, lost.err)
		}
		if d.offset.Load() == 0 {
			if err := d.chooseDigest(m); err != nil {
				return err
			}
		}
		asked := d.position(m)
		c, err := open(d.ctx, m.file, asked, m.scheme.guarded(d.source.Options))
		var wrong *wire.RangeError
		if asked.Offset > 0 && errors.As(err, &wrong) {
			m.fromStart = true
			continue
		}
		if err != nil {
			return err
		}
		m.answered = true
		err = d.adopt(m, c)
		if err == nil {
			d.conn, d.current = c, m
			return nil
		}
		_ = c.Close() // the error that led here is the one to tell
		var changed *ChangedError
		if !errors.As(err, &changed) {
			return err
		}
		if m != d.current && !d.desperate() {
			m.different = true
			return err
		}
		d.beginAnew(m, err)
	}
}

// adopt makes c the connection that is read on, or says why it cannot be.
func (d *download) adopt(m *mirror, c *connection) error {
	offset := d.offset.Load()
	if offset == 0 {
		return d.begin(m, c.Body)
	}
	proven, err := d.compare(m, c.Body)
	if err != nil {
		return err
	}
	if c.Offset == 0 {
		m.fromStart = true
		d.report(Repeating{URL: m.url, Offset: offset})
		if err := d.discard(c, offset); err != nil {
			return err
		}
	}
	if m != d.current {
		d.report(TookOver{From: d.current.url, To: m.url, Offset: offset, Cause: d.current.err})
	} else if c.Offset > 0 {
		d.report(Resumed{URL: m.url, Offset: offset, Size: d.size})
	}
	if d.size < 0 {
		d.setSize(c.Size)
	}
	d.patched = d.patched || !proven
	m.generation, m.validator = d.generation, c.Validator
	return nil
}

// begin starts a generation with its first connection.
func (d *download) begin(m *mirror, b *wire.Body) error {
	if b.Unframed && d.want == (Digest{}) {
		return &UnframedError{}
	}
	if d.size != b.Size {
		d.furthest = 0
	}
	d.generation++
	d.setSize(b.Size)
	d.etag, d.ranges, d.at = b.Validator.ETag, b.Ranges, URL(b.URL)
	d.moved = time.Now()
	d.digest.stop()
	d.digest = nil
	switch {
	case d.want != (Digest{}):
		d.digest = newHasher(d.want.Algorithm, d.env)
	case m.scheme.repeats:
		d.digest = newHasher(fingerprint, d.env)
	}
	m.generation, m.validator = d.generation, b.Validator
	return nil
}

// fingerprint is the algorithm by which a file is recognised that is sent once more, by a protocol without validators.
const fingerprint = "sha256"

func (d *download) setSize(n int64) {
	d.size = n
	d.length.Store(n)
}

// compare tells whether b goes on with what is there. If it is not proven now it will be, by the digest or by discard.
func (d *download) compare(m *mirror, b *wire.Body) (proven bool, err error) {
	had, has := m.validator, b.Validator
	switch known := m.generation == d.generation; {
	case d.size >= 0 && b.Size >= 0 && b.Size != d.size:
		return false, &ChangedError{sizeChanged(d.size, b.Size)}
	case b.Size >= 0 && b.Size < d.offset.Load():
		return false, &ChangedError{sizeChanged(d.offset.Load(), b.Size)}
	case known && had.Known() && has.Known():
		if had.Same(has) {
			return true, nil
		}
		return false, &ChangedError{"the file on the server has changed"}
	case !known && d.etag != "" && d.etag == has.ETag:
		return true, nil
	case d.want != (Digest{}), d.digest != nil && b.Offset == 0:
		return false, nil
	}
	return false, &ChangedError{"nothing tells whether the file on the server is still the same"}
}

// discard reads over the first n bytes of c, and compares them with those that are there where the digest cannot do that at the end.
func (d *download) discard(c *connection, n int64) error {
	if d.scratch == nil {
		d.scratch = make([]byte, 256<<10)
	}
	again, recognise := newHash(fingerprint)
	recognise = recognise && d.digest != nil && d.want == (Digest{})
	for n > 0 {
		got, err := c.Read(d.scratch[:min(n, int64(len(d.scratch)))])
		n -= int64(got)
		if recognise {
			again.Write(d.scratch[:got]) // a hash.Hash never fails
		}
		switch {
		case n == 0:
		case err == io.EOF:
			return io.ErrUnexpectedEOF
		case err != nil:
			return err
		}
	}
	if !recognise {
		return nil
	}
	begun := d.digest.sum()
	if err := d.digest.failure(); err != nil {
		return &ChangedError{fmt.Sprintf("nothing tells whether the file on the server is still the same: %v", err)}
	}
	if string(again.Sum(nil)) != string(begun) {
		return &ChangedError{"the file on the server has changed: its beginning is another one"}
	}
	return nil
}

// newDownload prepares a download; nothing is asked yet.
func newDownload(ctx context.Context, s Source, e Environment) (*download, error) {
	dial, err := s.dialer(e)
	if err != nil {
		return nil, err
	}
	d := &download{}
	d.asker = asker{
		source: s, env: e, dial: dial, mirrors: newMirrors(s.URLs, dial), began: time.Now(),
		eligible: d.eligible, progress: func() (int64, int64) { return d.offset.Load(), d.size },
	}
	d.setSize(-1)
	if s.MaxTime > 0 {
		d.ctx, d.cancel = context.WithTimeoutCause(ctx, s.MaxTime, &MaxTimeError{s.MaxTime})
	} else {
		d.ctx, d.cancel = context.WithCancel(ctx)
	}
	return d, nil
}

// dialer prepares to ask for the source, and tells if it cannot be asked for.
func (s Source) dialer(e Environment) (dialer, error) {
	if len(s.URLs) == 0 {
		return dialer{}, errors.New("get image: no URL is given")
	}
	dial, err := newDialer(s.Options, e)
	if err != nil {
		return dialer{}, fmt.Errorf("get %v: %w", s.URLs[0], err)
	}
	if _, ok := newHash(s.Digest.Algorithm); !ok && s.Digest != (Digest{}) {
		return dialer{}, fmt.Errorf("get %v: digest %v: not one of sha256, sha512", s.URLs[0], s.Digest)
	}
	return dial, nil
}
