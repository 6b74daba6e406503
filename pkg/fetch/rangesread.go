package fetch

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/wire"
)

// A reading is one read of Ranges: it asks for what is still to come until it has all, at its own pace where something goes wrong.
type reading struct {
	asker
	ranges *Ranges
	first  int64  // offset of its first byte
	length int64  // bytes that are read
	n      int64  // bytes that are there
	all    []byte // where they go; nil if next says that
	next   func() ([]byte, error)
	at     []byte // what next returned, behind the bytes that are there
	end    error  // next's

	opening bool // it is the first read, which finds out what there is to read

	// Of the attempt under way:
	heard bool // it had an answer
	kept  bool // by a connection that had answers before
	got   int  // and so many bytes
	// answers is that of Ranges when it began.
	answers int

	tried    bool // there was an attempt
	spared   bool // one attempt was not waited for, and since then
	since    int  // so many bytes arrived
	forgiven bool // one attempt was not counted, and since then nothing arrived
	alone    bool // one attempt had no answer where others had had some, and since then nothing arrived
	belated  bool // one attempt was not told of, since others had answers meanwhile
}

// read reads into p what is at offset, which must be within the image once its size is known.
func (r *Ranges) read(ctx context.Context, p []byte, offset int64) (int, error) {
	t, stop := r.reading(ctx)
	defer stop()
	t.all, t.first, t.length = p, offset, int64(len(p))
	if err := r.start(t); err != nil {
		return 0, err
	}
	defer r.end(t)
	err := t.run()
	return int(t.n), err
}

// reading prepares one, which lasts no longer than ctx, the Ranges, and Options.MaxTime.
func (r *Ranges) reading(ctx context.Context) (t *reading, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	unwatch := context.AfterFunc(r.ctx, func() { cancel(context.Cause(r.ctx)) })
	unlimit := func() {}
	if limit := r.source.MaxTime; limit > 0 {
		ctx, unlimit = context.WithTimeoutCause(ctx, limit, &MaxTimeError{limit})
	}
	t = &reading{ranges: r, opening: r.Size < 0}
	t.asker = asker{
		ctx: ctx, source: r.source, env: r.env, dial: r.dial, began: time.Now(),
		eligible: t.eligible, progress: func() (int64, int64) { return t.n, t.length },
	}
	t.env.Report = t.tell
	return t, func() {
		unlimit()
		unwatch()
		cancel(nil)
	}
}

// run tries the mirrors, round after round, until all is there.
func (t *reading) run() error {
	for {
		if err := t.ranges.agree(t); err != nil {
			return err
		}
		if err := t.pause(); err != nil {
			return t.instead(err)
		}
		asked := true
		for _, m := range t.candidates() {
			err := t.attempt(m)
			switch {
			case t.n == t.length, err == nil && t.opening:
				return nil
			case t.end != nil:
				return t.end
			case t.ctx.Err() != nil:
				return t.stopped()
			}
			if err == nil || err == errAgain || !t.failed(m, err) {
				asked = false
				break
			}
		}
		if err := t.instead(nil); asked && err != nil {
			return err // all who may have it were asked once
		}
	}
}

// attempt asks m for what is still to come.
func (t *reading) attempt(m *mirror) error {
	r, p := t.ranges, t.place(m)
	if m.since.IsZero() {
		m.since = time.Now()
	}
	t.heard, t.got = false, 0
	l, err := r.take(t, p)
	if err != nil {
		return err
	}
	t.tried, t.kept = true, !l.used.IsZero()
	q := request{
		session: l.session, options: r.options, pacer: r.pacer,
		check:   func(b *wire.Body, offset int64) error { return r.check(p, b, offset) },
		arrived: func(n int) bool { return t.arrived(m, l, n) },
	}
	from := t.offset()
	asked := wire.Position{Offset: from, Length: t.length - t.n, Validator: r.validator(p)}
	err = q.fill(t.ctx, asked, t.room)
	var wrong *wire.RangeError
	if errors.As(err, &wrong) {
		err = t.doubt(q, m, wrong)
	}
	r.give(p, l, from, t.offset(), err)
	return err
}

// refusals is how often in a row a server must give something else than a part of the file until it is thought that it will not: a cache in
// front of it, or one of several servers behind a name, may do so once.
const refusals = 3

// doubt finds out what it means that a server gave something else than a part.
func (t *reading) doubt(q request, m *mirror, wrong *wire.RangeError) error {
	if t.opening {
		return &NoRangesError{URL: m.url, Reason: "the server sends the whole of it only", Err: wrong}
	}
	q.arrived = func(int) bool { return false }
	err := q.fill(t.ctx, wire.Position{Length: 1}, nil)
	var changed *ChangedError
	var other *otherFileError
	switch {
	case errors.As(err, &changed), errors.As(err, &other):
		return err
	case err != nil:
		return &otherFileError{wrong.Error()}
	}
	if m.refusals++; m.refusals < refusals {
		return &refusedError{wrong}
	}
	return &NoRangesError{URL: m.url, Reason: "the server has the file, and does not send parts of it any more", Err: wrong}
}

// failed takes note of what went wrong at m, and reports whether the next mirror is to be asked, and not the same one again.
func (t *reading) failed(m *mirror, err error) (next bool) {
	r, p := t.ranges, t.place(m)
	if t.opening && t.n > 0 {
		r.forget(t) // nobody has read anything yet, so that any mirror may begin
	}
	t.alone = t.alone || t.kept && !t.heard && errors.As(err, new(*StallError)) // it is not that there are too many
	if !t.heard && !t.forgiven && !t.alone && judge(err) != permanent && r.narrow(p, err) {
		t.forgiven = true
		return false
	}
	t.unwaited = t.got > 0 && (!t.spared || t.since >= quick)
	if t.unwaited {
		t.spared, t.since = true, 0
	}
	t.blame(m, err)
	var changed *ChangedError
	if errors.As(err, &changed) && len(t.mirrors) > 1 {
		t.report(GaveUp{URL: m.url, Cause: err})
	}
	var other *otherFileError
	m.different = errors.As(err, &other) && r.stranger(p) // its file may be replaced, but that can be seen by another read
	r.trouble(t, p, m, err)
	return t.got == 0 || t.opening
}

// arrived takes note of an answer, with 0, or of n more bytes.
func (t *reading) arrived(m *mirror, l *line, n int) bool {
	if !t.heard {
		t.heard, m.answered, m.refusals = true, true, 0
		t.ranges.hear(t, m, l)
	}
	if n > 0 {
		t.ranges.received.Add(int64(n))
		t.n += int64(n)
		if t.next != nil {
			t.at = t.at[n:]
		}
		t.got += n
		t.since += n
		t.round, t.forgiven, t.alone, t.belated = 0, false, false, false
		for _, m := range t.mirrors {
			m.since = time.Time{} // patience begins anew
		}
	}
	return t.n < t.length
}

// room returns where the next bytes go.
func (t *reading) room() ([]byte, error) {
	if t.next == nil {
		return t.all[t.n:], nil
	}
	if len(t.at) == 0 {
		t.at, t.end = t.next()
	}
	return t.at, t.end
}

// offset is that of what is still to come.
func (t *reading) offset() int64 { return t.first + t.n }

// place returns what all readings know of m.
func (t *reading) place(m *mirror) *place { return t.ranges.places[slices.Index(t.mirrors, m)] }

// eligible reports whether m may be asked.
func (t *reading) eligible(m *mirror) bool {
	t.ranges.mutex.Lock()
	defer t.ranges.mutex.Unlock()
	return !m.dropped && !m.different && !t.place(m).changed
}

// instead returns, in the place of err, that the image can be had as a whole only, where that is what the opening found.
func (t *reading) instead(err error) error {
	var whole *NoRangesError
	for _, m := range t.mirrors {
		if t.opening && errors.As(m.err, &whole) {
			return whole
		}
	}
	return err
}

// tell reports an event. What goes wrong one reading tells in the name of all.
func (t *reading) tell(e Event) {
	switch e.(type) {
	case Retrying, GaveUp:
		if !t.ranges.speak(t) {
			return
		}
	}
	t.ranges.tell(e)
}
