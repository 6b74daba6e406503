package fetch

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/fetchtest"
)

// TestRangesConnections: as many requests are under way as may be, over connections that are used again; a server that wants fewer gets
// fewer.
func TestRangesConnections(t *testing.T) {
	for _, tt := range []struct{ asked, most, want int }{{0, 0, DefaultRanges}, {1, 0, 1}, {6, 0, 6}, {100, 0, MaxConnections}, {6, 3, 3}, {6, 1, 1}} {
		in(t, func(t *testing.T, network *fetchtest.Network) {
			server := network.Server("h", strong, append([]fetchtest.Answer{{}}, slowly(1000)...)...)
			server.Most = tt.most
			var mutex sync.Mutex
			dials := 0
			var c events
			e := Environment{Report: c.report, Roots: t.TempDir(), connect: func(ctx context.Context, kind, address string) (net.Conn, error) {
				mutex.Lock()
				defer mutex.Unlock()
				dials++
				return network.Dial(ctx, kind, address)
			}}
			s := source("http://h/image")
			s.Connections = tt.asked
			r, err := OpenRanges(t.Context(), s, e)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			began := time.Now()
			var group sync.WaitGroup
			for i := range 50 {
				group.Go(func() { checkRead(t, r, image, openSize+20_000*i, 20_000) })
			}
			group.Wait()
			// 20000 bytes are two blocks of a tenth of a second each.
			if least, took := 50*200*time.Millisecond/time.Duration(tt.want), time.Since(began); took > least+5*time.Second {
				t.Errorf("%+v: took %v, want %v", tt, took, least)
			}
			if n := server.Busiest(); n != tt.want {
				t.Errorf("%+v: %d requests at the same time", tt, n)
			}
			if tt.most == 0 && dials > tt.want { // a server that refuses ends the connection, too
				t.Errorf("%+v: %d connections", tt, dials)
			}
			if got := c.kinds(); got != "" && tt.most == 0 {
				t.Errorf("%+v: events %v, want none", tt, c.all)
			}
		})
	}
}

// TestRangesMoreAgain: a server that wanted fewer connections for a while gets more later.
func TestRangesMoreAgain(t *testing.T) {
	in(t, func(t *testing.T, network *fetchtest.Network) {
		server := network.Server("h", strong, append([]fetchtest.Answer{{}}, slowly(10_000)...)...)
		server.Most = 1
		r, err := openRanges(t, network, source("http://h/image"), &events{})
		if err != nil {
			t.Fatal(err)
		}
		read := func(n int) time.Duration {
			began := time.Now()
			var group sync.WaitGroup
			for i := range n {
				group.Go(func() { checkRead(t, r, image, openSize+500*i, 500) })
			}
			group.Wait()
			return time.Since(began)
		}
		if took := read(100); took < 10*time.Second {
			t.Fatalf("100 parts took %v, one after the other", took)
		}
		server.More(100)
		time.Sleep(time.Minute)
		read(2000)
		if took := read(100); took > 3*time.Second || server.Busiest() != DefaultRanges {
			t.Errorf("100 parts took %v, %d at a time, want %d", took, server.Busiest(), DefaultRanges)
		}
	})
}

// TestRangesCrumbs: a server that breaks each answer after a byte is not asked as fast as it breaks them.
func TestRangesCrumbs(t *testing.T) {
	in(t, func(t *testing.T, network *fetchtest.Network) {
		server := network.Server("h", strong)
		r, err := openRanges(t, network, source("http://h/image"), &events{})
		if err != nil {
			t.Fatal(err)
		}
		server.Bad = map[int]fetchtest.Answer{}
		for i := range 100 {
			server.Bad[300_000+i] = fetchtest.Answer{Break: fetchtest.Reset, At: 300_001 + i}
		}
		began := time.Now()
		checkRead(t, r, image, 300_000, 110)
		if took := time.Since(began); took < 49*time.Second || took > 100*time.Second {
			t.Errorf("100 broken answers took %v, want half a second each at least", took)
		}
	})
}

// TestRangesRate: the limit is of all connections together.
func TestRangesRate(t *testing.T) {
	in(t, func(t *testing.T, network *fetchtest.Network) {
		network.Server("h", strong)
		s := source("http://h/image")
		s.LimitRate = 100_000
		r, err := openRanges(t, network, s, &events{})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		var group sync.WaitGroup
		for i := range 10 {
			group.Go(func() { checkRead(t, r, image, openSize+100_000*i, 100_000) })
		}
		group.Wait()
		if took := time.Since(began); took < 9*time.Second || took > 12*time.Second {
			t.Errorf("a million bytes took %v, want 10 seconds", took)
		}
	})
}
