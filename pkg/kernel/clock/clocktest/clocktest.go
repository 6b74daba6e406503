// Package clocktest is a clock that can be set without the kernel's being set.
package clocktest

import (
	"sync"
	"time"
)

// A Recorder is a clock that runs from Start on, and hands each setting to Log, when that is set, as the date(1) command that would do
// it. It may be used by several goroutines.
type Recorder struct {
	Start time.Time
	Log   func(command string)
	// OnSet, when set, decides what a setting comes to.
	OnSet func(time.Time) error

	mu      sync.Mutex
	since   time.Time
	current time.Time
}

// Now returns the time.
func (r *Recorder) Now() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.since.IsZero() {
		r.since, r.current = time.Now(), r.Start
	}
	return r.current.Add(time.Since(r.since))
}

// Set records the setting, and goes on from t.
func (r *Recorder) Set(t time.Time) error {
	if r.Log != nil {
		r.Log("date -s " + t.UTC().Format("2006-01-02T15:04:05Z"))
	}
	if r.OnSet != nil {
		if err := r.OnSet(t); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.since, r.current = time.Now(), t
	return nil
}
