package router

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/liveboot/liveboot/pkg/network"
)

func TestSearch(t *testing.T) {
	resolvers := func(ad *advertisement) { ad.resolvers = []resolver{{dns, time.Hour}} }
	other := func(ad *advertisement) { ad.other = true }
	managed := func(ad *advertisement) { ad.managed = true }
	both := func(f, g func(*advertisement)) func(*advertisement) {
		return func(ad *advertisement) { f(ad); g(ad) }
	}
	noPrefix := func(ad *advertisement) { ad.prefixes = nil }
	secondRouter := func(ad *advertisement) { ad.router, ad.lifetime = netip.MustParseAddr("fe80::9%eth0"), 0 }
	auto := network.Lease{Method: network.Auto6, Address: own, FromKernel: true, Server: gateway, Valid: time.Hour,
		Routes: []network.Route{{Destination: netip.MustParsePrefix("::/0"), Gateway: gateway}}}
	with := func(l network.Lease, resolvers ...netip.Addr) network.Lease {
		l.Resolvers = resolvers
		return l
	}
	given := network.Lease{Method: network.DHCP6, Address: netip.MustParsePrefix("2001:db8::100/128"), Resolvers: []netip.Addr{dns2}}
	start := slices.Clip(slices.Concat(dad(0, linkLocal), dad(100*ms, own)))
	refusal := errors.New("NoAddrsAvail")

	for _, tt := range []struct {
		name   string
		events []event
		// informer and manager are what DHCPv6 answers; nil that it is not to be asked.
		informer, manager *server
		want              network.Lease
		at                time.Duration
		wantErr           string
		// informed and managed are when they were asked.
		informed, managed []time.Duration
	}{
		{
			name:   "resolvers of the router",
			events: append(start, ra(100*ms, resolvers)), want: with(auto, dns), at: 1100 * ms,
		},
		{
			name:   "no resolvers at all",
			events: append(start, ra(100*ms, nil)), informer: &server{}, want: auto, at: 1100 * ms,
		},
		{
			name:   "the address is known before the router",
			events: append(start, ra(4*sec, resolvers)), want: with(auto, dns), at: 4 * sec,
		},
		{
			name:   "stateless DHCPv6 in time",
			events: append(start, ra(100*ms, other)), informer: &server{after: 500 * ms, lease: given}, want: with(auto, dns2),
			at: 1100 * ms, informed: []time.Duration{100 * ms},
		},
		{
			name:   "stateless DHCPv6 is waited for",
			events: append(start, ra(100*ms, other)), informer: &server{after: 3 * sec, lease: given}, want: with(auto, dns2),
			at: 3100 * ms, informed: []time.Duration{100 * ms},
		},
		{
			name:   "stateless DHCPv6 is silent",
			events: append(start, ra(100*ms, other)), informer: &server{}, want: auto, at: 6100 * ms, informed: []time.Duration{100 * ms},
		},
		{
			name:   "stateless DHCPv6 fails",
			events: append(start, ra(100*ms, other)), informer: &server{after: 2 * sec, err: refusal}, want: auto, at: 2100 * ms,
			informed: []time.Duration{100 * ms},
		},
		{
			name:   "stateless DHCPv6 is silent, but there are resolvers",
			events: append(start, ra(100*ms, both(other, resolvers))), informer: &server{}, want: with(auto, dns), at: 1400 * ms,
			informed: []time.Duration{100 * ms},
		},
		{
			name:   "resolvers of both",
			events: append(start, ra(100*ms, both(other, resolvers))), informer: &server{after: 200 * ms, lease: given},
			want: with(auto, dns2, dns), at: 1100 * ms, informed: []time.Duration{100 * ms},
		},
		{
			name:   "auto6 where addresses are managed and made",
			events: append(start, ra(100*ms, managed)), informer: &server{after: 200 * ms, lease: given}, want: with(auto, dns2),
			at: 1100 * ms, informed: []time.Duration{100 * ms},
		},
		{
			name:   "either6 where addresses are managed",
			events: append(start, ra(100*ms, both(managed, noPrefix))), informer: &server{},
			manager: &server{after: 2 * sec, lease: given}, want: given, at: 2100 * ms, managed: []time.Duration{100 * ms},
		},
		{
			name:   "a managed address without resolvers",
			events: append(start, ra(100*ms, both(managed, resolvers))), manager: &server{after: 2 * sec, lease: with(given)},
			want: with(given, dns), at: 2100 * ms, managed: []time.Duration{100 * ms},
		},
		{
			name:   "managed, made, and DHCPv6 is slower",
			events: append(start, ra(100*ms, managed)), manager: &server{after: 4 * sec, lease: given}, want: given, at: 4100 * ms,
			managed: []time.Duration{100 * ms},
		},
		{
			name:   "managed, made, and DHCPv6 is silent",
			events: append(start, ra(100*ms, managed)), manager: &server{}, want: auto, at: 6100 * ms, managed: []time.Duration{100 * ms},
		},
		{
			name:   "managed, made, and DHCPv6 refuses",
			events: append(start, ra(100*ms, managed)), informer: &server{after: sec, lease: given},
			manager: &server{after: 2 * sec, err: refusal}, want: with(auto, dns2), at: 3100 * ms, informed: []time.Duration{2100 * ms},
			managed: []time.Duration{100 * ms},
		},
		{
			name:   "managed, not made, and DHCPv6 refuses",
			events: append(start, ra(100*ms, both(managed, noPrefix))), manager: &server{after: 2 * sec, err: refusal},
			at:      2100 * ms,
			wantErr: "either6 on eth0: NoAddrsAvail",
			managed: []time.Duration{100 * ms},
		},
		{
			name:   "managed, not made, and DHCPv6 is silent until time is up",
			events: append(start, ra(100*ms, both(managed, noPrefix))), manager: &server{}, at: 90 * sec,
			wantErr: "either6 on eth0: the router fe80::1%eth0 gives no prefix to make an address of, " +
				"and no answer by DHCPv6: context deadline exceeded",
			managed: []time.Duration{100 * ms},
		},
		{
			name:   "no flag and no prefix",
			events: append(start, ra(100*ms, noPrefix)), manager: &server{after: sec, lease: given}, want: given, at: 1100 * ms,
			managed: []time.Duration{100 * ms},
		},
		{
			name:   "no router, but DHCPv6",
			events: start, manager: &server{after: sec, lease: given}, want: given, at: 5 * sec, managed: []time.Duration{4 * sec},
		},
		{
			name:   "a late router while DHCPv6 is asked",
			events: append(start, ra(10*sec, both(other, resolvers))), informer: &server{after: 100 * ms, lease: given},
			manager: &server{}, want: with(auto, dns2, dns), at: 10100 * ms, informed: []time.Duration{10 * sec}, managed: []time.Duration{4 * sec},
		},
		{
			name:   "nobody",
			events: start, manager: &server{}, at: 20 * sec,
			wantErr: "either6 on eth0: no router advertisement after 5 solicitations, and no answer by DHCPv6",
			managed: []time.Duration{4 * sec},
		},
		{
			name:   "no router, and DHCPv6 refuses",
			events: start, manager: &server{after: sec, err: refusal}, at: 20 * sec,
			wantErr: "either6 on eth0: no router advertisement after 5 solicitations, and by DHCPv6: NoAddrsAvail",
			managed: []time.Duration{4 * sec},
		},
		{
			name:   "no router",
			events: start, at: 20 * sec,
			wantErr: "auto6 on eth0: no router advertisement after 5 solicitations",
		},
		{
			name:   "auto6 without a prefix",
			events: append(start, ra(100*ms, noPrefix)), at: 20 * sec,
			wantErr: "auto6 on eth0: the router fe80::1%eth0 gives no prefix to make an address of",
		},
		{
			name:   "the kernel makes no address",
			events: append(dad(0, linkLocal), ra(100*ms, nil)), at: 50100 * ms,
			wantErr: "auto6 on eth0: the kernel made no address of the prefix that the router fe80::1%eth0 gives",
		},
		{
			name:   "the kernel does not come to an end",
			events: append(dad(0, linkLocal)[1:], dad(100*ms, own)[0], ra(100*ms, nil)), at: 50100 * ms,
			wantErr: "auto6 on eth0: the kernel has not found out yet whether 2001:db8:0:1::5 is a duplicate",
		},
		{
			name:   "link-local duplicate",
			events: []event{{at: 500 * ms, address: address{Prefix: linkLocal, tentative: true, failed: true}}}, at: 500 * ms,
			wantErr: "auto6 on eth0: the address fe80::5 is in use by another machine",
		},
		{
			name: "duplicate",
			events: append(slices.Concat(dad(0, linkLocal), dad(100*ms, own)[:1]), ra(100*ms, nil),
				event{at: 600 * ms, address: address{Prefix: own, tentative: true, failed: true, gone: true}}),
			at:      600 * ms,
			wantErr: "auto6 on eth0: the address 2001:db8:0:1::5 is in use by another machine",
		},
		{
			name:   "an address of another origin",
			events: append(dad(0, netip.MustParsePrefix("2001:db8:0:9::1/64")), append(dad(2*sec, own), ra(100*ms, nil))...),
			want:   auto, at: 3 * sec,
		},
		{
			name: "an address that is deprecated",
			events: append(dad(2*sec, own), ra(100*ms, nil),
				event{address: address{Prefix: netip.MustParsePrefix("2001:db8:0:1::1/64"), deprecated: true}}),
			want: auto, at: 3 * sec,
		},
		{
			name:   "a resolver that is taken back",
			events: append(start, ra(100*ms, resolvers), ra(500*ms, func(ad *advertisement) { ad.resolvers = []resolver{{dns, 0}} })),
			want:   auto, at: 1100 * ms,
		},
		{
			name:   "a second advertisement with more",
			events: append(start, ra(100*ms, nil), ra(500*ms, both(noPrefix, resolvers))), want: with(auto, dns), at: 1100 * ms,
		},
		{
			name:   "a second router",
			events: append(start, ra(100*ms, both(noPrefix, secondRouter)), ra(500*ms, nil)),
			want:   auto, at: 1100 * ms,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				kernel := &story{events: tt.events}
				var informed, managed []time.Duration
				client := Auto{kernel: kernel, Router: 20 * sec}
				if tt.informer != nil {
					tt.informer.asked = &informed
					client.Inform = tt.informer
				}
				var c network.Client = client
				if tt.manager != nil {
					tt.manager.asked = &managed
					c = Either{Auto: client, Managed: tt.manager}
				}
				ctx, cancel := context.WithTimeout(t.Context(), 90*sec)
				defer cancel()
				got, err := c.Acquire(ctx, network.Link{Name: "eth0"}, func(int) {})
				if at := time.Since(epoch); at != tt.at {
					t.Errorf("Acquire took %v, want %v", at, tt.at)
				}
				if text := errorText(err); text != tt.wantErr {
					t.Errorf("Acquire: %q, want %q", text, tt.wantErr)
				}
				got.Since = time.Time{}
				if diff := cmp.Diff(tt.want, got, compare); diff != "" {
					t.Errorf("Acquire (-want +got):\n%s", diff)
				}
				if !slices.Equal(informed, tt.informed) || !slices.Equal(managed, tt.managed) {
					t.Errorf("DHCPv6 was asked for the rest at %v, for all at %v, want %v and %v", informed, managed, tt.informed, tt.managed)
				}
			})
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// Solicitations go out at once and then ever more slowly, with the link-local address as soon as that may be used.
func TestSolicitations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kernel := &story{events: dad(0, linkLocal)}
		attempts := 0
		_, err := Auto{kernel: kernel, Router: 8 * sec}.Acquire(t.Context(), network.Link{Name: "eth0"}, func(n int) { attempts = n })
		if err == nil || len(kernel.sent) != 4 || attempts != 4 {
			t.Fatalf("Acquire: %v after %d solicitations and %d attempts, want an error after 4", err, len(kernel.sent), attempts)
		}
		for i, want := range []time.Duration{0, sec, 3 * sec, 7 * sec} {
			s := kernel.sent[i]
			if (s.at - want).Abs() > want/10 {
				t.Errorf("solicitation %d was sent after %v, want %v, a tenth more or less", i+1, s.at, want)
			}
			if source := linkLocal.Addr(); i > 1 && s.source != source || i == 0 && !s.source.IsUnspecified() {
				t.Errorf("solicitation %d was sent from %v, want :: at first and %v from the third on", i+1, s.source, source)
			}
		}
	})
}

// A link that sends nothing is told from one on which nobody answers.
func TestSolicitationsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kernel := &story{err: errors.New("network is down")}
		_, err := Auto{kernel: kernel}.Acquire(t.Context(), network.Link{Name: "eth0"}, func(n int) { t.Errorf("attempt %d was counted", n) })
		if err == nil || !strings.Contains(err.Error(), "no solicitation could be sent: network is down") {
			t.Errorf("Acquire: %v, want that no solicitation could be sent", err)
		}
	})
}

func TestLinkInTime(t *testing.T) {
	for _, tt := range []struct {
		name    string
		events  []event
		at      time.Duration
		wantErr string
	}{
		{"found unique", dad(200*ms, linkLocal), 1200 * ms, ""},
		{"there before", []event{{address: address{Prefix: linkLocal}}}, 0, ""},
		{"after another address", append([]event{{address: address{Prefix: own}}}, dad(200*ms, linkLocal)...), 1200 * ms, ""},
		{"duplicate",
			append(dad(200*ms, linkLocal)[:1], event{at: 900 * ms, address: address{Prefix: linkLocal, tentative: true, failed: true}}), 900 * ms,
			"link-local address of eth0: the address fe80::5 is in use by another machine"},
		{"none", nil, 50 * sec, "link-local address of eth0: the kernel gave the link none, after 50s"},
		{"for ever tentative",
			dad(200*ms, linkLocal)[:1], 50 * sec,
			"link-local address of eth0: the kernel has not found out yet whether fe80::5 is a duplicate, after 50s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lease, err := Link{kernel: &story{events: tt.events}}.Acquire(t.Context(), network.Link{Name: "eth0"}, nil)
				if text := errorText(err); text != tt.wantErr {
					t.Errorf("Acquire: %q, want %q", text, tt.wantErr)
				}
				if err == nil && lease.Address != linkLocal {
					t.Errorf("Acquire = %v, want %v", lease.Address, linkLocal)
				}
				if at := time.Since(epoch); at != tt.at {
					t.Errorf("Acquire took %v, want %v", at, tt.at)
				}
			})
		})
	}
}
