package fetch

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// An asker asks mirrors, round after round, with the patience that the options and the environment allow. It belongs to one goroutine.
type asker struct {
	ctx     context.Context
	source  Source
	env     Environment
	dial    dialer
	mirrors []*mirror
	current *mirror // gave the last bytes; nil before the first

	// eligible reports whether a mirror may be asked.
	eligible func(*mirror) bool
	// progress is how many bytes there are, of how many, for those who read what went wrong.
	progress func() (received, size int64)

	began    time.Time
	round    int  // rounds of attempts since something arrived in which something went wrong
	retries  int  // such rounds in all
	unwaited bool // the last connection was good enough to try the next at once
}

// newMirrors prepares to ask for the image; nothing is asked yet. What cannot be asked for is dropped, and says why.
func newMirrors(urls []URL, dial dialer) []*mirror {
	var mirrors []*mirror
	for _, u := range urls {
		m := &mirror{url: u}
		if m.scheme, m.err = schemeOf(u); m.err == nil {
			m.file, m.err = dial.file(u)
		}
		m.dropped = m.err != nil
		mirrors = append(mirrors, m)
	}
	return mirrors
}

// candidates are the mirrors to ask now, in this order: the one that gave the last bytes, then as they were written.
func (a *asker) candidates() []*mirror {
	var list []*mirror
	if a.current != nil && a.eligible(a.current) && !time.Now().Before(a.current.notBefore) {
		list = append(list, a.current)
	}
	for _, m := range a.mirrors {
		if m != a.current && a.eligible(m) && !time.Now().Before(m.notBefore) {
			list = append(list, m)
		}
	}
	return list
}

// pause waits after a round in which something went wrong, and tells if there is nothing left to wait for.
func (a *asker) pause() error {
	if a.ctx.Err() != nil {
		return a.stopped()
	}
	var causes []MirrorError
	var hope, asked bool
	earliest := time.Duration(-1)
	for _, m := range a.mirrors {
		if m.troubled && !m.dropped {
			causes = append(causes, m.failure())
			asked = asked || !m.scheme.pushes
		}
		m.troubled = false
		if a.eligible(m) {
			hope = true
			if wait := max(0, time.Until(m.notBefore)); earliest < 0 || wait < earliest {
				earliest = wait
			}
		}
	}
	if !hope {
		return a.failure()
	}
	delay := max(earliest, a.delay(len(causes) > 0))
	if len(causes) > 0 && !asked {
		// Nobody is spared by a longer delay: a server that pushes comes when it likes, and looks for us again within seconds.
		delay = min(delay, pushedDelay)
	}
	if len(causes) == 0 && delay == 0 {
		return nil
	}
	if !a.mayRetry(earliest) {
		return a.failure()
	}
	a.report(Retrying{Count: a.round, Delay: delay, Causes: causes})
	if err := sleep(a.ctx, delay); err != nil {
		return a.stopped()
	}
	return nil
}

// pushedDelay is how long nobody listens after a ring was lost.
const pushedDelay = time.Second

// delay returns how long to leave the servers alone.
func (a *asker) delay(troubled bool) time.Duration {
	if !troubled {
		return 0
	}
	a.round++
	a.retries++
	switch {
	case a.unwaited:
		a.unwaited = false
		return 0
	case a.source.RetryDelay > 0:
		return a.source.RetryDelay
	}
	return a.env.Patience.delay(a.round)
}

// mayRetry reports whether the options allow for one more round, where the servers ask to be left alone for so long.
func (a *asker) mayRetry(alone time.Duration) bool {
	if n := a.source.Retry; n != nil && a.retries > *n {
		return false
	}
	limit, gone := a.source.RetryMaxTime, time.Since(a.began)
	return limit == 0 || gone < limit && gone+alone <= limit
}

// blame takes note of what went wrong at a mirror.
func (a *asker) blame(m *mirror, err error) {
	m.troubled = true
	m.blame(err, a.source.Options, a.env.Patience)
	if m.dropped && len(a.mirrors) > 1 {
		a.report(GaveUp{URL: m.url, Cause: err})
	}
}

func (a *asker) report(e Event) {
	if a.env.Report != nil {
		a.env.Report(e)
	}
}

// failure says what happened at all mirrors.
func (a *asker) failure() error {
	e := &SourceError{}
	e.Received, e.Size = a.progress()
	for _, m := range a.mirrors {
		e.Mirrors = append(e.Mirrors, m.failure())
	}
	return e
}

// stopped says that the context ended the asking.
func (a *asker) stopped() error {
	cause := context.Cause(a.ctx)
	last := ""
	for _, m := range a.mirrors {
		if m.err != nil && !errors.Is(m.err, cause) {
			last += fmt.Sprintf("; before that: %v: %v", m.url, m.err)
		}
	}
	received, _ := a.progress()
	return fmt.Errorf("get %v: after %d bytes: %w%s", a.place(), received, cause, last)
}

// place is the mirror that is, or would be, read.
func (a *asker) place() URL {
	if a.current != nil {
		return a.current.url
	}
	return a.mirrors[0].url
}
