package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestKeep: leases are renewed at T1 and T2, and asked for anew when they are lost.
func TestKeep(t *testing.T) {
	silence := errors.New("no answer")
	lost := fmt.Errorf("server: %w", ErrLost)
	for _, tt := range []struct {
		name  string
		renew func(rebind bool) error
		until time.Duration
		want  []string // renewals
		gone  bool     // the address was lost on the way
	}{
		{"renewed", func(bool) error { return nil }, 25 * second, []string{"10s rebind false", "20s rebind false"}, false},
		{"by another server", func(rebind bool) error {
			if rebind {
				return nil
			}
			return silence
		}, 20 * second, []string{"10s rebind false", "13.75s rebind false", "15.625s rebind false", "16.625s rebind false", "17.5s rebind true"}, false},
		{"refused", func(bool) error { return lost }, 11 * second, []string{"10s rebind false"}, true},
		{"by nobody", func(bool) error { return silence }, 20 * second, []string{
			"10s rebind false", "13.75s rebind false", "15.625s rebind false", "16.625s rebind false",
			"17.5s rebind true", "18.75s rebind true", "19.75s rebind true",
		}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := &kernel{events: []change0{{0, link(1, "eth0", true, true)}}}
				s := &server{after: map[string]time.Duration{"eth0": 0}}
				s.lease = func(l Link) Lease {
					lease := leaseOn(l)
					lease.Valid = 20 * second
					return lease
				}
				s.renew = func(rebind bool) (Lease, error) { return Lease{}, tt.renew(rebind) }
				n, err := Up(t.Context(), dhcp(), environment(k, s))
				if err != nil {
					t.Fatal(err)
				}
				<-time.After(tt.until)
				synctest.Wait()
				n.Close()
				if diff := cmp.Diff(tt.want, s.renewals); diff != "" {
					t.Errorf("renewals (-want +got):\n%s", diff)
				}
				if removed := len(k.has("ip address del")) > 0; removed != tt.gone {
					t.Errorf("the address was removed: %v, want %v", removed, tt.gone)
				}
				if got := n.Active(); len(got) != 1 {
					t.Errorf("in the end the network is %+v, want one link with an address", got)
				}
			})
		})
	}
}

// TestKeepAnotherAddress: a server that gives another address at the renewal has it its way.
func TestKeepAnotherAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := netip.MustParsePrefix("10.0.1.99/24")
		k := &kernel{events: []change0{{0, link(1, "eth0", true, true)}}}
		s := &server{after: map[string]time.Duration{"eth0": 0}, lease: func(l Link) Lease {
			lease := leaseOn(l)
			lease.Valid = 20 * second
			return lease
		}}
		s.renew = func(bool) (Lease, error) { return Lease{Method: DHCP4, Address: next}, nil }
		n, err := Up(t.Context(), dhcp(), environment(k, s))
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(11 * second)
		synctest.Wait()
		n.Close()
		if got := n.Active()[0].Leases[0].Address; got != next || len(k.has("ip address del 10.0.1.15/24")) != 1 {
			t.Errorf("after the renewal the address is %v, want %v and the old one removed: %q", got, next, k.log)
		}
	})
}

// TestCable: a link that loses its carrier keeps its address, and the server is asked about it when the carrier is back.
func TestCable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &kernel{events: []change0{{0, link(1, "eth0", true, true)}}}
		s := &server{after: map[string]time.Duration{"eth0": 0}}
		n, err := Up(t.Context(), dhcp(), environment(k, s))
		if err != nil {
			t.Fatal(err)
		}
		k.extra <- link(1, "eth0", true, false)
		<-time.After(30 * second)
		if len(n.Active()) != 1 {
			t.Error("without carrier the address is gone")
		}
		k.extra <- link(1, "eth0", true, true)
		synctest.Wait()
		n.Close()
		if diff := cmp.Diff([]string{"30s rebind true"}, s.renewals); diff != "" {
			t.Errorf("renewals (-want +got):\n%s", diff)
		}
	})
}

// TestCloseLeaves: what was set stays for the live system.
func TestCloseLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &kernel{events: []change0{{0, link(1, "eth0", true, true)}}}
		n, err := Up(t.Context(), dhcp(), environment(k, &server{after: map[string]time.Duration{"eth0": 0}}))
		if err != nil {
			t.Fatal(err)
		}
		n.Close()
		if removed := k.has("ip address del"); len(removed) > 0 || len(n.Active()) != 1 {
			t.Errorf("Close did %q, want nothing", removed)
		}
	})
}

func TestUpInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := Up(ctx, dhcp(), environment(&kernel{events: []change0{{0, link(1, "eth0", true, true)}}}, &server{}))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Up = %v, want %v", err, context.DeadlineExceeded)
		}
	})
}

func TestUpConfigureFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &kernel{events: []change0{{0, link(1, "eth0", true, true)}}, fail: map[string]error{"ip address replace 10.0.1.15/24 dev eth0": errors.New("address in use")}}
		_, err := Up(t.Context(), dhcp(), environment(k, &server{after: map[string]time.Duration{"eth0": 0}}))
		if err == nil || !strings.Contains(err.Error(), "address in use") {
			t.Errorf("Up = %v, want what was wrong with the link", err)
		}
	})
}

// TestUpCarrierBackAtOnce: a carrier that returns before the client that was stopped for its loss has ended.
func TestUpCarrierBackAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &kernel{events: []change0{{0, link(1, "eth0", true, true)}, {time.Second, link(1, "eth0", true, false)}, {2 * time.Second, link(1, "eth0", true, true)}}}
		c := &slowToEnd{}
		n, err := Up(t.Context(), dhcp(), Environment{Kernel: k, Clients: map[Method]Client{DHCP4: c}})
		if err != nil || c.calls != 2 {
			t.Fatalf("Up = %v after %d calls, want eth0 at the second", err, c.calls)
		}
		n.Close()
	})
}

// TestUpLastWords: what a client has to say when it is stopped is in the error.
func TestUpLastWords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &kernel{events: []change0{{0, link(1, "eth0", true, true)}}}
		_, err := Up(t.Context(), within(dhcp(), second), Environment{Kernel: k, Clients: map[Method]Client{DHCP4: talker{}}})
		if want := "eth0 (02:00:00:00:00:01): the router fe80::1 gives no prefix"; err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("Up = %v, want an error that ends with %q", err, want)
		}
	})
}

// talker is a Client that says at its end what it met.
type talker struct{ Client }

func (talker) Acquire(ctx context.Context, _ Link, _ func(int)) (Lease, error) {
	<-ctx.Done()
	return Lease{}, fmt.Errorf("the router fe80::1 gives no prefix: %w", ctx.Err())
}

// slowToEnd is a Client whose first call takes a while to end when it is told to.
type slowToEnd struct {
	server
	calls int
}

func (c *slowToEnd) Acquire(ctx context.Context, l Link, _ func(int)) (Lease, error) {
	if c.calls++; c.calls == 1 {
		<-ctx.Done()
		<-time.After(5 * time.Second)
		return Lease{}, ctx.Err()
	}
	return leaseOn(l), nil
}

// TestUpMTU: an MTU that the card refuses is a warning, not the end.
func TestUpMTU(t *testing.T) {
	for mtu, problems := range map[int]int{0: 0, 1400: 0, 9000: 1} {
		synctest.Test(t, func(t *testing.T) {
			k := &kernel{events: []change0{{0, link(1, "eth0", true, true)}}, fail: map[string]error{"ip link set eth0 mtu 9000": errors.New("invalid argument")}}
			env := environment(k, &server{after: map[string]time.Duration{"eth0": 0}, lease: func(l Link) Lease {
				lease := leaseOn(l)
				lease.MTU = mtu
				return lease
			}})
			var told []Event
			env.Report = func(e Event) {
				if e.Problem {
					told = append(told, e)
				}
			}
			n, err := Up(t.Context(), dhcp(), env)
			if err != nil {
				t.Fatal(err)
			}
			n.Close()
			if len(told) != problems {
				t.Errorf("Up with MTU %d told %v, want %d problems", mtu, told, problems)
			}
		})
	}
}

// TestNames: links are renamed before they are set up, and are found by either name.
func TestNames(t *testing.T) {
	for _, tt := range []struct {
		name  string
		asked string
		fail  error
		want  string
	}{
		{"by the new name", "enp3s0", nil, "enp3s0"},
		{"by the kernel's name", "eth0", nil, "enp3s0"},
		{"not renamed", "eth0", errors.New("file exists"), "eth0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := &kernel{
					events: []change0{{0, link(1, "eth0", false, false)}, {0, link(1, tt.want, false, false)}, {0, link(1, tt.want, true, true)}},
					fail:   map[string]error{"ip link set eth0 name enp3s0": tt.fail},
				}
				env := environment(k, &server{after: map[string]time.Duration{tt.want: 0}})
				env.Name = func(Link) (string, error) { return "enp3s0", nil }
				n, err := Up(t.Context(), dhcp(tt.asked), env)
				if err != nil {
					t.Fatal(err)
				}
				n.Close()
				if got := n.Active()[0].Link.Name; got != tt.want || k.log[0] != "ip link set eth0 name enp3s0" || !strings.HasSuffix(k.log[1], "up") {
					t.Errorf("Up did %q on %s, want %s, renamed before it is up", k.log, got, tt.want)
				}
			})
		})
	}
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

// TestResolvers: those that were asked for come before those of the lease, none twice.
func TestResolvers(t *testing.T) {
	a, b, c := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("10.0.0.3")
	for _, tt := range []struct {
		name   string
		config Config
		want   string
	}{
		{"from the lease", dhcp(), "search example.org example.com\nnameserver 10.0.0.1\nnameserver 2001:db8::1\n"},
		{"ours first, none twice", Config{Resolvers: []netip.Addr{b}}, "search example.org example.com\nnameserver 2001:db8::1\nnameserver 10.0.0.1\n"},
		{"the interface's", Config{Resolvers: []netip.Addr{b}, Interfaces: []Interface{{Methods: []Method{DHCP4}, Resolvers: []netip.Addr{c}}}},
			"search example.org example.com\nnameserver 2001:db8::1\nnameserver 10.0.0.3\nnameserver 10.0.0.1\n"},
		{"only ours", Config{Resolvers: []netip.Addr{b}, IgnorePeerDNS: true}, "nameserver 2001:db8::1\n"},
	} {
		synctest.Test(t, func(t *testing.T) {
			k := &kernel{events: []change0{{0, link(1, "eth0", true, true)}}}
			n, err := Up(t.Context(), tt.config, environment(k, &server{after: map[string]time.Duration{"eth0": 0}, lease: func(l Link) Lease {
				lease := leaseOn(l)
				lease.Resolvers, lease.Search = []netip.Addr{a, b}, []string{"example.org", "example.com"}
				return lease
			}}))
			if err != nil {
				t.Fatal(err)
			}
			n.Close()
			if got := ResolvConf(n.Active()); got != tt.want {
				t.Errorf("%s: resolv.conf is %q, want %q", tt.name, got, tt.want)
			}
		})
	}
}
