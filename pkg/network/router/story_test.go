package router

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/liveboot/liveboot/pkg/network"
)

// A story is a kernel that tells what happens at which time after the beginning.
type story struct {
	events []event
	// sent are the times and sources of the solicitations.
	sent []sent
	// err is what solicit returns.
	err error
}

// An event is an address or an advertisement.
type event struct {
	at      time.Duration
	address address
	ad      advertisement
}

type sent struct {
	at     time.Duration
	source netip.Addr
}

func (s *story) prepare(network.Link) error { return nil }

func (s *story) solicit(_ network.Link, source netip.Addr) error {
	s.sent = append(s.sent, sent{time.Since(epoch), source})
	return s.err
}

// epoch is when synctest's clock begins.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// tell sends the events that pick takes, each at its time.
func tell[T any](ctx context.Context, s *story, pick func(event) (T, bool)) (<-chan T, error) {
	c := make(chan T)
	go func() {
		defer close(c)
		inOrder := func(a, b event) int { return cmp.Compare(a.at, b.at) }
		for _, e := range slices.SortedStableFunc(slices.Values(s.events), inOrder) {
			if v, ok := pick(e); ok {
				select {
				case <-time.After(time.Until(epoch.Add(e.at))):
				case <-ctx.Done():
				}
				select {
				case c <- v:
				case <-ctx.Done():
					return
				}
			}
		}
		<-ctx.Done()
	}()
	return c, nil
}

func (s *story) addresses(ctx context.Context, _ network.Link) (<-chan address, error) {
	return tell(ctx, s, func(e event) (address, bool) { return e.address, e.address.IsValid() })
}

func (s *story) advertisements(ctx context.Context, _ network.Link) (<-chan advertisement, error) {
	return tell(ctx, s, func(e event) (advertisement, bool) { return e.ad, e.ad.router.IsValid() })
}

// server answers after a time, if that is not 0, with a lease or an error.
type server struct {
	after time.Duration
	lease network.Lease
	err   error
	asked *[]time.Duration
}

func (s server) wait(ctx context.Context) (network.Lease, error) {
	*s.asked = append(*s.asked, time.Since(epoch))
	var answer <-chan time.Time
	if s.after != 0 {
		answer = time.After(s.after)
	}
	select {
	case <-answer:
		return s.lease, s.err
	case <-ctx.Done():
		return network.Lease{}, ctx.Err()
	}
}

func (s server) Inform(ctx context.Context, _ network.Link) (network.Lease, error) {
	return s.wait(ctx)
}

func (s server) Acquire(ctx context.Context, _ network.Link, attempt func(int)) (network.Lease, error) {
	attempt(1)
	return s.wait(ctx)
}

func (s server) Renew(context.Context, network.Link, network.Lease, bool) (network.Lease, error) {
	return s.lease, nil
}

func (s server) Decline(context.Context, network.Link, network.Lease) error { return nil }

var (
	ownPrefix = prefix{netip.MustParsePrefix("2001:db8:0:1::/64"), true, time.Hour}
	own       = netip.MustParsePrefix("2001:db8:0:1::5/64")
	linkLocal = netip.MustParsePrefix("fe80::5/64")
	dns       = netip.MustParseAddr("2001:db8::53")
	dns2      = netip.MustParseAddr("2001:db8::54")
)

const ms, sec = time.Millisecond, time.Second

// ra is an advertisement of a router with a prefix; no flags, no resolvers.
func ra(at time.Duration, change func(*advertisement)) event {
	ad := advertisement{router: gateway, lifetime: 30 * time.Minute, prefixes: []prefix{ownPrefix}}
	if change != nil {
		change(&ad)
	}
	return event{at: at, ad: ad}
}

// dad is the kernel's detection of duplicates for an address, which ends well after a second.
func dad(at time.Duration, p netip.Prefix) []event {
	return []event{
		{at: at, address: address{Prefix: p, tentative: true, valid: time.Hour}},
		{at: at + sec, address: address{Prefix: p, valid: time.Hour}},
	}
}
