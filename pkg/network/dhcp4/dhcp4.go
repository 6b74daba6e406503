// Package dhcp4 gets IPv4 addresses from DHCP servers, RFC 2131, as a network.Client.
//
// It says what the boot firmware said before it: the same client identifier (hardware type and address), and the options 93, 94 and 97
// of RFC 4578. So a server gives the same address, and a site's classes match. It does not say "PXEClient" as its vendor class, though:
// proxy DHCP servers would offer boot menus to it, and some servers leave out everything that PXE firmware has no use for.
//
// Messages go through a packet socket, which needs no address and hears answers that are sent to an address that is not set yet; so the
// broadcast flag is not needed. UDP checksums are not looked at: what another virtual machine of the same host sends has none yet, since
// the card would have filled it in, and the Ethernet frame has one anyway. Leases are renewed through a UDP socket.
package dhcp4

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/liveboot/liveboot/pkg/network"
)

// A Client is a network.Client for network.DHCP4.
type Client struct {
	// Firmware is what the boot firmware says of the machine; the zero Firmware says nothing.
	Firmware Firmware
	// Earlier are addresses that cards had before, by their hardware addresses as net.HardwareAddr prints them: they are asked for again
	// (option 50 in DISCOVER, RFC 2131, section 4.4.1). A server is free to give another one.
	Earlier map[string]netip.Addr

	// Tests have connections of their own.
	openRaw func(network.Link) (net.PacketConn, error)
	openUDP func(network.Link, netip.Addr) (net.PacketConn, error)
}

var _ network.Client = Client{}

// requestTries is how often a server that made an offer is asked for it before everything begins anew, after some 7 seconds.
const requestTries = 3

// broadcastFrom is the number of the DISCOVER from which on every second one asks for an answer to everybody. It helps where
// something between server and card passes on only what is for addresses that it has seen.
const broadcastFrom = 4

var (
	everybody = &net.UDPAddr{IP: net.IPv4bcast, Port: dhcpv4.ServerPort}
	// errRefused is a server's refusal of what it offered before.
	errRefused = errors.New("refused")
)

// Acquire asks for a lease until it has one or ctx ends. It calls attempt with the number of each DISCOVER, from 1. A refusal makes it
// begin anew at once; a second one in a row lets it wait, as RFC 2131, section 3.1, wants it.
func (c Client) Acquire(ctx context.Context, link network.Link, attempt func(int)) (network.Lease, error) {
	open := c.openRaw
	if open == nil {
		open = rawConn
	}
	conn, err := open(link)
	if err != nil {
		return network.Lease{}, fmt.Errorf("dhcp on %s: %w", link.Name, err)
	}
	talk := converse(conn, link.MAC)
	// In the background: the kernel waits until no packet is on its way to a packet socket, for tens of milliseconds.
	defer func() { go talk.close() }()

	a := acquisition{client: c, link: link, talk: talk, begin: time.Now(), attempt: attempt}
	var last error
	for refusals := 0; ; {
		lease, err := a.try(ctx)
		if err == nil {
			return lease, nil
		}
		switch {
		case ctx.Err() != nil && last != nil && !errors.Is(last, errSilence):
			return network.Lease{}, fmt.Errorf("dhcp on %s: %w: %w", link.Name, last, ctx.Err())
		case ctx.Err() != nil:
			return network.Lease{}, ctx.Err() // that nobody answered, and how often, the caller knows by attempt
		case errors.Is(err, errSilence):
		case errors.Is(err, errRefused):
			if refusals > 0 {
				sleep(ctx, wait(refusals))
			}
			refusals++
		default:
			return network.Lease{}, fmt.Errorf("dhcp on %s: %w", link.Name, err)
		}
		last = err
	}
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// An acquisition is the way to a lease, with all its detours.
type acquisition struct {
	client  Client
	link    network.Link
	talk    *conversation
	begin   time.Time
	sent    int // DISCOVERs
	attempt func(int)
}

// try goes from DISCOVER to ACK once.
func (a *acquisition) try(ctx context.Context) (network.Lease, error) {
	discover, err := a.client.message(dhcpv4.MessageTypeDiscover, a.link)
	if err != nil {
		return network.Lease{}, err
	}
	if earlier, ok := a.client.Earlier[a.link.MAC.String()]; ok {
		discover.UpdateOption(dhcpv4.OptRequestedIPAddress(earlier.AsSlice()))
	}
	prepare := func(int) {
		a.sent++
		a.attempt(a.sent)
		discover.NumSeconds = seconds(time.Since(a.begin))
		discover.Flags = 0
		if a.sent >= broadcastFrom && a.sent%2 == 0 {
			discover.SetBroadcast()
		}
	}
	offer, err := a.talk.ask(ctx, question{message: discover, to: everybody, prepare: prepare, wait: wait}, complete)
	if err != nil {
		return network.Lease{}, err
	}
	return a.request(ctx, discover, offer)
}

// complete reports whether an answer is an offer that can be taken: proxy DHCP servers offer no address.
func complete(m *dhcpv4.DHCPv4) (bool, error) {
	_, ok := unicast(m.YourIPAddr)
	return m.MessageType() == dhcpv4.MessageTypeOffer && ok && m.ServerIdentifier() != nil, nil
}

// request takes an offer.
func (a *acquisition) request(ctx context.Context, discover, offer *dhcpv4.DHCPv4) (network.Lease, error) {
	request, err := a.client.message(dhcpv4.MessageTypeRequest, a.link)
	if err != nil {
		return network.Lease{}, err
	}
	request.TransactionID, request.NumSeconds, request.Flags = discover.TransactionID, discover.NumSeconds, discover.Flags
	request.UpdateOption(dhcpv4.OptRequestedIPAddress(offer.YourIPAddr))
	request.UpdateOption(dhcpv4.OptServerIdentifier(offer.ServerIdentifier()))

	var lease network.Lease
	var sent time.Time
	_, err = a.talk.ask(ctx, question{
		message: request, to: everybody, tries: requestTries, wait: wait,
		prepare: func(int) { sent = time.Now() },
	}, func(m *dhcpv4.DHCPv4) (taken bool, err error) {
		switch {
		case m.ServerIdentifier() != nil && !m.ServerIdentifier().Equal(offer.ServerIdentifier()):
			// Other servers have no say any more: some refuse loudly what they did not offer.
		case m.MessageType() == dhcpv4.MessageTypeNak:
			return false, fmt.Errorf("the server %v %w its own offer of %v%s", offer.ServerIdentifier(), errRefused, offer.YourIPAddr, because(m))
		case m.MessageType() == dhcpv4.MessageTypeAck:
			if lease, err = leaseFrom(m, sent); err != nil {
				return false, fmt.Errorf("%w: %w", errRefused, err)
			}
			return true, nil
		}
		return false, nil
	})
	if err != nil {
		return network.Lease{}, err
	}
	if !lease.Server.IsValid() {
		lease.Server, _ = unicast(offer.ServerIdentifier())
	}
	return lease, nil
}

// Renew asks for more time: the lease's server, from the address that it is about, or to rebind any server.
func (c Client) Renew(ctx context.Context, link network.Link, lease network.Lease, rebind bool) (network.Lease, error) {
	renewed, err := c.renew(ctx, link, lease, rebind)
	if err != nil {
		return network.Lease{}, fmt.Errorf("renew the lease of %v on %s: %w", lease.Address.Addr(), link.Name, err)
	}
	if !renewed.Server.IsValid() {
		renewed.Server = lease.Server
	}
	return renewed, nil
}

func (c Client) renew(ctx context.Context, link network.Link, lease network.Lease, rebind bool) (network.Lease, error) {
	request, err := c.message(dhcpv4.MessageTypeRequest, link)
	if err != nil {
		return network.Lease{}, err
	}
	request.ClientIPAddr = lease.Address.Addr().AsSlice()
	to, until := everybody, lease.Since.Add(lease.Valid)
	if !rebind {
		to, until = &net.UDPAddr{IP: lease.Server.AsSlice(), Port: dhcpv4.ServerPort}, lease.Since.Add(lease.Rebind)
	}
	if deadline, ok := ctx.Deadline(); ok {
		until = deadline
	}
	open := c.openUDP
	if open == nil {
		open = udpConn
	}
	conn, err := open(link, lease.Address.Addr())
	if err != nil {
		return network.Lease{}, err
	}
	talk := converse(conn, link.MAC)
	defer talk.close()

	begin := time.Now()
	sent := begin
	var renewed network.Lease
	_, err = talk.ask(ctx, question{
		message: request, to: to, wait: renewalWaits(until),
		prepare: func(int) {
			sent = time.Now()
			request.NumSeconds = seconds(sent.Sub(begin))
		},
	}, func(m *dhcpv4.DHCPv4) (taken bool, err error) {
		switch m.MessageType() {
		case dhcpv4.MessageTypeNak:
			return false, fmt.Errorf("%w%s", network.ErrLost, because(m))
		case dhcpv4.MessageTypeAck:
			renewed, err = leaseFrom(m, sent)
			return true, err
		}
		return false, nil
	})
	return renewed, err
}

// Decline tells the server that somebody else uses the address, RFC 2131, section 4.4.4. It is not answered.
func (c Client) Decline(_ context.Context, link network.Link, lease network.Lease) error {
	open := c.openRaw
	if open == nil {
		open = rawConn
	}
	decline, err := bare(dhcpv4.MessageTypeDecline, link)
	if err != nil {
		return err
	}
	decline.UpdateOption(dhcpv4.OptRequestedIPAddress(lease.Address.Addr().AsSlice()))
	if lease.Server.IsValid() {
		decline.UpdateOption(dhcpv4.OptServerIdentifier(lease.Server.AsSlice()))
	}
	conn, err := open(link)
	if err == nil {
		_, err = conn.WriteTo(decline.ToBytes(), everybody)
		err = errors.Join(err, conn.Close())
	}
	if err != nil {
		return fmt.Errorf("decline %v on %s: %w", lease.Address.Addr(), link.Name, err)
	}
	return nil
}
