package disk

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// How often Wait looks, and for how long a device that could not be read is left alone.
const (
	interval   = 250 * time.Millisecond
	retryAfter = 2 * time.Second
	// patience is how long disks that do not answer are waited for: by those that wait for their turn, and by a device that was found, since
	// another might have the same name.
	patience = 5 * time.Second
	// readers is how many disks are read at a time.
	readers = 8
)

// A watch knows the disks that there are, and reads those that are new or changed.
type watch struct {
	prober  prober
	disks   map[string]*watched
	results chan result
	places  chan struct{}
	done    chan struct{}
	busy    int // how many are being read
}

// A watched disk is one of a watch.
type watched struct {
	state   string // of the unit when it was read
	reading bool
	devices []Device
	err     error
	retry   time.Time // when to read again, if err or one of the devices' is not nil
}

// A result is what reading a disk gave.
type result struct {
	disk *watched
	read watched
}

func newWatch(s System) *watch {
	return &watch{
		prober: prober{s}, disks: make(map[string]*watched),
		results: make(chan result), places: make(chan struct{}, readers), done: make(chan struct{}),
	}
}

// close lets the readers end whose answer nobody waits for any more.
func (w *watch) close() { close(w.done) }

// look finds out what has changed, and begins to read that.
func (w *watch) look() error {
	now, err := units(w.prober.system.Sys)
	if err != nil {
		return err
	}
	maps.DeleteFunc(w.disks, func(name string, _ *watched) bool { _, ok := now[name]; return !ok })
	for name, u := range now {
		d := w.disks[name]
		if d == nil {
			d = new(watched)
			w.disks[name] = d
		}
		due := !d.retry.IsZero() && !time.Now().Before(d.retry)
		if d.reading || u.state() == d.state && !due {
			continue
		}
		d.reading = true
		w.busy++
		go w.read(d, u)
	}
	return nil
}

// read examines a disk when it is its turn. One that does not answer lets the next have its turn after a while.
func (w *watch) read(d *watched, u unit) {
	select {
	case w.places <- struct{}{}:
		leave := sync.OnceFunc(func() { <-w.places })
		defer leave()
		defer time.AfterFunc(patience, leave).Stop()
	case <-w.done:
		return
	}
	var r watched
	r.devices, r.state, r.err = w.prober.examine(u)
	select {
	case w.results <- result{d, r}:
	case <-w.done:
	}
}

// take notes a result.
func (w *watch) take(r result) {
	w.busy--
	*r.disk = r.read
	if r.read.err != nil || slices.ContainsFunc(r.read.devices, func(d Device) bool { return d.Err != nil }) {
		r.disk.retry = time.Now().Add(retryAfter)
	}
}

// devices returns what is known now.
func (w *watch) devices() []Device {
	var all []Device
	for _, d := range w.disks {
		all = append(all, d.devices...)
	}
	slices.SortFunc(all, byName)
	return all
}

// which returns the paths of the disks for which ok says so.
func (w *watch) which(ok func(*watched) bool) []string {
	var all []string
	for name, d := range w.disks {
		if ok(d) {
			all = append(all, devicePath(name))
		}
	}
	slices.Sort(all)
	return all
}

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
	var told []string
	begin := time.Now()
	tell := func(devices []Device) {
		now := make([]string, len(devices))
		for i, d := range devices {
			now[i] = d.String()
		}
		if changed != nil && (w.busy == 0 || time.Since(begin) >= patience) && (told == nil || !slices.Equal(now, told)) {
			changed(devices)
			told = now
		}
	}
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
			tell(devices)
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
