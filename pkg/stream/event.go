package stream

import (
	"fmt"
	"time"
)

// An Event is something that happened to a Store which a person may want to know. String is a line for the log.
type Event interface {
	fmt.Stringer
	event()
}

// Waiting says that somebody waits for a chunk that does not come.
type Waiting struct {
	// Cause is nil where nothing is known but that it takes long.
	Cause error
}

// GoingOn says that what was waited for has come.
type GoingOn struct {
	// After is how long the one waited whose chunk came first.
	After time.Duration
}

// Wrong says that a chunk is not the one of the image. It is fetched again.
type Wrong struct {
	Offset, Length int64 // bytes
	Attempts       int
	Cause          error
}

// PlaceFailed says that the place could not be written or read. The image will not be complete; what is read comes from the server.
type PlaceFailed struct{ Cause error }

func (Waiting) event()     {}
func (GoingOn) event()     {}
func (Wrong) event()       {}
func (PlaceFailed) event() {}

// String gives the cause.
func (e Waiting) String() string {
	if e.Cause == nil {
		return "the live system waits for a part of its image that the server does not send"
	}
	return fmt.Sprintf("the live system waits for a part of its image: %v", e.Cause)
}

// String gives the time.
func (e GoingOn) String() string {
	return fmt.Sprintf("the live system goes on after it waited %.1f s for a part of its image", e.After.Seconds())
}

// String gives the place and the cause.
func (e Wrong) String() string {
	return fmt.Sprintf("%d bytes at %d of the image are wrong, and fetched again (no. %d): %v", e.Length, e.Offset, e.Attempts, e.Cause)
}

// String gives the cause.
func (e PlaceFailed) String() string {
	return fmt.Sprintf("the image cannot be completed, the live system goes on with the server: %v", e.Cause)
}

// tell reports an event.
func (s *Store) tell(e Event) {
	s.telling.Lock()
	defer s.telling.Unlock()
	if s.config.Report != nil {
		s.config.Report(e)
	}
}

// noteWaiting takes note of somebody who has waited for long, since began; of the first one that is reported.
func (s *Store) noteWaiting(began time.Time) {
	s.mutex.Lock()
	cause := s.trouble
	s.mutex.Unlock()
	s.telling.Lock()
	defer s.telling.Unlock()
	if s.late++; s.late != 1 || !s.lateSince.IsZero() {
		return
	}
	s.lateSince = began
	if s.config.Report != nil {
		s.config.Report(Waiting{Cause: cause})
	}
}

// noteGoingOn takes note that one of them waits no more; of the last one that is reported, if what it waited for came. It may come before
// noteWaiting.
func (s *Store) noteGoingOn(came bool) {
	s.telling.Lock()
	defer s.telling.Unlock()
	if s.late--; s.late != 0 || s.lateSince.IsZero() {
		return
	}
	after := time.Since(s.lateSince)
	s.lateSince = time.Time{}
	if came && s.config.Report != nil {
		s.config.Report(GoingOn{After: after})
	}
}
