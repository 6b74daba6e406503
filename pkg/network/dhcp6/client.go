// Package dhcp6 gets addresses, and what goes with them, from DHCPv6 servers (RFC 8415): an address of one's own (IA_NA) with
// Client.Acquire, resolvers alone with Client.Inform. Prefixes of the link and routes are no business of DHCPv6: they come from
// router advertisements, which the kernel reads.
//
// Every message carries a client identifier that is made of the hardware address alone (DUID-LL, section 11.4), and its last four
// bytes as the number of the identity association, so that every boot, and whoever renews the lease later, is the same client to the
// server. DUID and IAID tell both: systemd-networkd takes them as DUIDType=link-layer and IAID=, NetworkManager as ipv6.dhcp-duid=ll
// and ipv6.dhcp-iaid=mac.
package dhcp6

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"

	"github.com/liveboot/liveboot/pkg/network"
	"github.com/liveboot/liveboot/pkg/network/router"
)

// Client is the Client for network.DHCP6.
type Client struct {
	// LinkLocal waits for the link-local address, from which everything is sent; nil means router.Link.
	LinkLocal network.Client

	listen listener // nil means the running kernel's UDP
}

var (
	_ network.Client  = Client{}
	_ router.Informer = Client{}
)

const (
	// pause is the time before all begins again, after a server changed its mind or a packet could not be sent.
	pause = time.Second
	// maxRefusals is how many answers without an address are believed.
	maxRefusals = 4
)

// Acquire asks for an address until it has one. Each SOLICIT is an attempt. Servers that answer but have no address make it give up after a
// few answers; the error then names their status. An error of LinkLocal is final.
func (c Client) Acquire(ctx context.Context, link network.Link, attempt func(int)) (network.Lease, error) {
	a := &acquisition{client: c, link: link, attempt: attempt}
	for {
		lease, err := a.once(ctx)
		if err == nil {
			return lease, nil
		}
		if a.final || ctx.Err() != nil || a.refusals >= maxRefusals {
			return network.Lease{}, fmt.Errorf("dhcp6 on %s: %w", link.Name, err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return network.Lease{}, fmt.Errorf("dhcp6 on %s: %w: %w", link.Name, err, ctx.Err())
		}
	}
}

// An acquisition is the way to one lease.
type acquisition struct {
	client   Client
	link     network.Link
	attempt  func(int)
	attempts int
	// refusals counts the messages that were answered without an address; refusal is the last such answer, to the attempt of that number.
	refusals  int
	refusal   error
	refusedAt int
	// final says that trying again is no use.
	final bool
}

// refused notes an answer without an address, and reports whether it is one too many. Several servers may refuse one message.
func (a *acquisition) refused(err error) bool {
	if a.refusal = err; a.refusedAt != a.attempts {
		a.refusals, a.refusedAt = a.refusals+1, a.attempts
	}
	return a.refusals >= maxRefusals
}

// once asks for an address from the start, until something goes wrong.
func (a *acquisition) once(ctx context.Context) (network.Lease, error) {
	conn, err := a.client.open(ctx, a.link)
	if err != nil {
		var failed *linkLocalError
		a.final = errors.As(err, &failed)
		return network.Lease{}, err
	}
	defer conn.close()
	offer, lease, err := a.solicit(ctx, conn)
	if err != nil || lease.Address.IsValid() {
		return lease, err
	}
	lease, err = conn.request(ctx, offer)
	if errors.As(err, new(*statusError)) {
		a.refused(err)
	}
	return lease, err
}

// collect is how long further servers may answer after the first. RFC 8415, section 18.2.1, has the client listen for a second for the
// one with the highest preference, which costs too much where there is but one.
const collect = 50 * time.Millisecond

// solicit asks for offers and returns the best, or the lease of a server that commits itself at once (section 18.2.1).
func (a *acquisition) solicit(ctx context.Context, conn *conversation) (best answer, lease network.Lease, err error) {
	count := func(int) {
		a.attempts++
		a.attempt(a.attempts)
	}
	err = conn.ask(ctx, solicitation(a.link), schedule{firstWait, longWait, 0}, count, func(r answer) (time.Duration, error) {
		got, err := leaseFrom(r, a.link, netip.Addr{})
		rapid := r.GetOneOption(dhcpv6.OptionRapidCommit) != nil
		switch {
		case errors.As(err, new(*statusError)):
			if a.refused(err) && best.Message == nil {
				return 0, err
			}
			return further, nil
		case err != nil:
			return further, nil
		case r.MessageType == dhcpv6.MessageTypeReply && rapid:
			lease = got
			return 0, nil
		case r.MessageType != dhcpv6.MessageTypeAdvertise:
			return further, nil
		}
		if best.Message == nil || r.Options.Preference() > best.Options.Preference() {
			best = r
		}
		if r.Options.Preference() == 255 { // the server's wish to be taken at once, section 21.8
			return 0, nil
		}
		return collect, nil
	})
	if a.refusal != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", a.refusal, ctx.Err())
	}
	return best, lease, err
}

// Renew asks for more time: the lease's server or, to rebind, any. A server that knows nothing of the lease is asked for the same address
// anew (section 18.2.10.1). If none gives it, the error is network.ErrLost.
func (c Client) Renew(ctx context.Context, link network.Link, lease network.Lease, rebind bool) (network.Lease, error) {
	renewed, err := c.renew(ctx, link, lease, rebind)
	if err != nil {
		return network.Lease{}, fmt.Errorf("renew %v by dhcp6 on %s: %w", lease.Address.Addr(), link.Name, err)
	}
	return renewed, nil
}

func (c Client) renew(ctx context.Context, link network.Link, lease network.Lease, rebind bool) (network.Lease, error) {
	last, err := lastMessage(lease)
	if err != nil {
		return network.Lease{}, err
	}
	conn, err := c.open(ctx, link)
	if err != nil {
		return network.Lease{}, err
	}
	defer conn.close()
	var renewed network.Lease
	var unknown answer
	err = conn.ask(ctx, renewal(link, lease, last, rebind), schedule{time.Second, time.Minute, 0}, nil, func(r answer) (time.Duration, error) {
		if r.MessageType != dhcpv6.MessageTypeReply || !rebind && !r.Options.ServerID().Equal(last.Options.ServerID()) {
			return further, nil
		}
		got, err := leaseFrom(r, link, lease.Address.Addr())
		switch {
		case err == nil:
			renewed = got
		case hasStatus(err, iana.StatusNoBinding):
			unknown = r
		case errors.Is(err, network.ErrLost):
			return 0, err
		default:
			return further, nil
		}
		return 0, nil
	})
	if err != nil || renewed.Address.IsValid() {
		return renewed, err
	}
	renewed, err = conn.request(ctx, withAddress(unknown, link, lease))
	if err == nil && renewed.Address != lease.Address {
		err = fmt.Errorf("the server %v gives %v instead: %w", renewed.Server, renewed.Address.Addr(), network.ErrLost)
	}
	if errors.As(err, new(*statusError)) {
		err = fmt.Errorf("%w: %w", err, network.ErrLost)
	}
	return renewed, err
}

// Decline tells the server that the address is in use (section 18.2.8), and waits until it has heard.
func (c Client) Decline(ctx context.Context, link network.Link, lease network.Lease) error {
	if err := c.decline(ctx, link, lease); err != nil {
		return fmt.Errorf("decline %v by dhcp6 on %s: %w", lease.Address.Addr(), link.Name, err)
	}
	return nil
}

func (c Client) decline(ctx context.Context, link network.Link, lease network.Lease) error {
	last, err := lastMessage(lease)
	if err != nil {
		return err
	}
	conn, err := c.open(ctx, link)
	if err != nil {
		return err
	}
	defer conn.close()
	return conn.ask(ctx, decline(link, lease, last), schedule{firstWait, longWait, 4}, nil, func(r answer) (time.Duration, error) {
		if r.MessageType != dhcpv6.MessageTypeReply {
			return further, nil
		}
		return 0, nil
	})
}

// Inform asks for resolvers, search list and NTP servers until there is an answer or ctx ends (section 18.2.6).
func (c Client) Inform(ctx context.Context, link network.Link) (network.Lease, error) {
	conn, err := c.open(ctx, link)
	if err != nil {
		return network.Lease{}, fmt.Errorf("stateless dhcp6 on %s: %w", link.Name, err)
	}
	defer conn.close()
	var lease network.Lease
	err = conn.ask(ctx, informationRequest(link), schedule{firstWait, longWait, 0}, nil, func(r answer) (time.Duration, error) {
		if r.MessageType != dhcpv6.MessageTypeReply || statusOf(r, r.Options.Status()) != nil {
			return further, nil
		}
		lease = restFrom(r, link)
		return 0, nil
	})
	if err != nil {
		return network.Lease{}, fmt.Errorf("stateless dhcp6 on %s: %w", link.Name, err)
	}
	return lease, nil
}
