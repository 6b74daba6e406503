package disk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Wait returns the device that name means (see Find) as soon as it is there and has been read. While it is not, changed is called with
// the devices that there are, at first and whenever they have become others; it may be nil. A name that two devices have, or that is
// none, is an error at once. When ctx ends, the error wraps its cause and a *NotFoundError.
func (s System) Wait(ctx context.Context, name string, changed func([]Device)) (Device, error) {
	match, err := parse(name)
	if err != nil {
		return Device{}, err
	}
	w := newWatch(s)
	defer w.close()
	ticks := time.NewTicker(interval)
	defer ticks.Stop()
	people := audience{tell: changed, patient: time.Now().Add(patience)}
	var since time.Time // when the device was found
	for {
		if err := w.look(); err != nil {
			return Device{}, fmt.Errorf("find device %s: %w", name, err)
		}
		devices := w.devices()
		d, err := pick(devices, name, match)
		var missing *NotFoundError
		switch {
		case errors.As(err, &missing):
			since = time.Time{}
			people.show(devices, w.busy > 0)
		case err != nil, w.busy == 0, isKernelName(name, d):
			return d, err
		case since.IsZero():
			since = time.Now()
		case time.Since(since) >= patience:
			return d, nil
		}
		select {
		case r := <-w.results:
			w.take(r)
		case <-ticks.C:
		case <-ctx.Done():
			if missing == nil {
				return d, nil
			}
			missing.Empty = w.which(func(d *watched) bool { return errors.Is(d.err, ErrNoMedium) })
			missing.Silent = w.which(func(d *watched) bool { return d.reading && d.state == "" })
			return Device{}, fmt.Errorf("%w (%w)", missing, context.Cause(ctx))
		}
	}
}

// isKernelName says whether name is the device's own, which no other has.
func isKernelName(name string, d Device) bool { return name == d.Name || name == d.Path }

// An audience is told of the devices when they have become others.
type audience struct {
	tell    func([]Device) // nil for nobody
	told    []string
	patient time.Time // until when the list must be complete
}

// show tells the audience of the devices, of which some are missing if more are being read.
func (a *audience) show(devices []Device, more bool) {
	if a.tell == nil || more && time.Now().Before(a.patient) {
		return
	}
	now := make([]string, len(devices))
	for i, d := range devices {
		now[i] = d.String()
	}
	if a.told == nil || !slices.Equal(now, a.told) {
		a.told = now
		a.tell(devices)
	}
}
