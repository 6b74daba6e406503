package daemon

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch"
	"github.com/liveboot/liveboot/pkg/stream"
)

// tick is how often it is looked what has changed, and lookEvery every how many times whether an address expires.
const (
	tick      = time.Second
	lookEvery = 5
)

// watch looks every second how it goes, and says so.
func (d *daemon) watch(ctx context.Context) {
	var last stream.Stats
	var search sync.WaitGroup
	defer search.Wait()
	var searching atomic.Bool
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for n := 0; ; n++ {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		trouble, cause := d.line.look()
		if trouble >= patience && !searching.Swap(true) {
			search.Go(func() {
				d.names.search(ctx)
				searching.Store(false)
			})
		}
		if n%lookEvery == 0 {
			if err := keepAddresses(d.names.all()); err != nil && d.often.pass(err) {
				d.quiet(err.Error())
			}
		}
		store := d.store.Load()
		if store == nil {
			continue
		}
		now := store.Stats()
		if now != last {
			d.teller.tell(Message{Progress: &now})
			last = now
		}
		d.status.update(now, d.place == nil, trouble, cause)
		if d.ending.step(store); d.ending.asked.IsZero() {
			d.before.step(store, trouble)
		}
	}
}

// quiet says what is good to know, and loud what a person at the console should see.
func (d *daemon) quiet(text string) { d.teller.tell(Message{Event: "stream: " + text}) }
func (d *daemon) loud(text string)  { d.teller.tell(Message{Event: "stream: " + text, Loud: true}) }

// heard is told what happens at the servers. That they are tried again, and answer again, the line has its own way to tell.
func (d *daemon) heard(e fetch.Event) {
	switch e := e.(type) {
	case fetch.Retrying:
		d.line.fails(causes(e))
		return
	case fetch.Resumed:
		return
	}
	if d.often.pass(e) {
		d.quiet(e.String())
	}
}

// causes are what happened at each mirror.
func causes(e fetch.Retrying) error {
	var texts []string
	for _, c := range e.Causes {
		texts = append(texts, fmt.Sprintf("%v: %v", c.URL, c.Err))
	}
	return errors.New(strings.Join(texts, "; "))
}

// happened is told what happens to the image.
func (d *daemon) happened(e stream.Event) {
	switch e := e.(type) {
	case stream.Wrong:
		if d.often.pass(e) {
			d.quiet(e.String())
		}
		return
	}
	if d.often.pass(e) {
		d.loud(e.String())
	}
}

// fileChanged is that the servers have another file, as an event; and fileBack that they may have the old one again.
type (
	fileChanged struct{}
	fileBack    struct{}
)

// another says that the servers have another file than the one that is being read, what becomes of that, and what to do; without a cause, that
// they may have the old one again.
func (d *daemon) another(cause error) {
	if cause == nil {
		d.status.change("")
		if d.often.pass(fileBack{}) {
			d.loud("the old file is back, as far as its size and the server tell: the live system goes on")
		}
		return
	}
	var changed *fetch.ChangedError
	if errors.As(cause, &changed) {
		cause = changed
	}
	text := fmt.Sprintf("%v is not the file of %d bytes any more that this machine was started from (%v): nothing more is read of it, and what the live "+
		"system has not read yet it waits for; put the old file back as it was, and it goes on, or restart this machine, and publish new images under "+
		"new names", d.url, d.size, cause)
	d.status.change(text)
	if d.often.pass(fileChanged{}) {
		d.loud(text)
	}
}
