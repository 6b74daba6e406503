package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
)

// A series of tries for one message waits 1, 2, 4 and 8 seconds; then another begins with a new transaction. RFC 2131,
// section 4.1, starts at 4 seconds, which costs too much where the first packet is lost while a switch port wakes up.
const (
	firstTry = time.Second
	tries    = 4
)

const (
	// pause is the time between two series after an error that is not silence: a server that refuses, or a link that does not
	// send yet. RFC 2131, section 3.1, asks for a delay after a refusal.
	pause = time.Second
	// maxErrors in a row are believed to be for good.
	maxErrors = 10
)

// DHCPv4 is the Client for RFC 2131.
func DHCPv4(ctx context.Context, link Link, attempted func(int)) (Lease, error) {
	counter := &countingLogger{attempted: attempted}
	for failures := 0; ; {
		lease, err := series(ctx, link, counter)
		switch {
		case err == nil:
			return lease, nil
		case ctx.Err() != nil:
			return Lease{}, ctx.Err()
		case errors.Is(err, nclient4.ErrNoResponse):
			failures = 0
			continue
		}
		if failures++; failures == maxErrors {
			return Lease{}, fmt.Errorf("dhcp on %s: %w", link.Name, err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// series asks for a lease with one series of tries.
func series(ctx context.Context, link Link, counter *countingLogger) (Lease, error) {
	client, err := nclient4.New(link.Name, nclient4.WithHWAddr(link.MAC), nclient4.WithTimeout(firstTry), nclient4.WithRetry(tries), nclient4.WithLogger(counter))
	if err != nil {
		return Lease{}, err
	}
	defer client.Close()
	lease, err := client.Request(ctx, request(link)...)
	if err != nil {
		return Lease{}, err
	}
	return leaseFrom(lease.ACK)
}

// countingLogger counts the messages that a client sends; the library has no other hook for its retransmissions.
type countingLogger struct {
	attempted func(int)
	sent      int
}

// PrintMessage is called with "sent message" and "received message".
func (l *countingLogger) PrintMessage(prefix string, _ *dhcpv4.DHCPv4) {
	if prefix == "sent message" {
		l.sent++
		l.attempted(l.sent)
	}
}

// Printf is for the library's other remarks.
func (*countingLogger) Printf(string, ...any) {}

// request returns what every message of ours carries. The client identifier is that of PXE firmware and of KIWI's live systems,
// hardware type and address (RFC 2132, section 9.14): the same address is given to all three.
func request(link Link) []dhcpv4.Modifier {
	return []dhcpv4.Modifier{
		dhcpv4.WithOption(dhcpv4.OptClientIdentifier(append([]byte{1}, link.MAC...))),
		dhcpv4.WithRequestedOptions(
			dhcpv4.OptionSubnetMask, dhcpv4.OptionClasslessStaticRoute, dhcpv4.OptionRouter,
			dhcpv4.OptionDomainNameServer, dhcpv4.OptionDomainName,
			dhcpv4.OptionInterfaceMTU, dhcpv4.OptionDNSDomainSearchList,
		),
	}
}

// The smallest MTU that is believed: RFC 2132, section 5.1, allows 68, but some servers send it as a placeholder, and no download fits
// through that.
const minMTU = 576

// leaseFrom reads an acknowledgement.
func leaseFrom(ack *dhcpv4.DHCPv4) (Lease, error) {
	address, ok := addr(ack.YourIPAddr)
	if !ok || address.IsUnspecified() {
		return Lease{}, fmt.Errorf("dhcp: the server %v acknowledged without an address", ack.ServerIdentifier())
	}
	bits := address.BitLen()
	if mask := ack.SubnetMask(); mask != nil {
		ones, size := mask.Size()
		if size != bits {
			return Lease{}, fmt.Errorf("dhcp: the server %v gave the subnet mask %v, which is none", ack.ServerIdentifier(), mask)
		}
		bits = ones
	}
	lease := Lease{
		Address: netip.PrefixFrom(address, bits),
		Routes:  routes(ack),
		Valid:   ack.IPAddressLeaseTime(0),
	}
	if lease.Valid == time.Duration(1<<32-1)*time.Second { // "infinity", RFC 2131, section 3.3
		lease.Valid = 0
	}
	lease.Server, _ = addr(ack.ServerIdentifier())
	for _, ip := range ack.DNS() {
		if resolver, ok := addr(ip); ok && !resolver.IsUnspecified() {
			lease.Resolvers = append(lease.Resolvers, resolver)
		}
	}
	if search := ack.DomainSearch(); search != nil {
		lease.Search = search.Labels
	} else if domain := ack.DomainName(); domain != "" {
		lease.Search = []string{domain}
	}
	if mtu, err := dhcpv4.GetUint16(dhcpv4.OptionInterfaceMTU, ack.Options); err == nil && mtu >= minMTU {
		lease.MTU = int(mtu)
	}
	return lease, nil
}

// routes returns the classless static routes or, only where there are none, the one by the first router (RFC 3442).
func routes(ack *dhcpv4.DHCPv4) []Route {
	var routes []Route
	for _, r := range ack.ClasslessStaticRoute() {
		destination, ok := addr(r.Dest.IP)
		if !ok {
			continue
		}
		ones, _ := r.Dest.Mask.Size()
		// RFC 3442 has the client clear the bits that the mask leaves out; the kernel refuses such a route.
		route := Route{Destination: netip.PrefixFrom(destination, ones).Masked()}
		if gateway, ok := addr(r.Router); ok && !gateway.IsUnspecified() {
			route.Gateway = gateway
		}
		routes = append(routes, route)
	}
	if routers := ack.Router(); len(routes) == 0 && len(routers) > 0 {
		if gateway, ok := addr(routers[0]); ok && !gateway.IsUnspecified() {
			routes = append(routes, Route{netip.PrefixFrom(netip.IPv4Unspecified(), 0), gateway})
		}
	}
	return routes
}

func addr(ip net.IP) (netip.Addr, bool) {
	a, ok := netip.AddrFromSlice(ip)
	return a.Unmap(), ok
}
