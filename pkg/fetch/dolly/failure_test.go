package dolly_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/dolly"
	"github.com/liveboot/liveboot/pkg/fetch/dolly/ring"
	"github.com/liveboot/liveboot/pkg/fetch/dolly/server"
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

// TestNodeFails lets each node of a ring fail: those before it get the whole image, those behind it an error that names who is lost.
func TestNodeFails(t *testing.T) {
	const nodes, size = 4, 4 << 20
	image := noise(size)
	for _, dialect := range []ring.Dialect{ring.Dialect06, ring.Dialect07} {
		for place := 1; place <= nodes; place++ {
			for _, when := range []struct {
				name string
				at   int
			}{{"beginning", 1}, {"middle", size / 2}, {"end", size - 1}} {
				t.Run(fmt.Sprintf("%v, node %d at the %s", dialect, place, when.name), func(t *testing.T) {
					t.Parallel()
					l := newLab(t)
					source := newGated(t, image)
					reached, fail := make(chan int, nodes), make(chan struct{})
					broken := errors.New("no such luck")
					var machines []*machine
					for i := 1; i <= nodes; i++ {
						machines = append(machines, l.start(i, func(_ *dolly.Options, m *machine) {
							told := false
							m.after = func(n int64) error {
								if n < int64(when.at) {
									return nil
								}
								if !told {
									told = true
									reached <- i
								}
								if i != place {
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
					source.limit <- when.at
					done := l.serve(server.Server{Hosts: l.hosts(nodes), Dialect: dialect}, source)
					for range nodes {
						select {
						case <-reached:
						case <-time.After(20 * time.Second):
							t.Fatal("not all nodes get as far as they should")
						}
					}
					// The others have what it had, and now it is gone.
					close(fail)
					if err := machines[place-1].end(t); !errors.Is(err, broken) {
						t.Fatalf("node %d ended with %v, want %v", place, err, broken)
					}
					if place > 1 {
						machines[place-2].await(t, func(e dolly.Event) bool {
							lost, ok := e.(dolly.Lost)
							return ok && lost.Host == l.host(place) && lost.Behind == nodes-place
						})
					}
					close(source.limit)
					for i, m := range machines {
						switch {
						case i+1 < place:
							m.whole(t, l.host(i+1), image)
						case i+1 > place:
							var lost *dolly.LostError
							if err := m.end(t); !errors.As(err, &lost) || lost.Received < int64(when.at) {
								t.Errorf("node %d behind the one that failed: %v, want a LostError after %d bytes or more", i+1, err, when.at)
							} else if want := fmt.Sprintf("node %d, %s", i, l.host(i)); lost.Parent != want {
								t.Errorf("node %d lost %q, want %q", i+1, lost.Parent, want)
							}
						}
					}
					got := <-done
					wantLost := l.hosts(nodes)[place-1:]
					if (got.err != nil) != (place == 1) || !slices.Equal(got.Lost, wantLost) || !slices.Equal(got.Complete, l.hosts(nodes)[:place-1]) {
						t.Errorf("Send = %+v, want %v lost", got, wantLost)
					}
				})
			}
		}
	}
}

// TestServerFails lets the server fail: every node says who is lost, and is ready for another ring.
func TestServerFails(t *testing.T) {
	const nodes, size = 3, 2 << 20
	image := noise(size)
	for _, at := range []int{0, 1, size / 2, size} {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			var machines []*machine
			for i := 1; i <= nodes; i++ {
				machines = append(machines, l.start(i, nil))
			}
			broken := errors.New("disk on fire")
			got := <-l.serve(server.Server{Hosts: l.hosts(nodes)}, io.MultiReader(bytes.NewReader(image[:at]), failing{broken}))
			if !errors.Is(got.err, broken) || len(got.Complete) > 0 {
				t.Errorf("Send = %+v, want %v", got, broken)
			}
			for i, m := range machines {
				var lost *dolly.LostError
				if err := m.end(t); !errors.As(err, &lost) || lost.Total != -1 {
					t.Errorf("node %d: %v, want a LostError", i+1, err)
				}
			}
			// The next ring, with the same machines.
			for i := range machines {
				machines[i] = l.start(i+1, nil)
			}
			done := l.serve(server.Server{Hosts: l.hosts(nodes)}, bytes.NewReader(image))
			for i, m := range machines {
				m.whole(t, l.host(i+1), image)
			}
			if got := <-done; got.err != nil {
				t.Error(got.err)
			}
		})
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// TestHung: a machine that takes connections and says nothing is not waited for for ever, and is named.
func TestHung(t *testing.T) {
	l := newLab(t)
	l.start(1, nil)
	for _, port := range []int{ring.DataPort, ring.ControlPort} {
		l.listen(2, port)
	}
	got := <-l.serve(server.Server{Hosts: l.hosts(3), Wait: 500 * time.Millisecond}, bytes.NewReader(noise(1)))
	var absent *server.AbsentError
	if !errors.As(got.err, &absent) || !slices.Equal(absent.Hosts, l.hosts(3)[1:]) || len(got.Skipped) > 0 {
		t.Errorf("Send = %+v, want an AbsentError that names %v", got, l.hosts(3)[1:])
	}
}

// TestAbsent leaves machines out that are not there when the ring is built.
func TestAbsent(t *testing.T) {
	const nodes = 5
	image := noise(1 << 20)
	for _, dialect := range []ring.Dialect{ring.Dialect06, ring.Dialect07} {
		for _, absent := range [][]int{{1}, {3}, {5}, {2, 3}, {1, 5}, {2, 3, 4, 5}} {
			t.Run(fmt.Sprint(dialect, absent), func(t *testing.T) {
				t.Parallel()
				l := newLab(t)
				machines := make(map[int]*machine)
				var complete, skipped []string
				for i := 1; i <= nodes; i++ {
					if slices.Contains(absent, i) {
						skipped = append(skipped, l.host(i))
						continue
					}
					machines[i] = l.start(i, func(o *dolly.Options, _ *machine) { o.Attempts = 1 })
					complete = append(complete, l.host(i))
				}
				got := <-l.serve(server.Server{Hosts: l.hosts(nodes), Dialect: dialect, Wait: 500 * time.Millisecond}, bytes.NewReader(image))
				if got.err != nil || !slices.Equal(got.Complete, complete) || !slices.Equal(got.Skipped, skipped) {
					t.Errorf("Send = %+v, want %v complete and %v skipped", got, complete, skipped)
				}
				for i, m := range machines {
					m.whole(t, l.host(i), image)
				}
			})
		}
	}
}
