package dolly_test

import (
	"bytes"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/dolly"
	"github.com/liveboot/liveboot/pkg/fetch/dolly/ring"
	"github.com/liveboot/liveboot/pkg/fetch/dolly/server"
)

// TestSlowNode: a node that takes nothing holds the ring up, with no more in between than the kernel's buffers have room for. The node before it says
// for whom it waits, the one behind it, who sends nothing; when it goes on, so does the ring.
func TestSlowNode(t *testing.T) {
	const size = 256 << 20
	before := inUse()
	l := newLab(t)
	goOn := make(chan struct{})
	var machines []*machine
	for i := 1; i <= 3; i++ {
		machines = append(machines, l.start(i, func(o *dolly.Options, m *machine) {
			o.Remind = 50 * time.Millisecond
			m.forget = true
			if i == 2 {
				m.after = func(int64) error {
					select {
					case <-goOn:
					case <-t.Context().Done():
					}
					return nil
				}
			}
		}))
	}
	done := l.serve(server.Server{Hosts: l.hosts(3)}, &endless{size})
	waiting := func(on string, sending bool) func(dolly.Event) bool {
		return func(e dolly.Event) bool {
			s, ok := e.(dolly.Stuck)
			return ok && s.Received > 0 && s.On == on && s.Sending == sending
		}
	}
	machines[0].await(t, waiting(l.host(2), true))
	machines[2].await(t, waiting("node 2, "+l.host(2), false))
	// Up to some MiB are in each of the kernel's buffers.
	if got := machines[0].received(); got > size/2 {
		t.Errorf("the node before the slow one has %d MiB, want it to wait long before the end", got>>20)
	}
	if more := inUse() - before; more > 16<<20 {
		t.Errorf("the ring keeps %d MiB while it waits, want next to nothing", more>>20)
	}
	for _, e := range machines[1].told() {
		if s, ok := e.(dolly.Stuck); ok && s.Received > 0 && !s.Sending {
			t.Errorf("the slow node says %q, want nothing: it does not read", s)
		}
	}
	close(goOn)
	for i, m := range machines {
		if err := m.end(t); err != nil || m.received() != size {
			t.Errorf("node %d: %d bytes, %v, want %d", i+1, m.received(), err, size)
		}
	}
	if got := <-done; got.err != nil {
		t.Error(got.err)
	}
}

// inUse is how much of the heap is in use, in bytes.
func inUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestLostBeforeTheImage: a node that fails when the ring is there, but nothing has been sent, is replaced by the one behind it.
func TestLostBeforeTheImage(t *testing.T) {
	for _, dialect := range []ring.Dialect{ring.Dialect06, ring.Dialect07} {
		t.Run(dialect.String(), func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			image := noise(1 << 20)
			source := newGated(t, image)
			var machines []*machine
			for i := 1; i <= 3; i++ {
				machines = append(machines, l.start(i, nil))
			}
			done := l.serve(server.Server{Hosts: l.hosts(3), Dialect: dialect}, source)
			machines[1].await(t, func(e dolly.Event) bool { _, ok := e.(dolly.Linked); return ok })
			machines[2].await(t, func(e dolly.Event) bool { _, ok := e.(dolly.Joined); return ok })
			machines[1].cancel()
			// The third one has lost its parent, and waits for the next ring, which is the rest of this one.
			if err := machines[2].end(t); err == nil || !strings.Contains(err.Error(), "is gone after 0 bytes") {
				t.Errorf("the third node ended with %v, want a LostError", err)
			}
			machines[2] = l.start(3, nil)
			machines[0].await(t, func(e dolly.Event) bool {
				linked, ok := e.(dolly.Linked)
				return ok && linked.Host == l.host(3)
			})
			close(source.limit)
			machines[0].whole(t, "first", image)
			machines[2].whole(t, "third", image)
			if got := <-done; got.err != nil {
				t.Errorf("Send = %+v", got)
			}
		})
	}
}

// TestUnconfirmed: a node behind this one that never says that it has everything does not hold up the boot.
func TestUnconfirmed(t *testing.T) {
	l := newLab(t)
	image := noise(1 << 20)
	hold := make(chan struct{})
	first := l.start(1, func(o *dolly.Options, _ *machine) { o.Confirm = 100 * time.Millisecond })
	l.start(2, func(_ *dolly.Options, m *machine) {
		m.after = func(int64) error {
			select {
			case <-hold:
			case <-t.Context().Done():
			}
			return nil
		}
	})
	done := l.serve(server.Server{Hosts: l.hosts(2)}, bytes.NewReader(image))
	first.whole(t, "first", image)
	if !slices.ContainsFunc(first.told(), func(e dolly.Event) bool { u, ok := e.(dolly.Unconfirmed); return ok && u.Host == l.host(2) }) {
		t.Errorf("the first node told %v, want that the second is unconfirmed", first.told())
	}
	close(hold)
	if got := <-done; got.err == nil || len(got.Complete) > 0 {
		t.Errorf("Send = %+v, want an error: the ring did not confirm", got)
	}
}
