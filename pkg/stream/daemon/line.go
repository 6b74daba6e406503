package daemon

import (
	"fmt"
	"sync"
	"time"
)

const (
	// hush is for how long nothing may come before that is told, and seldom the longest time until it is told again; the first is minute.
	hush    = 5 * time.Second
	minute  = time.Minute
	seldom  = time.Hour
	healthy = -1
)

// line is the way to the servers, as far as reads tell: it works, or has not worked for a while. What goes wrong for a moment is nobody's
// business; what lasts is told after hush, and then seldom.
type line struct {
	say func(text string)

	mutex sync.Mutex
	since time.Time // when the trouble began; zero for none
	cause string    // of it, the last
	next  time.Duration
}

// works takes note that something came.
func (l *line) works() {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.since.IsZero() {
		return
	}
	if l.next > hush {
		l.say(fmt.Sprintf("the image comes again, after %s in which nothing of it came", round(time.Since(l.since))))
	}
	l.since, l.cause = time.Time{}, ""
}

// fails takes note that something did not come.
func (l *line) fails(cause error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.since.IsZero() {
		l.since, l.next = time.Now(), hush
	}
	l.cause = cause.Error()
}

// look tells for how long nothing has come, healthy for a line that works, and why, and says so to people when it is time for that.
func (l *line) look() (trouble time.Duration, cause string) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.since.IsZero() {
		return healthy, ""
	}
	trouble = time.Since(l.since)
	if trouble >= l.next {
		l.say(fmt.Sprintf("nothing of the image has come for %s, and it is tried on and on: %s", round(trouble), l.cause))
		l.next = later(trouble)
	}
	return trouble, l.cause
}

// later returns when to tell again of trouble that is so old: after a minute, two, four, and so on, at the end every hour.
func later(trouble time.Duration) time.Duration {
	next := minute
	for next <= trouble {
		next += min(next, seldom)
	}
	return next
}

// round is a time for people.
func round(d time.Duration) time.Duration { return d.Round(time.Second) }
