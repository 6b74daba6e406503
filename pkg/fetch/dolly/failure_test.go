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
	t.Parallel()
	l := newLab(t)
	l.start(1, nil)
	for _, port := range []int{ring.DataPort, ring.ControlPort} {
		l.listen(2, port)
	}
	got := <-l.serve(server.Server{Hosts: l.hosts(3), Wait: 3 * time.Second}, bytes.NewReader(noise(1)))
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
				got := <-l.serve(server.Server{Hosts: l.hosts(nodes), Dialect: dialect, Wait: 4 * time.Second}, bytes.NewReader(image))
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
