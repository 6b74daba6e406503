package router

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/liveboot/liveboot/pkg/network"
)

// Link is the Client for network.Link6: it waits until the kernel knows that the link-local address is no duplicate (RFC 4862,
// section 5.4).
type Link struct {
	// Duplicate bounds the waiting; 0 means that of network.DefaultTimeouts.
	Duplicate time.Duration

	kernel kernel // nil means the one that runs
}

var _ network.Client = Link{}

// Acquire waits for the link-local address. An address that somebody else has is a *network.DuplicateError.
func (l Link) Acquire(ctx context.Context, link network.Link, _ func(int)) (network.Lease, error) {
	ip, err := l.wait(ctx, link)
	if err != nil {
		return network.Lease{}, fmt.Errorf("link-local address of %s: %w", link.Name, err)
	}
	return network.Lease{Method: network.Link6, Address: ip, FromKernel: true, Since: time.Now()}, nil
}

// Renew looks whether the link still has the address, which lasts for ever; if not, the error is network.ErrLost.
func (l Link) Renew(ctx context.Context, link network.Link, lease network.Lease, _ bool) (network.Lease, error) {
	renewed, err := l.Acquire(ctx, link, nil)
	if err == nil && renewed.Address != lease.Address {
		err = fmt.Errorf("link-local address of %s: it was %v and is %v: %w", link.Name, lease.Address, renewed.Address, network.ErrLost)
	}
	return renewed, err
}

// Decline does nothing: there is no server.
func (Link) Decline(context.Context, network.Link, network.Lease) error { return nil }

func (l Link) wait(ctx context.Context, link network.Link) (netip.Prefix, error) {
	k := orRunning(l.kernel)
	if err := k.prepare(link); err != nil {
		return netip.Prefix{}, err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	addresses, err := k.addresses(ctx, link)
	if err != nil {
		return netip.Prefix{}, err
	}
	limit := time.NewTimer(orDefault(l.Duplicate, network.DefaultTimeouts().Duplicate))
	defer limit.Stop()
	// What to say if nothing more happens.
	missing := errors.New("the kernel gave the link none")
	for {
		select {
		case a, ok := <-addresses:
			switch {
			case !ok && ctx.Err() == nil:
				return netip.Prefix{}, errUnwatched
			case !ok, !a.Addr().IsLinkLocalUnicast():
			case a.failed:
				return netip.Prefix{}, &network.DuplicateError{Address: a.Addr()}
			case a.usable():
				return a.Prefix, nil
			case a.tentative && !a.gone:
				missing = fmt.Errorf("the kernel has not found out yet whether %v is a duplicate", a.Addr())
			}
			if !ok {
				addresses = nil
			}
		case <-limit.C:
			return netip.Prefix{}, fmt.Errorf("%w, after %v", missing, orDefault(l.Duplicate, network.DefaultTimeouts().Duplicate))
		case <-ctx.Done():
			return netip.Prefix{}, fmt.Errorf("%w: %w", missing, ctx.Err())
		}
	}
}

// errUnwatched is for the end of the kernel's messages, which nobody asked for.
var errUnwatched = errors.New("the kernel's messages about addresses ended")

func orRunning(k kernel) kernel {
	if k == nil {
		return running{}
	}
	return k
}

func orDefault(d, fallback time.Duration) time.Duration {
	if d == 0 {
		return fallback
	}
	return d
}
