package network

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestUpStatic: a static address has its gateway, its MTU and its hardware address, and is not taken where somebody else has it.
func TestUpStatic(t *testing.T) {
	static := Interface{
		Link: Selector{Name: "eth0"}, Methods: []Method{Static}, Address: netip.MustParsePrefix("192.0.2.5/24"), Gateway: netip.MustParseAddr("192.0.2.1"),
		MTU: 1400, MAC: "02:00:00:00:00:99", Resolvers: []netip.Addr{netip.MustParseAddr("192.0.2.53")},
	}
	c := Config{Interfaces: []Interface{static}, Routes: []StaticRoute{{Route: Route{netip.MustParsePrefix("198.51.100.0/24"), netip.MustParseAddr("192.0.2.9")}}}}
	events := []change0{{0, link(1, "eth0", false, false)}, {time.Millisecond, link(1, "eth0", true, true)}}
	t.Run("free", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			k := &kernel{events: events}
			env := environment(k, &server{})
			env.Prober = prober{}
			n, err := Up(t.Context(), c, env)
			if err != nil {
				t.Fatal(err)
			}
			n.Close()
			lease := n.Active()[0].Leases[0]
			want := []Route{{netip.MustParsePrefix("0.0.0.0/0"), static.Gateway}, c.Routes[0].Route}
			if diff := cmp.Diff(want, lease.Routes, cmp.Comparer(func(a, b Route) bool { return a == b })); diff != "" || ResolvConf(n.Active()) != "nameserver 192.0.2.53\n" {
				t.Errorf("lease = %+v, resolv.conf %q, routes (-want +got):\n%s", lease, ResolvConf(n.Active()), diff)
			}
			if diff := cmp.Diff([]string{"ip link set eth0 address 02:00:00:00:00:99 mtu 1400 up", "ip link set eth0 mtu 1400"}, k.has("ip link")); diff != "" {
				t.Errorf("Up did (-want +got):\n%s", diff)
			}
		})
	})
	t.Run("taken", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			env := environment(&kernel{events: events}, &server{})
			env.Prober = prober{taken: map[string]bool{"192.0.2.5": true}}
			_, err := Up(t.Context(), within(c, 10*second), env)
			if err == nil || !strings.Contains(err.Error(), "the address 192.0.2.5 is in use by the machine with the hardware address") {
				t.Errorf("Up = %v, want who has the address", err)
			}
		})
	})
}

// prober knows who has which address.
type prober struct {
	taken map[string]bool
	late  map[string]time.Duration // addresses that somebody else takes after a while
}

func (p prober) Probe(_ context.Context, _ Link, a netip.Addr) error {
	if p.taken[a.String()] {
		return &DuplicateError{Address: a, Owner: net.HardwareAddr{6, 6, 6, 6, 6, 6}}
	}
	return nil
}

func (p prober) Watch(ctx context.Context, _ Link, a netip.Addr) error {
	var late <-chan time.Time
	if d, ok := p.late[a.String()]; ok {
		late = time.After(d)
	}
	select {
	case <-late:
		return &DuplicateError{Address: a, Owner: net.HardwareAddr{6, 6, 6, 6, 6, 6}}
	case <-ctx.Done():
		return ctx.Err()
	}
}

// TestUpDeclines: an address that is taken is declined, and the next one used.
func TestUpDeclines(t *testing.T) {
	first, next := netip.MustParsePrefix("10.0.1.15/24"), netip.MustParsePrefix("10.0.1.16/24")
	for _, tt := range []struct {
		name   string
		prober prober
		after  time.Duration
	}{
		{"taken", prober{taken: map[string]bool{"10.0.1.15": true}}, 11 * second},
		{"taken later", prober{late: map[string]time.Duration{"10.0.1.15": 30 * second}}, 41 * second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := &kernel{events: []change0{{0, link(1, "eth0", true, true)}}}
				s := &server{after: map[string]time.Duration{"eth0": 0}}
				s.lease = func(l Link) Lease {
					lease := leaseOn(l)
					if s.declined > 0 {
						lease.Address = next
					}
					return lease
				}
				env := environment(k, s)
				env.Prober = tt.prober
				n, err := Up(t.Context(), dhcp(), env)
				if err != nil {
					t.Fatal(err)
				}
				<-time.After(tt.after)
				synctest.Wait()
				if got := n.Active(); len(got) != 1 || got[0].Leases[0].Address != next || s.declined != 1 {
					t.Errorf("after %v the network is %+v, want %v instead of %v, and one DHCPDECLINE, not %d", tt.after, got, next, first, s.declined)
				}
				n.Close()
				if removed := k.has("ip address del"); tt.prober.late != nil && !slices.Contains(removed, "ip address del 10.0.1.15/24 dev eth0") {
					t.Errorf("Up did %q, want the address to be taken away", removed)
				}
			})
		})
	}
}
