package dolly_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/dolly"
	"github.com/liveboot/liveboot/pkg/fetch/dolly/ring"
	"github.com/liveboot/liveboot/pkg/fetch/dolly/server"
	"github.com/liveboot/liveboot/pkg/network/nettest"
)

// gated is an image of which the server sends no more than a test lets it.
type gated struct {
	t     *testing.T
	image []byte
	limit chan int // how far it may be sent; closed: to the end
	at    int
	until int
}

func newGated(t *testing.T, image []byte) *gated {
	return &gated{t: t, image: image, limit: make(chan int, 10)}
}

func (g *gated) Read(p []byte) (int, error) {
	for g.at == g.until {
		if g.at == len(g.image) {
			return 0, io.EOF
		}
		select {
		case until, ok := <-g.limit:
			if !ok {
				until = len(g.image)
			}
			g.until = until
		case <-g.t.Context().Done():
			return 0, g.t.Context().Err()
		}
	}
	n := copy(p, g.image[g.at:g.until])
	g.at += n
	return n, nil
}

// A site has machines and a server: a lab, or a hall.
type site interface {
	host(i int) string
	hosts(n int) []string
	start(i int, change func(*dolly.Options, *machine)) *machine
	serve(s server.Server, image io.Reader) chan sent
}

// A failure is that of one node of a ring, when all of them have some of the image.
type failure struct {
	dialect ring.Dialect
	nodes   int
	place   int // of the node that fails, from 1
	at      int // how many bytes the nodes have then
}

// TestNodeFails lets each node of a ring fail, and with no more than the last byte to come, too.
func TestNodeFails(t *testing.T) {
	const nodes, size = 4, 4 << 20
	image := noise(size)
	for _, dialect := range []ring.Dialect{ring.Dialect06, ring.Dialect07} {
		for place := 1; place <= nodes; place++ {
			for _, at := range []int{1, size / 2, size - 1} {
				t.Run(fmt.Sprintf("%v, node %d after %d bytes", dialect, place, at), func(t *testing.T) {
					t.Parallel()
					failure{dialect, nodes, place, at}.run(t, newLab(t), image)
				})
			}
		}
	}
}

// TestNodeFailsInNamespaces does the same with machines in network namespaces of their own, between which is a router, one ring after the other.
func TestNodeFailsInNamespaces(t *testing.T) {
	const most, size, block = 16, 3 << 20, 1 << 20
	nettest.Run(t, func(t *testing.T, near *nettest.Net) {
		h := newHall(t, near, most)
		image := noise(size)
		for _, nodes := range []int{1, 2, 3, most} {
			places := []int{1, 2, nodes / 2, nodes - 1, nodes}
			if nodes < most || os.Getenv("LIVEBOOT_TEST") == "full" {
				places = nil
				for place := range nodes {
					places = append(places, place+1)
				}
			}
			for _, dialect := range []ring.Dialect{ring.Dialect06, ring.Dialect07} {
				for _, place := range places {
					for _, when := range []struct {
						name string
						at   int
					}{{"at the beginning", 1}, {"in the middle", size / 2}, {"one block before the end", size - block}} {
						t.Run(fmt.Sprintf("%v, node %d of %d %s", dialect, place, nodes, when.name), func(t *testing.T) {
							failure{dialect, nodes, place, when.at}.run(t, h.in(t), image)
						})
					}
				}
			}
		}
	})
}

// run lets the failure happen. The nodes before the one that fails get the whole image; those behind it get an error that names who is lost, and the image
// by another ring, in which the one that failed is again.
func (f failure) run(t *testing.T, s site, image []byte) {
	t.Helper()
	source := newGated(t, image)
	machines, done := f.happen(t, s, source)
	close(source.limit)
	for i, m := range machines {
		switch node := i + 1; {
		case node < f.place:
			m.whole(t, s.host(node), image)
		case node > f.place:
			var lost *dolly.LostError
			if err := m.end(t); !errors.As(err, &lost) || lost.Received < int64(f.at) {
				t.Errorf("node %d behind the one that failed: %v, want a LostError after %d bytes or more", node, err, f.at)
			} else if want := fmt.Sprintf("node %d, %s", node-1, s.host(node-1)); lost.Parent != want {
				t.Errorf("node %d lost %q, want %q", node, lost.Parent, want)
			}
		}
	}
	complete, lost := s.hosts(f.nodes)[:f.place-1], s.hosts(f.nodes)[f.place-1:]
	if got := <-done; (got.err != nil) != (f.place == 1) || !slices.Equal(got.Lost, lost) || !slices.Equal(got.Complete, complete) {
		t.Errorf("Send = %+v, want %v lost", got, lost)
	}

	for node := f.place; node <= f.nodes; node++ {
		machines[node-1] = s.start(node, nil)
	}
	done = s.serve(server.Server{Hosts: lost, Dialect: f.dialect}, bytes.NewReader(image))
	for node := f.place; node <= f.nodes; node++ {
		machines[node-1].whole(t, "in the next ring, "+s.host(node), image)
	}
	if got := <-done; got.err != nil || !slices.Equal(got.Complete, lost) {
		t.Errorf("the next Send = %+v, want the image at %v", got, lost)
	}
}

// happen makes a ring, which gets f.at bytes, and returns when the node has failed, and the one before it has noticed.
func (f failure) happen(t *testing.T, s site, source *gated) ([]*machine, chan sent) {
	t.Helper()
	reached, fail := make(chan struct{}, f.nodes), make(chan struct{})
	broken := errors.New("no such luck")
	var machines []*machine
	for i := 1; i <= f.nodes; i++ {
		machines = append(machines, s.start(i, func(_ *dolly.Options, m *machine) {
			var once sync.Once
			m.after = func(n int64) error {
				if n < int64(f.at) {
					return nil
				}
				once.Do(func() { reached <- struct{}{} })
				if i != f.place {
					return nil
				}
				select {
				case <-fail:
				case <-t.Context().Done():
				}
				return broken
			}
		}))
	}
	source.limit <- f.at
	done := s.serve(server.Server{Hosts: s.hosts(f.nodes), Dialect: f.dialect}, source)
	for range f.nodes {
		select {
		case <-reached:
		case <-time.After(patience):
			t.Fatal("not all nodes get as far as they should")
		}
	}
	// The others have what it had, and now it is gone.
	close(fail)
	if err := machines[f.place-1].end(t); !errors.Is(err, broken) {
		t.Fatalf("node %d ended with %v, want %v", f.place, err, broken)
	}
	if f.place > 1 {
		machines[f.place-2].await(t, func(e dolly.Event) bool {
			lost, ok := e.(dolly.Lost)
			return ok && lost.Host == s.host(f.place) && lost.Behind == f.nodes-f.place
		})
	}
	return machines, done
}

// TestNodeFailsInTheWay lets a node fail that takes nothing any more, in the middle of what the one before it writes to it: that one goes on.
func TestNodeFailsInTheWay(t *testing.T) {
	const size = 64 << 20 // more than the kernel's buffers have room for
	l := newLab(t)
	fail, broken := make(chan struct{}), errors.New("no such luck")
	var machines []*machine
	for i := 1; i <= 3; i++ {
		machines = append(machines, l.start(i, func(o *dolly.Options, m *machine) {
			o.Remind = 50 * time.Millisecond
			m.forget = true
			if i == 2 {
				m.after = func(int64) error {
					select {
					case <-fail:
					case <-t.Context().Done():
					}
					return broken
				}
			}
		}))
	}
	done := l.serve(server.Server{Hosts: l.hosts(3)}, &endless{size})
	machines[0].await(t, func(e dolly.Event) bool {
		s, ok := e.(dolly.Stuck)
		return ok && s.Received > 0 && s.Sending && s.On == l.host(2)
	})
	close(fail)
	if err := machines[0].end(t); err != nil || machines[0].received() != size {
		t.Errorf("the node before the one that failed: %d bytes, %v, want %d", machines[0].received(), err, size)
	}
	var lost *dolly.LostError
	if err := machines[2].end(t); !errors.As(err, &lost) {
		t.Errorf("the node behind the one that failed: %v, want a LostError", err)
	}
	if got := <-done; got.err != nil || !slices.Equal(got.Complete, l.hosts(1)) || !slices.Equal(got.Lost, l.hosts(3)[1:]) {
		t.Errorf("Send = %+v, want the image at the first node only", got)
	}
}
