package disk

import (
	"context"
	"fmt"
	"time"
)

// Watch calls changed with the devices that there are, at first and whenever they have become others, until it returns true. Disks that do
// not answer are left out, and come with a later call if they do. When ctx ends, the error is its cause.
func (s System) Watch(ctx context.Context, changed func([]Device) (done bool)) error {
	w := newWatch(s)
	defer w.close()
	ticks := time.NewTicker(interval)
	defer ticks.Stop()
	done := false
	people := audience{tell: func(there []Device) { done = changed(there) }, patient: time.Now().Add(patience)}
	for {
		if err := w.look(); err != nil {
			return fmt.Errorf("watch the disks: %w", err)
		}
		people.show(w.devices(), w.busy > 0)
		if done {
			return nil
		}
		select {
		case r := <-w.results:
			w.take(r)
		case <-ticks.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
