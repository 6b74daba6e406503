package daemon

import (
	"errors"
	"fmt"
	"time"

	"github.com/liveboot/liveboot/pkg/stream"
)

const (
	// lastWait is for how long, once the machine is to end, nothing may come of what is waited for. It is longer than stall: a connection that
	// is dead was given up by then, and a new one tried.
	lastWait = 30 * time.Second
	// lastResort is how long systemd may take from the last I/O error to the end, and once more when it has stopped everything: twice its usual
	// limit for a unit (DefaultTimeoutStopSec=, 90 s), which a unit may take after SIGTERM and once more after SIGKILL.
	lastResort = 3 * time.Minute
	// refusalLimit is how long reads may fail before all is stopped: what tries again and again would put lastResort off for ever.
	refusalLimit = 15 * time.Minute
)

// errEnding is why a part of the image is not waited for any more.
var errEnding = errors.New("the machine is to end, and the part of the image that is to be read does not come")

// ending is the end of the live system while parts of its image are missing. As long as a server is there it is as at any time. Where none is,
// what waits for a part would hold up the end for ever: so it gets I/O errors, but only when the machine was told to end, and nothing of what
// is waited for has come for lastWait. If not even that helps, the machine is ended.
type ending struct {
	// look is nodes.look, and isLast nodes.isLast.
	look   func() (v verb, last bool)
	isLast func() bool
	say    func(text string)
	// end ends the machine, now.
	end func(verb)

	asked    time.Time // when it was noticed that the machine is to end; zero if it is not
	stopped  time.Time // when it was noticed that all else has been stopped; zero if it has not
	failed   time.Time // when reads began to fail, the last time; zero for never
	refusing bool      // they do
	over     bool
}

// A reading is a stream.Store, as far as it matters for an end.
type reading interface {
	Want() stream.Want
	Refuse(why func() error)
}

// step looks what has changed.
func (e *ending) step(store reading) {
	v, last := e.look()
	switch {
	case e.over:
		return
	case v == "":
		e.relent(store)
		e.asked, e.stopped, e.failed = time.Time{}, time.Time{}, time.Time{}
		return
	case e.asked.IsZero():
		e.asked = time.Now()
	}
	switch {
	case !last:
		e.stopped = time.Time{}
	case e.stopped.IsZero():
		e.stopped = time.Now()
	}
	want := store.Want()
	if want.Served.After(e.failed) {
		e.relent(store)
	}
	stuck := !want.Since.IsZero() && time.Since(latest(want.Since, want.Served, e.asked, e.stopped)) >= lastWait
	switch {
	case stuck && last:
		e.finish(v, fmt.Sprintf("systemd has stopped everything, and has waited %v in vain for a part of the image that it needs itself", lastWait))
	case last && !e.failed.IsZero():
		if time.Since(e.stopped) >= lastResort {
			e.finish(v, fmt.Sprintf("reads of its image have failed, and it has not ended %v after systemd has stopped everything", lastResort))
		}
	case e.refusing && time.Since(latest(e.failed, want.Refused)) >= lastResort:
		e.finish(v, fmt.Sprintf("it has not ended %v after the last read of its image that failed", lastResort))
	case e.refusing && time.Since(e.failed) >= refusalLimit:
		e.finish(v, fmt.Sprintf("it has not ended, and reads of its image have failed for %v", refusalLimit))
	case stuck && !e.refusing:
		e.refuse(store, v)
	}
}

// latest returns the last of some times.
func latest(all ...time.Time) (last time.Time) {
	for _, t := range all {
		if t.After(last) {
			last = t
		}
	}
	return last
}

// refuse has reads fail. Process 1 is spared when all else has been stopped: it would not survive.
func (e *ending) refuse(store reading, v verb) {
	e.failed, e.refusing = time.Now(), true
	e.say(fmt.Sprintf("the machine is to end (%s), and nothing has come for %v of what is waited for: reads of parts of the image that are not "+
		"there fail from now on; if the machine has not ended by itself %v after the last that fails, or in %v, it is ended",
		v, lastWait, lastResort, refusalLimit))
	store.Refuse(func() error {
		if e.isLast() {
			return nil
		}
		return errEnding
	})
}

// relent has reads wait again.
func (e *ending) relent(store reading) {
	if !e.refusing {
		return
	}
	e.refusing = false
	store.Refuse(nil)
	e.say("reads of parts of the image that are not there wait for them again")
}

// finish ends the machine.
func (e *ending) finish(v verb, why string) {
	e.over = true
	e.say(fmt.Sprintf("the machine is ended now (%s), without the rest of the live system's own end: %s", v, why))
	e.end(v)
}
