package fetch

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/wire"
)

// This is what readings share: the connections, what they know of the servers, and who speaks.

// widening is how long a server that wanted fewer connections is left alone with the wish for one more.
const widening = 30 * time.Second

// errAgain says that something else has come up while a reading waited, and that it should look around once more.
var errAgain = errors.New("look around once more")

// remembered is of how many parts it is known who gave them.
const remembered = 64

// A span is a part of the image that a place gave.
type span struct {
	place    *place
	from, to int64
}

// signal wakes those who wait.
func (r *Ranges) signal() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// kept returns the first bytes of the image, unless reading has ended.
func (r *Ranges) kept() []byte {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.err != nil {
		return nil
	}
	return r.head
}

// start registers a reading, unless there is nothing to read any more.
func (r *Ranges) start(t *reading) error {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.err != nil {
		return r.err
	}
	r.readers.Add(1)
	for _, p := range r.places {
		m := p.mirror
		m.answered = p.answered
		t.mirrors = append(t.mirrors, &m)
	}
	return nil
}

// end leaves to others what a reading did for all.
func (r *Ranges) end(t *reading) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.outage == t {
		r.outage = nil
		r.signal()
	}
	if r.speaker == t {
		r.speaker = nil
	}
	r.readers.Done()
}

// agree waits while another reading finds out whether servers are back, and takes over what others know of the servers. What ails that one may
// be its own: so t waits only if its own first attempt has failed, and no longer than the other one does between two attempts.
func (r *Ranges) agree(t *reading) error {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.busyWithOutage(t) && t.tried {
		limit, stop := context.WithTimeout(t.ctx, r.env.Patience.MaxDelay)
		defer stop()
		for r.busyWithOutage(t) && r.wait(limit) == nil {
		}
	}
	for i, p := range r.places {
		if m := t.mirrors[i]; p.notBefore.After(m.notBefore) {
			m.notBefore = p.notBefore
		}
		if p == r.current {
			t.current = t.mirrors[i]
		}
	}
	return r.err
}

// busyWithOutage reports whether another reading finds out whether servers are back.
func (r *Ranges) busyWithOutage(t *reading) bool {
	return r.err == nil && r.outage != nil && r.outage != t
}

// wait waits for a signal, without the mutex.
func (r *Ranges) wait(ctx context.Context) error {
	changed := r.changed
	r.mutex.Unlock()
	defer r.mutex.Lock()
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// take waits for a line to p.
func (r *Ranges) take(t *reading, p *place) (*line, error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	for r.busy >= r.may {
		if err := r.wait(t.ctx); err != nil {
			return nil, err
		}
		if r.err != nil || r.busyWithOutage(t) {
			return nil, errAgain
		}
	}
	l := p.idle(t.offset(), r.may)
	if l == nil {
		l = &line{session: p.file.Session()}
		p.lines = append(p.lines, l)
	}
	l.busy, l.heard = true, false
	r.busy++
	t.answers = r.answers
	return l, nil
}

// give returns a line that was read from an offset to another, or until something went wrong.
func (r *Ranges) give(p *place, l *line, from, next int64, err error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if from < next {
		r.given = append(r.given[max(0, len(r.given)-remembered):], span{p, from, next})
	}
	r.busy--
	l.busy, l.next, l.used = false, next, time.Now()
	if err != nil || p != r.current {
		p.remove(l)
	}
	var stall *StallError
	if errors.As(err, &stall) { // this machine may have another address now: those that are as old would be as silent
		p.hangUpBefore(time.Now().Add(-stall.For))
	}
	if err == nil && r.may < r.most && time.Since(r.resized) >= widening {
		r.may++
		r.resized = time.Now()
	}
	r.signal()
}

// narrow asks for fewer connections at a time where there are others than the one that did not work. It reports whether that is so.
func (r *Ranges) narrow(p *place, err error) bool {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if len(p.lines) == 0 {
		return false
	}
	r.may, r.resized = min(r.may, len(p.lines)), time.Now()
	var delayed interface{ RetryAfter() time.Duration }
	if errors.As(err, &delayed) {
		r.resized = r.resized.Add(min(delayed.RetryAfter(), MaxRetryAfter))
	}
	return true
}

// hear takes note of an answer that is right.
func (r *Ranges) hear(t *reading, m *mirror, l *line) {
	p := t.place(m)
	var events []Event
	r.mutex.Lock()
	l.heard, p.answered = true, true
	r.answers++
	t.answers++ // which counts those of others
	if r.outage != nil {
		r.outage = nil
		r.signal()
	}
	resumed := r.silence(t)
	switch old := r.current; {
	case old == nil:
		r.current = p
	case old != p && t.mirrors[r.index(old)].attempts > 0:
		events = append(events, r.turn(p, t.offset(), t.mirrors[r.index(old)].err))
		resumed = false
	}
	r.mutex.Unlock()
	if resumed {
		events = append(events, Resumed{URL: m.url, Offset: t.offset(), Size: r.Size})
	}
	for _, e := range events {
		r.tell(e)
	}
}

// turn makes p the place that is asked from now on. The mutex is held.
func (r *Ranges) turn(p *place, offset int64, cause error) Event {
	old := r.current
	r.current = p
	old.hangUp()
	return TookOver{From: old.mirror.url, To: p.mirror.url, Offset: offset, Cause: cause}
}

// index returns the number of a place.
func (r *Ranges) index(p *place) int { return slices.Index(r.places, p) }

// Distrust says that what was read of these bytes was wrong. The next read goes to another mirror, where there is one that may have the
// image.
func (r *Ranges) Distrust(offset, length int64, cause error) {
	event := r.distrust(offset, length, cause)
	if event != nil {
		r.tell(event)
	}
}

func (r *Ranges) distrust(offset, length int64, cause error) Event {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if offset < int64(len(r.head)) {
		r.head = nil
	}
	gave := r.current
	for _, s := range r.given {
		if s.from < offset+length && offset < s.to {
			gave = s.place // the last of them
		}
	}
	if gave != r.current {
		return nil // it is another one already
	}
	for i := range r.places {
		next := r.places[(r.index(gave)+1+i)%len(r.places)]
		if next != gave && next.hopeful() {
			return r.turn(next, offset, cause)
		}
	}
	return nil
}

// trouble takes note of what went wrong for t at p: when nothing is heard of any server, one reading finds out for all when it is back. An
// attempt during which others had answers failed for a reason of its own, such as a part that the server cannot read.
func (r *Ranges) trouble(t *reading, p *place, m *mirror, err error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if m.notBefore.After(p.notBefore) {
		p.notBefore = m.notBefore
	}
	if v := judge(err); t.heard || v == permanent || v == answered {
		return
	}
	p.hangUp() // what is kept leads to the same nothing
	if !p.heard() && r.answers == t.answers && r.outage == nil {
		r.outage, r.may = t, r.most
		r.signal()
	}
}

// stranger reports whether p never gave a byte of the image, but of something else.
func (r *Ranges) stranger(p *place) bool {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return p.different
}

// speak reports whether t tells of what goes wrong in the name of all. An attempt during which others had answers may have failed at the end
// of an outage that has been told of: only if the next one fails, too, is that worth telling.
func (r *Ranges) speak(t *reading) bool {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.speaker == nil && r.answers != t.answers && !t.belated {
		t.belated = true
		return false
	}
	if r.speaker == nil {
		r.speaker = t
	}
	r.told = r.told || r.speaker == t
	return r.speaker == t
}

// silence takes note that nothing goes wrong for t any more. It reports whether that is worth telling. The mutex is held.
func (r *Ranges) silence(t *reading) bool {
	if !r.told || r.speaker != t && r.speaker != nil {
		return false
	}
	r.told, r.speaker = false, nil
	return true
}

// validator returns what p is asked to compare.
func (r *Ranges) validator(p *place) wire.Validator {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if p.validator.Known() {
		return p.validator
	}
	return r.comparable()
}

// forget begins the opening anew.
func (r *Ranges) forget(t *reading) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	t.n, r.Size, r.first, r.current = 0, -1, wire.Validator{}, nil
	for _, p := range r.places {
		p.validator, p.server = wire.Validator{}, ""
	}
}
