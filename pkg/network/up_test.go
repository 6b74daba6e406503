package network

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// kernel is a script of what links do, and what was done to them.
type kernel struct {
	events     []event
	configured map[string]Lease
	configErr  error
}

// event is a link's state at a time.
type event struct {
	at   time.Duration
	link Link
}

func (k *kernel) Watch(ctx context.Context) (<-chan Link, error) {
	links := make(chan Link)
	go func() {
		defer close(links)
		start := time.Now()
		for _, e := range k.events {
			select {
			case <-time.After(e.at - time.Since(start)):
			case <-ctx.Done():
				return
			}
			select {
			case links <- e.link:
			case <-ctx.Done():
				return
			}
		}
		<-ctx.Done()
	}()
	return links, nil
}

func (k *kernel) SetUp(Link) error { return nil }

func (k *kernel) SetMTU(_ Link, mtu int) error {
	if mtu > 1500 {
		return errors.New("invalid argument")
	}
	return nil
}

func (k *kernel) Configure(l Link, lease Lease) error {
	if k.configured == nil {
		k.configured = make(map[string]Lease)
	}
	k.configured[l.Name] = lease
	return k.configErr
}

func link(index int, name string, up, carrier bool) Link {
	return Link{Index: index, Name: name, MAC: net.HardwareAddr{2, 0, 0, 0, 0, byte(index)}, Up: up, Carrier: carrier}
}

var lease = Lease{Address: netip.MustParsePrefix("10.0.2.15/24"), Server: netip.MustParseAddr("10.0.2.2")}

// answers is a Client for which only the named links have a server, each after its time.
func answers(after map[string]time.Duration) Client {
	return func(ctx context.Context, l Link, attempt func(int)) (Lease, error) {
		d, ok := after[l.Name]
		if !ok {
			d = time.Hour
		}
		attempt(1)
		tick := time.NewTicker(4 * time.Second)
		defer tick.Stop()
		for n, done := 1, time.After(d); ; {
			select {
			case <-done:
				return lease, nil
			case <-tick.C:
				n++
				attempt(n)
			case <-ctx.Done():
				return Lease{}, ctx.Err()
			}
		}
	}
}

func TestUp(t *testing.T) {
	second := time.Second
	for _, tt := range []struct {
		name    string
		config  Config
		events  []event
		dhcp    map[string]time.Duration
		want    string // the link that wins
		took    time.Duration
		wantErr []string
	}{
		{
			"one link", Config{},
			[]event{{0, link(1, "eth0", false, false)}, {second, link(1, "eth0", true, false)}, {3 * second, link(1, "eth0", true, true)}},
			map[string]time.Duration{"eth0": second}, "eth0", 4 * second, nil,
		},
		{
			"the first that answers", Config{},
			[]event{{0, link(1, "eth0", true, true)}, {0, link(2, "eth1", true, true)}, {0, link(3, "eth2", true, false)}},
			map[string]time.Duration{"eth0": 9 * second, "eth1": 2 * second}, "eth1", 2 * second, nil,
		},
		{
			"carrier after 45 seconds", Config{},
			[]event{{0, link(1, "eth0", true, false)}, {45 * second, link(1, "eth0", true, true)}},
			map[string]time.Duration{"eth0": second}, "eth0", 46 * second, nil,
		},
		{
			"a card whose driver loads late", Config{},
			[]event{{0, link(1, "eth0", true, true)}, {50 * second, link(2, "eth1", true, true)}},
			map[string]time.Duration{"eth1": second}, "eth1", 51 * second, nil,
		},
		{
			"only the named one", Config{Link: Selector{Name: "eth1"}},
			[]event{{0, link(1, "eth0", true, true)}, {0, link(2, "eth1", true, true)}},
			map[string]time.Duration{"eth0": 0, "eth1": 5 * second}, "eth1", 5 * second, nil,
		},
		{
			"only that of the address", Config{Link: Selector{MAC: "02:00:00:00:00:02"}},
			[]event{{0, link(1, "eth0", true, true)}, {0, link(2, "eth1", true, true)}},
			map[string]time.Duration{"eth0": 0, "eth1": 5 * second}, "eth1", 5 * second, nil,
		},
		{
			"carrier lost and back", Config{},
			[]event{{0, link(1, "eth0", true, true)}, {2 * second, link(1, "eth0", true, false)}, {20 * second, link(1, "eth0", true, true)}},
			map[string]time.Duration{"eth0": 3 * second}, "eth0", 23 * second, nil,
		},
		{
			"each link has the whole time", Config{},
			[]event{{0, link(1, "eth0", true, true)}, {70 * second, link(2, "eth1", true, true)}},
			map[string]time.Duration{"eth1": 60 * second}, "eth1", 130 * second, nil,
		},
		{
			"but not for ever when one comes and goes", Config{},
			[]event{{0, link(1, "eth0", true, true)}, {50 * second, link(1, "eth0", true, false)}, {60 * second, link(1, "eth0", true, true)}},
			nil, "", 75 * second, []string{"no lease: eth0"},
		},
		{"no card", Config{}, nil, nil, "", 60 * second, []string{"no link", "found no network card"}},
		{"no such card", Config{Link: Selector{Name: "eth9"}}, []event{{0, link(1, "eth0", true, true)}}, nil, "", 60 * second, []string{"there is no link eth9, but these: eth0 (02:00:00:00:00:01)"}},
		{"no carrier", Config{}, []event{{0, link(1, "eth0", true, false)}}, nil, "", 60 * second, []string{"no carrier: eth0 (02:00:00:00:00:01): no carrier (cable"}},
		{
			"nobody answers", Config{Timeouts: Timeouts{Lease: 10 * second}},
			[]event{{0, link(2, "eth1", true, false)}, {0, link(1, "eth0", true, true)}}, nil, "", 10 * second,
			[]string{"no lease: eth0 (02:00:00:00:00:01): no answer to 3 DHCP requests; eth1 (02:00:00:00:00:02): no carrier"},
		},
		{
			"a card that is pulled out", Config{Timeouts: Timeouts{Lease: 10 * second}},
			[]event{{0, link(1, "eth0", true, true)}, {second, Link{Index: 1, Name: "eth0", Gone: true}}}, nil, "", 10 * second,
			[]string{"eth0 (): removed"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := &kernel{events: tt.events}
				start := time.Now()
				conn, err := Up(t.Context(), tt.config, k, answers(tt.dhcp))
				if conn.Link.Name != tt.want || (err == nil) != (tt.want != "") || time.Since(start) != tt.took {
					t.Fatalf("Up = %q, %v after %v, want %q after %v", conn.Link.Name, err, time.Since(start), tt.want, tt.took)
				}
				for _, want := range tt.wantErr {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("Up = %v, want an error with %q", err, want)
					}
				}
				if _, ok := k.configured[tt.want]; tt.want != "" && (!ok || len(k.configured) != 1) {
					t.Errorf("configured %v, want %s only", k.configured, tt.want)
				}
			})
		})
	}
}

func TestUpInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := Up(ctx, Config{}, &kernel{events: []event{{0, link(1, "eth0", true, true)}}}, answers(nil))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Up = %v, want %v", err, context.DeadlineExceeded)
		}
	})
}

func TestUpConfigureFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &kernel{events: []event{{0, link(1, "eth0", true, true)}}, configErr: errors.New("address in use")}
		_, err := Up(t.Context(), Config{}, k, answers(map[string]time.Duration{"eth0": 0}))
		if err == nil || !strings.Contains(err.Error(), "address in use") {
			t.Errorf("Up = %v, want what was wrong with the link", err)
		}
	})
}

func TestParseSelector(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want Selector
	}{
		{"eth0", Selector{Name: "eth0"}},
		{"52-54-00-AB-CD-EF", Selector{MAC: "52:54:00:ab:cd:ef"}},
		{"52:54:00:ab:cd:ef", Selector{MAC: "52:54:00:ab:cd:ef"}},
		{"52-54-00-ab-cd", Selector{Name: "52-54-00-ab-cd"}},
	} {
		if got := ParseSelector(tt.in); got != tt.want {
			t.Errorf("ParseSelector(%q) = %+v, want %+v", tt.in, got, tt.want)
		}
	}
}

func TestResolvConf(t *testing.T) {
	a, b := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("2001:db8::1")
	l := Lease{Resolvers: []netip.Addr{a, b}, Search: []string{"example.org", "example.com"}}
	for _, tt := range []struct {
		name   string
		config Config
		want   string
	}{
		{"from the lease", Config{}, "search example.org example.com\nnameserver 10.0.0.1\nnameserver 2001:db8::1\n"},
		{"ours first, none twice", Config{Resolvers: []netip.Addr{b}}, "search example.org example.com\nnameserver 2001:db8::1\nnameserver 10.0.0.1\n"},
		{"only ours", Config{Resolvers: []netip.Addr{b}, IgnorePeerDNS: true}, "nameserver 2001:db8::1\n"},
	} {
		if got := ResolvConf(tt.config, l); got != tt.want {
			t.Errorf("ResolvConf(%s) = %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestUpCarrierBackAtOnce: a carrier that returns before the client that was stopped for its loss has ended.
func TestUpCarrierBackAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &kernel{events: []event{{0, link(1, "eth0", true, true)}, {time.Second, link(1, "eth0", true, false)}, {2 * time.Second, link(1, "eth0", true, true)}}}
		calls := 0
		conn, err := Up(t.Context(), Config{}, k, func(ctx context.Context, l Link, _ func(int)) (Lease, error) {
			if calls++; calls == 1 {
				<-ctx.Done()
				time.Sleep(5 * time.Second) // on the test's clock: the time it takes to end
				return Lease{}, ctx.Err()
			}
			return lease, nil
		})
		if err != nil || conn.Link.Name != "eth0" || calls != 2 {
			t.Errorf("Up = %v, %v after %d calls, want eth0 at the second", conn, err, calls)
		}
	})
}

// TestUpMTU: an MTU that the card refuses is a warning, not the end.
func TestUpMTU(t *testing.T) {
	for mtu, warnings := range map[int]int{0: 0, 1400: 0, 9000: 1} {
		synctest.Test(t, func(t *testing.T) {
			k := &kernel{events: []event{{0, link(1, "eth0", true, true)}}}
			conn, err := Up(t.Context(), Config{}, k, func(context.Context, Link, func(int)) (Lease, error) {
				l := lease
				l.MTU = mtu
				return l, nil
			})
			if err != nil || len(conn.Warnings) != warnings {
				t.Errorf("Up with MTU %d = %v, %v, want %d warnings", mtu, conn.Warnings, err, warnings)
			}
		})
	}
}
