package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// kernel is a script of what links do, and a record of what was done to them, as the commands that would do the same.
type kernel struct {
	events []change0
	fail   map[string]error // by command

	mu    sync.Mutex
	log   []string
	start time.Time
	extra chan Link
}

// change0 is a link's state at a time.
type change0 struct {
	at   time.Duration
	link Link
}

func (k *kernel) Watch(ctx context.Context) (<-chan Link, error) {
	links := make(chan Link)
	k.start, k.extra = time.Now(), make(chan Link, 10)
	go func() {
		defer close(links)
		send := func(l Link) {
			select {
			case links <- l:
			case <-ctx.Done():
			}
		}
		for _, e := range k.events {
			select {
			case <-time.After(e.at - time.Since(k.start)):
				send(e.link)
			case <-ctx.Done():
				return
			}
		}
		for {
			select {
			case l := <-k.extra:
				send(l)
			case <-ctx.Done():
				return
			}
		}
	}()
	return links, nil
}

func (k *kernel) did(format string, args ...any) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	command := fmt.Sprintf(format, args...)
	k.log = append(k.log, command)
	return k.fail[command]
}

func (k *kernel) Change(l Link, c Change) error {
	var words []string
	if c.Name != "" {
		words = append(words, "name "+c.Name)
	}
	if c.MAC != "" {
		words = append(words, "address "+c.MAC)
	}
	if c.MTU != 0 {
		words = append(words, fmt.Sprintf("mtu %d", c.MTU))
	}
	if c.Up {
		words = append(words, "up")
	}
	if c.Down {
		words = append(words, "down")
	}
	return k.did("ip link set %s %s", l.Name, strings.Join(words, " "))
}

func (k *kernel) Make(v Virtual, parent Link) error {
	return k.did("ip link add %s over %q", v.LinkName(), parent.Name)
}

func (k *kernel) Join(port Link, master string) error {
	return k.did("ip link set %s master %s", port.Name, master)
}

func (k *kernel) Configure(_ context.Context, l Link, lease Lease) error {
	return k.did("ip address replace %v dev %s", lease.Address, l.Name)
}

func (k *kernel) Remove(l Link, lease Lease) error {
	return k.did("ip address del %v dev %s", lease.Address, l.Name)
}

// has returns the commands that begin so.
func (k *kernel) has(prefix string) []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var found []string
	for _, command := range k.log {
		if strings.HasPrefix(command, prefix) {
			found = append(found, command)
		}
	}
	return found
}

func link(index int, name string, up, carrier bool) Link {
	return Link{Index: index, Name: name, MAC: net.HardwareAddr{2, 0, 0, 0, 0, byte(index)}, Up: up, Carrier: carrier}
}

// server is a Client for which only the named links have a server, each after its time.
type server struct {
	after map[string]time.Duration
	lease func(Link) Lease
	renew func(rebind bool) (Lease, error)

	mu       sync.Mutex
	declined int
	renewals []string
	start    time.Time
}

func leaseOn(l Link) Lease {
	return Lease{
		Method: DHCP4, Address: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(l.Index), 15}), 24),
		Server: netip.MustParseAddr("10.0.2.2"), Since: time.Now(),
	}
}

func (s *server) Acquire(ctx context.Context, l Link, attempt func(int)) (Lease, error) {
	d, ok := s.after[l.Name]
	if !ok {
		d = time.Hour
	}
	attempt(1)
	tick := time.NewTicker(4 * time.Second)
	defer tick.Stop()
	for n, done := 1, time.After(d); ; {
		select {
		case <-done:
			if s.lease != nil {
				return s.lease(l), nil
			}
			return leaseOn(l), nil
		case <-tick.C:
			n++
			attempt(n)
		case <-ctx.Done():
			return Lease{}, ctx.Err()
		}
	}
}

func (s *server) Renew(_ context.Context, l Link, lease Lease, rebind bool) (Lease, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.renewals = append(s.renewals, fmt.Sprintf("%v rebind %v", time.Since(s.start), rebind))
	lease.Since = time.Now()
	if s.renew != nil {
		renewed, err := s.renew(rebind)
		if err != nil {
			return lease, err
		}
		if renewed.Address.IsValid() {
			return renewed, nil
		}
	}
	return lease, nil
}

func (s *server) Decline(context.Context, Link, Lease) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.declined++
	return nil
}

func environment(k *kernel, s *server) Environment {
	s.start = time.Now()
	return Environment{Kernel: k, Clients: map[Method]Client{DHCP4: s}}
}

// dhcp is a Config that asks for DHCP on the named links, or on all.
func dhcp(names ...string) Config {
	var c Config
	for _, name := range names {
		c.Interfaces = append(c.Interfaces, Interface{Link: ParseSelector(name), Methods: []Method{DHCP4}})
	}
	if len(names) == 0 {
		c.Interfaces = []Interface{{Methods: []Method{DHCP4}}}
	}
	return c
}

func within(c Config, d time.Duration) Config {
	c.Timeouts.Lease = d
	return c
}

const second = time.Second

func TestUp(t *testing.T) {
	for _, tt := range []struct {
		name    string
		config  Config
		events  []change0
		dhcp    map[string]time.Duration
		want    string // the link that wins
		took    time.Duration
		wantErr []string
	}{
		{
			"one link", dhcp(),
			[]change0{{0, link(1, "eth0", false, false)}, {second, link(1, "eth0", true, false)}, {3 * second, link(1, "eth0", true, true)}},
			map[string]time.Duration{"eth0": second}, "eth0", 4 * second, nil,
		},
		{
			"the first that answers", dhcp(),
			[]change0{{0, link(1, "eth0", true, true)}, {0, link(2, "eth1", true, true)}, {0, link(3, "eth2", true, false)}},
			map[string]time.Duration{"eth0": 9 * second, "eth1": 2 * second}, "eth1", 2 * second, nil,
		},
		{
			"carrier after 45 seconds", dhcp(),
			[]change0{{0, link(1, "eth0", true, false)}, {45 * second, link(1, "eth0", true, true)}},
			map[string]time.Duration{"eth0": second}, "eth0", 46 * second, nil,
		},
		{
			"a card whose driver loads late", dhcp(),
			[]change0{{0, link(1, "eth0", true, true)}, {50 * second, link(2, "eth1", true, true)}},
			map[string]time.Duration{"eth1": second}, "eth1", 51 * second, nil,
		},
		{
			"only the named one", dhcp("eth1"),
			[]change0{{0, link(1, "eth0", true, true)}, {0, link(2, "eth1", true, true)}},
			map[string]time.Duration{"eth0": 0, "eth1": 5 * second}, "eth1", 5 * second, nil,
		},
		{
			"only that of the address", dhcp("02-00-00-00-00-02"),
			[]change0{{0, link(1, "eth0", true, true)}, {0, link(2, "eth1", true, true)}},
			map[string]time.Duration{"eth0": 0, "eth1": 5 * second}, "eth1", 5 * second, nil,
		},
		{
			"two named, the first that answers", dhcp("eth0", "eth1"),
			[]change0{{0, link(1, "eth0", true, true)}, {0, link(2, "eth1", true, true)}},
			map[string]time.Duration{"eth0": second, "eth1": 5 * second}, "eth0", second, nil,
		},
		{
			"two named, bootdev says which", Config{Interfaces: dhcp("eth0", "eth1").Interfaces, Boot: Selector{Name: "eth1"}},
			[]change0{{0, link(1, "eth0", true, true)}, {0, link(2, "eth1", true, true)}},
			map[string]time.Duration{"eth0": second, "eth1": 5 * second}, "eth1", 5 * second, nil,
		},
		{
			"carrier lost and back", dhcp(),
			[]change0{{0, link(1, "eth0", true, true)}, {2 * second, link(1, "eth0", true, false)}, {20 * second, link(1, "eth0", true, true)}},
			map[string]time.Duration{"eth0": 3 * second}, "eth0", 23 * second, nil,
		},
		{
			"each link has the whole time", dhcp(),
			[]change0{{0, link(1, "eth0", true, true)}, {70 * second, link(2, "eth1", true, true)}},
			map[string]time.Duration{"eth1": 60 * second}, "eth1", 130 * second, nil,
		},
		{
			"but not for ever when one comes and goes", dhcp(),
			[]change0{{0, link(1, "eth0", true, true)}, {50 * second, link(1, "eth0", true, false)}, {60 * second, link(1, "eth0", true, true)}},
			nil, "", 75 * second, []string{"no address: eth0"},
		},
		{"no card", dhcp(), nil, nil, "", 60 * second, []string{"no link", "found no network card"}},
		{"no such card", dhcp("eth9"), []change0{{0, link(1, "eth0", true, true)}}, nil, "", 60 * second, []string{"there is no link eth9, but these: eth0 (02:00:00:00:00:01)"}},
		{"no carrier", dhcp(), []change0{{0, link(1, "eth0", true, false)}}, nil, "", 60 * second, []string{"no carrier: eth0 (02:00:00:00:00:01): no carrier (cable"}},
		{
			"nobody answers", within(dhcp(), 10*second),
			[]change0{{0, link(2, "eth1", true, false)}, {0, link(1, "eth0", true, true)}}, nil, "", 10 * second,
			[]string{"no address: eth0 (02:00:00:00:00:01): no answer to 3 DHCP requests; eth1 (02:00:00:00:00:02): no carrier"},
		},
		{
			"the same story twice", within(dhcp(), second),
			[]change0{{0, link(1, "eth0", true, false)}, {0, link(2, "eth1", true, true)}, {0, link(3, "eth2", true, false)}}, nil, "", second,
			[]string{"eth0 (02:00:00:00:00:01), eth2 (02:00:00:00:00:03): no carrier (cable, switch port); eth1 (02:00:00:00:00:02): no answer to 1 DHCP request"},
		},
		{
			"a card that is pulled out", within(dhcp(), 10*second),
			[]change0{{0, link(1, "eth0", true, true)}, {second, Link{Index: 1, Name: "eth0", Gone: true}}}, nil, "", 10 * second,
			[]string{"eth0 (): removed"},
		},
		{
			"what other software made", within(dhcp(), second),
			[]change0{{0, link(1, "eth0", true, true)}, {0, Link{Index: 2, Name: "bond0", Kind: "bond", Up: true, Carrier: true}}},
			map[string]time.Duration{"bond0": 0}, "", second, []string{"no address: eth0"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := &kernel{events: tt.events}
				start := time.Now()
				n, err := Up(t.Context(), tt.config, environment(k, &server{after: tt.dhcp}))
				took := time.Since(start)
				var got string
				if err == nil {
					defer n.Close()
					got = n.Active()[0].Link.Name
				}
				if got != tt.want || (err == nil) != (tt.want != "") || took != tt.took {
					t.Fatalf("Up = %q, %v after %v, want %q after %v", got, err, took, tt.want, tt.took)
				}
				for _, want := range tt.wantErr {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("Up = %v, want an error with %q", err, want)
					}
				}
			})
		})
	}
}

// TestUpReach: of several leases the one from which the image's host answers is taken, and those that nobody asked for by name are given back.
func TestUpReach(t *testing.T) {
	refused := fmt.Errorf("connect: %w", ErrRefused)
	silent := errors.New("no answer from 192.0.2.1:80")
	for _, tt := range []struct {
		name    string
		config  Config
		reach   map[string]error
		want    string
		took    time.Duration
		removed int
		wantErr string
	}{
		{"the second reaches it", dhcp(), map[string]error{"eth0": silent}, "eth1", 2 * second, 1, ""},
		{"named ones stay, their routes behind", dhcp("eth0", "eth1"), map[string]error{"eth0": silent}, "eth1", 2 * second, 1, ""},
		{"a refusal is an answer", dhcp(), map[string]error{"eth0": refused, "eth1": silent}, "eth0", 2 * second, 1, ""},
		{"but not the best", dhcp(), map[string]error{"eth0": refused}, "eth1", 2 * second, 1, ""},
		{"it waits for a link that may do better", dhcp("eth0", "eth2"), map[string]error{"eth0": refused}, "eth2", 15 * second, 1, ""},
		{"and does not wait long", dhcp("eth0", "eth9"), map[string]error{"eth0": refused}, "eth0", second, 0, ""},
		{"none", within(dhcp(), 10*second), map[string]error{"eth0": silent, "eth1": silent}, "", 22 * second, 0,
			"no answer from the image's host: eth0 (02:00:00:00:00:01): 10.0.1.15/24, but no answer from 192.0.2.1:80; eth1 (02:00:00:00:00:02): 10.0.2.15/24, but no"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := &kernel{events: []change0{{0, link(1, "eth0", true, true)}, {0, link(2, "eth1", true, true)}}}
				if tt.took > 10*second && tt.want != "" {
					k.events = append(k.events, change0{0, link(3, "eth2", true, true)})
				}
				env := environment(k, &server{after: map[string]time.Duration{"eth0": second, "eth1": 2 * second, "eth2": 15 * second}})
				env.Reach = func(_ context.Context, l Link, _ Lease) error { return tt.reach[l.Name] }
				start := time.Now()
				n, err := Up(t.Context(), tt.config, env)
				if took := time.Since(start); took != tt.took {
					t.Errorf("Up took %v, want %v", took, tt.took)
				}
				if tt.want == "" {
					if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
						t.Fatalf("Up: %v, want an error with %q", err, tt.wantErr)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				n.Close()
				for i, a := range n.Active() {
					if first := i == 0; a.Link.Name == tt.want != first || a.Primary != first || a.Leases[0].Behind == first {
						t.Errorf("Active()[%d] = %+v, want %s first, and only the others behind", i, a, tt.want)
					}
				}
				if got := n.Primary().Link.Name; got != tt.want {
					t.Errorf("Primary() is %s, want %s", got, tt.want)
				}
				if removed := k.has("ip address del"); len(removed) != tt.removed {
					t.Errorf("Up did %q, want %d", removed, tt.removed)
				}
			})
		})
	}
}

// TestUpVirtual: VLANs, bonds and bridges are made when what they stand on is there, and get the address in its place.
func TestUpVirtual(t *testing.T) {
	card := func(index int, name string) []change0 {
		return []change0{{0, link(index, name, false, false)}, {time.Millisecond, link(index, name, true, true)}}
	}
	virtual := func(index int, name, kind string) []change0 {
		down, up := link(index, name, false, false), link(index, name, true, true)
		down.Kind, up.Kind = kind, kind
		return []change0{{2 * time.Millisecond, down}, {3 * time.Millisecond, up}}
	}
	for _, tt := range []struct {
		name   string
		config Config
		events []change0
		want   []string
	}{
		{
			"VLAN", Config{Interfaces: dhcp("vlan5").Interfaces, VLANs: []VLAN{{Name: "vlan5", Parent: Selector{Name: "eth0"}, ID: 5}}},
			slices.Concat(card(1, "eth0"), virtual(3, "vlan5", "vlan")),
			[]string{"ip link set eth0 up", `ip link add vlan5 over "eth0"`, "ip link set vlan5 up", "ip address replace 10.0.3.15/24 dev vlan5"},
		},
		{
			"bond with MTU", Config{Interfaces: dhcp("bond0").Interfaces, Bonds: []Bond{{Name: "bond0", Ports: []Selector{{Name: "eth0"}, {MAC: "02:00:00:00:00:02"}}, MTU: 9000}}},
			slices.Concat(card(1, "eth0"), virtual(3, "bond0", "bond"), card(2, "eth1")),
			[]string{`ip link add bond0 over ""`, "ip link set eth0 master bond0", "ip link set bond0 mtu 9000 up", "ip address replace 10.0.3.15/24 dev bond0", "ip link set eth1 master bond0"},
		},
		{
			"VLAN on a bond", Config{
				Interfaces: dhcp("bond0.7").Interfaces, Bonds: []Bond{{Name: "bond0", Ports: []Selector{{Name: "eth0"}}}},
				VLANs: []VLAN{{Name: "bond0.7", Parent: Selector{Name: "bond0"}, ID: 7}},
			},
			slices.Concat(card(1, "eth0"), virtual(3, "bond0", "bond"), virtual(4, "bond0.7", "vlan")),
			[]string{`ip link add bond0 over ""`, "ip link set eth0 master bond0", "ip link set bond0 up", `ip link add bond0.7 over "bond0"`, "ip link set bond0.7 up", "ip address replace 10.0.4.15/24 dev bond0.7"},
		},
		{
			"bridge", Config{Interfaces: dhcp("br0").Interfaces, Bridges: []Bridge{{Name: "br0", Ports: []Selector{{Name: "eth0"}}}}},
			slices.Concat(card(1, "eth0"), virtual(3, "br0", "bridge")),
			[]string{`ip link add br0 over ""`, "ip link set eth0 master br0", "ip link set br0 up", "ip address replace 10.0.3.15/24 dev br0"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := &kernel{events: tt.events}
				// A card that joined has its master from the next event on; the script's events have none, so it joins at each.
				n, err := Up(t.Context(), tt.config, environment(k, &server{after: map[string]time.Duration{"vlan5": 0, "bond0": 0, "bond0.7": 0, "br0": 0}}))
				if err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				n.Close()
				var once []string
				for _, command := range k.log {
					if !slices.Contains(once, command) {
						once = append(once, command)
					}
				}
				slices.Sort(once)
				slices.Sort(tt.want)
				if diff := cmp.Diff(tt.want, once); diff != "" {
					t.Errorf("Up did (-want +got):\n%s", diff)
				}
			})
		})
	}
}
