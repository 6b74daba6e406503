package dolly_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/liveboot/liveboot/pkg/fetch/dolly"
	"github.com/liveboot/liveboot/pkg/fetch/dolly/ring"
	"github.com/liveboot/liveboot/pkg/fetch/dolly/server"
)

func TestRing(t *testing.T) {
	for _, tt := range []struct {
		dialect  ring.Dialect
		password string
		nodes    int
		fanout   int
		size     int
		block    int
	}{
		{ring.Dialect07, "", 1, 1, 5<<20 + 3, 1 << 20},
		{ring.Dialect07, "", 2, 1, 5<<20 + 3, 1 << 20},
		{ring.Dialect07, "", 3, 1, 5<<20 + 3, 4 << 10},
		{ring.Dialect07, "", 16, 1, 3<<20 + 3, 1 << 20},
		{ring.Dialect07, "secret", 1, 1, 1 << 20, 1 << 20},
		{ring.Dialect07, "secret", 3, 1, 1 << 20, 1 << 20},
		{ring.Dialect07, "", 3, 1, 0, 1 << 20},
		{ring.Dialect07, "", 3, 1, 1, 1 << 20},
		{ring.Dialect06, "", 1, 1, 5<<20 + 3, 1 << 20},
		{ring.Dialect06, "", 3, 1, 5<<20 + 3, 100},
		{ring.Dialect06, "", 16, 1, 3<<20 + 3, 1 << 20},
		{ring.Dialect06, "", 12, 3, 3<<20 + 3, 1 << 20},
		{ring.Dialect06, "", 3, 1, 0, 1 << 20},
	} {
		name := fmt.Sprintf("%v, %d nodes, fanout %d, password %q, %d bytes in blocks of %d", tt.dialect, tt.nodes, tt.fanout, tt.password, tt.size, tt.block)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			var machines []*machine
			for i := range tt.nodes {
				machines = append(machines, l.start(i+1, func(o *dolly.Options, m *machine) { o.Password, m.block = tt.password, tt.block }))
			}
			image := noise(tt.size)
			done := l.serve(server.Server{
				Hosts: l.hosts(tt.nodes), Dialect: tt.dialect, Password: tt.password, Fanout: tt.fanout, Name: "server",
			}, bytes.NewReader(image))
			for i, m := range machines {
				m.whole(t, l.host(i+1), image)
			}
			got := <-done
			if got.err != nil || got.Bytes != int64(tt.size) || !slices.Equal(got.Complete, l.hosts(tt.nodes)) {
				t.Errorf("Send = %+v, want %d bytes at all %d nodes", got, tt.size, tt.nodes)
			}
		})
	}
}
