// Package router gets IPv6 addresses from what routers advertise on a link.
//
// The kernel makes the addresses and sets the routes (stateless address autoconfiguration, RFC 4862; router discovery, RFC 4861).
// This package readies the kernel's settings (Prepare), asks routers to speak at once and again where they do not (RFC 7559), waits
// until the kernel knows that an address is no duplicate, and reads from the advertisements themselves what the kernel leaves to
// others: resolvers and search list (RFC 8106), and whether DHCPv6 has more to say.
//
// Link is for the link-local address alone, Auto for an address that the kernel makes, Either for that or one from DHCPv6, as the
// routers say. All three are a network.Client.
package router

import (
	"context"
	"fmt"
	"time"

	"github.com/liveboot/liveboot/pkg/network"
)

// Informer is asked for what goes with an address, where routers say that DHCPv6 has it.
type Informer interface {
	// Inform asks until ctx ends for resolvers, search list and NTP servers. The lease that it returns has nothing else.
	Inform(ctx context.Context, link network.Link) (network.Lease, error)
}

// Auto is the Client for network.Auto6.
type Auto struct {
	// Inform asks for resolvers by stateless DHCPv6; nil leaves them to the advertisements.
	Inform Informer
	// Router bounds the waiting for an advertisement with a prefix to make addresses of, Duplicate the kernel's detection of duplicates after
	// that. 0 means that of network.DefaultTimeouts.
	Router, Duplicate time.Duration

	kernel kernel // nil means the one that runs
}

var _ network.Client = Auto{}

// Acquire waits for an address. Each solicitation is an attempt. The error says how many were not answered; an address that somebody
// else has is a *network.DuplicateError.
func (a Auto) Acquire(ctx context.Context, link network.Link, attempt func(int)) (network.Lease, error) {
	lease, err := a.search(link, attempt).run(ctx)
	if err != nil {
		return network.Lease{}, fmt.Errorf("auto6 on %s: %w", link.Name, err)
	}
	return lease, nil
}

// Renew asks the routers to speak again, and returns the address with the time that it then has. The kernel itself keeps the address as
// long as routers advertise its prefix; if it no longer has it, the error is network.ErrLost.
func (a Auto) Renew(ctx context.Context, link network.Link, lease network.Lease, _ bool) (network.Lease, error) {
	s := a.search(link, func(int) {})
	s.keep = lease.Address
	renewed, err := s.run(ctx)
	if err == nil && renewed.Address != lease.Address {
		err = fmt.Errorf("%v is gone, there is %v: %w", lease.Address, renewed.Address, network.ErrLost)
	}
	if err != nil {
		return network.Lease{}, fmt.Errorf("auto6 on %s: %w", link.Name, err)
	}
	return renewed, nil
}

// Decline does nothing: there is no server.
func (Auto) Decline(context.Context, network.Link, network.Lease) error { return nil }

func (a Auto) search(link network.Link, attempt func(int)) *search {
	return newSearch(search{
		kernel: orRunning(a.kernel), link: link, attempt: attempt, inform: a.Inform,
		router: orDefault(a.Router, network.DefaultTimeouts().Router), duplicate: orDefault(a.Duplicate, network.DefaultTimeouts().Duplicate),
	})
}

// Either is the Client for network.Either6.
type Either struct {
	Auto
	// Managed is the Client for network.DHCP6. It is asked as soon as a router says that addresses are managed or gives no prefix for one's
	// own, and where no router speaks within Patience.
	Managed network.Client
	// Patience is how long routers may be silent before DHCPv6 is tried beside them; 0 means DefaultPatience.
	Patience time.Duration
}

// DefaultPatience is long enough for three solicitations, and for what a router may wait between two advertisements (RFC 4861, section 10).
const DefaultPatience = 4 * time.Second

var _ network.Client = Either{}

// Acquire waits for an address, as Auto does and by Managed where that is asked. Each solicitation of routers is an attempt.
func (e Either) Acquire(ctx context.Context, link network.Link, attempt func(int)) (network.Lease, error) {
	s := e.Auto.search(link, attempt)
	s.managed, s.patience = e.Managed, orDefault(e.Patience, DefaultPatience)
	lease, err := s.run(ctx)
	if err != nil {
		return network.Lease{}, fmt.Errorf("either6 on %s: %w", link.Name, err)
	}
	return lease, nil
}

// Renew renews by the method that the lease came by.
func (e Either) Renew(ctx context.Context, link network.Link, lease network.Lease, rebind bool) (network.Lease, error) {
	if lease.Method == network.DHCP6 {
		return e.Managed.Renew(ctx, link, lease, rebind)
	}
	return e.Auto.Renew(ctx, link, lease, rebind)
}

// Decline tells the server, where there is one.
func (e Either) Decline(ctx context.Context, link network.Link, lease network.Lease) error {
	if lease.Method == network.DHCP6 {
		return e.Managed.Decline(ctx, link, lease)
	}
	return e.Auto.Decline(ctx, link, lease)
}
