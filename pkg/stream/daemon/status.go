package daemon

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/liveboot/liveboot/pkg/stream"
)

// StatusPath is where the live system finds how far the image is, below the root folder.
const StatusPath = "run/liveboot/stream.json"

// State is what the streaming process is about.
type State string

// The states.
const (
	Streaming  State = "streaming"  // the image is being completed
	Lazy       State = "lazy"       // it never will be
	Waiting    State = "waiting"    // nothing has come for a while
	Changed    State = "changed"    // the servers have another file
	Mismatched State = "mismatch"   // all is there, and it is not the image
	Incomplete State = "incomplete" // it cannot be completed, and comes from the server as long as the machine runs
	Complete   State = "complete"   // neither the server nor the process is needed any more
)

// A Status is the content of the file at StatusPath.
type Status struct {
	State State `json:"state"`
	// Since is when that began, by the machine's clock of now.
	Since time.Time `json:"since"`
	// Reason is why it is so, a line for people, where there is something to say.
	Reason string `json:"reason,omitempty"`
	// URL is where the image comes from, without password and query; Device is what shows it.
	URL    string `json:"url"`
	Device string `json:"device"`
	// Size is that of the image in bytes, Present how many of them are where the image will be complete, Fetched how many came over the network,
	// and Cached how much memory chunks take, which is left out where they take none. Wrong counts the chunks that were not right.
	Size    int64 `json:"size"`
	Present int64 `json:"present"`
	Fetched int64 `json:"fetched"`
	Cached  int64 `json:"cached,omitempty"`
	Wrong   int64 `json:"wrong"`
}

// between is the shortest time from one writing of the file to the next, unless the state is another one.
const between = 3 * time.Second

// status is what is known for the file.
type status struct {
	path string

	mutex   sync.Mutex
	end     State // what it has come to; empty for nothing yet
	changed bool  // the servers have another file
	reason  string
	now     Status
	began   time.Time // the state did
	last    Status    // as it was written, but for the time
	written time.Time
}

// begin takes note of where the image comes from, and what shows it.
func (s *status) begin(url, device string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.now.URL, s.now.Device = url, device
}

// comeTo takes note of a state that lasts.
func (s *status) comeTo(end State, reason string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.end, s.reason = end, reason
}

// change takes note that the servers have another file, or, without a reason, that they may have the old one again.
func (s *status) change(reason string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.changed, s.reason = reason != "", reason
}

// update writes the file if it is time for that, with what was counted, and for how long, and why, nothing has come.
func (s *status) update(st stream.Stats, lazy bool, trouble time.Duration, cause string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	state, reason := Streaming, ""
	switch {
	case s.end != "":
		state, reason = s.end, s.reason
	case s.changed:
		state, reason = Changed, s.reason
	case trouble >= hush:
		state, reason = Waiting, cause
	case lazy:
		state = Lazy
	}
	if s.now.State != state {
		s.began = time.Now()
	} else if time.Since(s.written) < between {
		return
	}
	if state == Complete {
		st.Cached = 0 // it is given back with the process, whose last word this is
	}
	s.now.State, s.now.Reason = state, reason
	s.now.Size, s.now.Present, s.now.Fetched, s.now.Cached, s.now.Wrong = st.Size, st.Present, st.Fetched, st.Cached, st.Wrong
	s.write()
}

// write replaces the file, if that says something new. What goes wrong, with a full /run for example, leaves the old one, and it is tried
// again.
func (s *status) write() {
	if s.now == s.last {
		return
	}
	s.written = time.Now()
	told := s.now
	// The clock may have been set meanwhile: what counts is the time that has passed.
	told.Since = time.Now().Add(-time.Since(s.began)).UTC().Truncate(time.Second)
	text, err := json.Marshal(told)
	if err == nil && replaceFile(s.path, append(text, '\n')) == nil {
		s.last = s.now
	}
}

// replaceFile makes a file that has all of text or, as before, none of it.
func replaceFile(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	beside := path + ".new"
	err := os.WriteFile(beside, text, 0o644)
	if err == nil {
		err = os.Rename(beside, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(beside))
	}
	return nil
}
