package stream

import "time"

// A Want is how those fare who read what is not there.
type Want struct {
	// Since is when the first of those who wait without a break began to; zero if nobody waits. Served is when a chunk came last that somebody
	// waited for, and Refused when a read failed last because it was refused; zero for never.
	Since, Served, Refused time.Time
}

// wants is what is known of those who wait.
type wants struct {
	Want
	many int
	// why is asked why a read is refused, and refused is closed, while that is so.
	why     func() error
	refused chan struct{}
}

// Want tells how those fare who wait now.
func (s *Store) Want() Want {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.wants.Want
}

// Refuse has reads of what is not there fail from now on, those that wait already among them, with what why returns. Where that is nil the
// read waits, for as long as it takes. Refuse(nil) has all reads wait that come then. What is refused is fetched all the same.
func (s *Store) Refuse(why func() error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.wants.why != nil {
		s.wants.refused = make(chan struct{})
	}
	if s.wants.why = why; why != nil {
		close(s.wants.refused)
	}
}

// waits takes note of somebody who waits, and returns what is closed as soon as that may be in vain.
func (s *Store) waits() (refused <-chan struct{}) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.wants.many++; s.wants.many == 1 {
		s.wants.Since = time.Now()
	}
	return s.wants.refused
}

// waitsNoMore takes note that one of them has ended.
func (s *Store) waitsNoMore() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.wants.many--; s.wants.many == 0 {
		s.wants.Since = time.Time{}
	}
}

// refusal returns why a read fails that was refused, and takes note of it; nil for one that goes on waiting.
func (s *Store) refusal() error {
	s.mutex.Lock()
	why := s.wants.why
	s.mutex.Unlock()
	if why == nil {
		return nil
	}
	err := why()
	if err != nil {
		s.mutex.Lock()
		s.wants.Refused = time.Now()
		s.mutex.Unlock()
	}
	return err
}
