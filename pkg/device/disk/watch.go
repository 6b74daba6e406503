package disk

import (
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
