package dhcp6

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"

	"github.com/liveboot/liveboot/pkg/network"
	"github.com/liveboot/liveboot/pkg/network/router"
)

// A statusError is a status other than success, RFC 8415, section 21.13.
type statusError struct {
	server netip.Addr
	code   iana.StatusCode
	text   string
}

// Error names the server, its status, and what it has to say for people.
func (e *statusError) Error() string {
	if e.text == "" {
		return fmt.Sprintf("the server %v answers %v", e.server, e.code)
	}
	return fmt.Sprintf("the server %v answers %v, %q", e.server, e.code, e.text)
}

func hasStatus(err error, code iana.StatusCode) bool {
	var status *statusError
	return errors.As(err, &status) && status.code == code
}

// statusOf returns the error for a status; none at all means success.
func statusOf(r answer, s *dhcpv6.OptStatusCode) error {
	if s == nil || s.StatusCode == iana.StatusSuccess {
		return nil
	}
	return &statusError{r.from, s.StatusCode, s.StatusMessage}
}

// associationOf returns what a message says of the addresses of this link.
func associationOf(r answer, link network.Link) *dhcpv6.OptIANA {
	for _, ia := range r.Options.IANA() {
		if ia.IaId == iaid(link.MAC) {
			return ia
		}
	}
	return nil
}

// forever is the lifetime "infinity", section 7.7.
const forever = (1<<32 - 1) * time.Second

// leaseFrom reads an ADVERTISE or a REPLY. With want, that must be the address; if the server gives it no more time or another one
// instead, the error is network.ErrLost.
func leaseFrom(r answer, link network.Link, want netip.Addr) (network.Lease, error) {
	if err := statusOf(r, r.Options.Status()); err != nil {
		return network.Lease{}, err
	}
	ia := associationOf(r, link)
	if ia == nil {
		return network.Lease{}, fmt.Errorf("the server %v says nothing of an address", r.from)
	}
	switch err := statusOf(r, ia.Options.Status()); {
	case want.IsValid() && (hasStatus(err, iana.StatusNoAddrsAvail) || hasStatus(err, iana.StatusNotOnLink)):
		return network.Lease{}, fmt.Errorf("%w: %w", err, network.ErrLost)
	case err != nil:
		return network.Lease{}, err
	case ia.T1 > ia.T2 && ia.T2 > 0: // section 21.4
		return network.Lease{}, fmt.Errorf("the server %v wants a renewal after %v and a rebinding before, after %v", r.from, ia.T1, ia.T2)
	}
	given, address, ok := addressOf(ia, want)
	if !ok && want.IsValid() {
		return network.Lease{}, fmt.Errorf("the server %v gives %v no more time: %w", r.from, want, network.ErrLost)
	}
	if !ok {
		return network.Lease{}, refusal(r, ia)
	}
	lease := restFrom(r, link)
	// The standard gives no length of a prefix with an address: what else is on the link is for routers to say.
	lease.Method, lease.Address = network.DHCP6, netip.PrefixFrom(address, address.BitLen())
	lease.Message = r.ToBytes()
	lifetimes(&lease, ia, given)
	return lease, nil
}

// addressOf returns the first address that can be used, or the wanted one.
func addressOf(ia *dhcpv6.OptIANA, want netip.Addr) (*dhcpv6.OptIAAddress, netip.Addr, bool) {
	for _, a := range ia.Options.Addresses() {
		ip, ok := netip.AddrFromSlice(a.IPv6Addr)
		usable := ok && ip.IsGlobalUnicast() && !ip.Is4In6()
		lasting := a.ValidLifetime > 0 && a.PreferredLifetime <= a.ValidLifetime && a.Options.Status() == nil
		if usable && lasting && (!want.IsValid() || ip == want) {
			return a, ip, true
		}
	}
	return nil, netip.Addr{}, false
}

// refusal is for an association without an address. Some servers put the status of the association there, some that of an address, some
// none at all.
func refusal(r answer, ia *dhcpv6.OptIANA) error {
	for _, a := range ia.Options.Addresses() {
		if err := statusOf(r, a.Options.Status()); err != nil {
			return err
		}
	}
	return &statusError{r.from, iana.StatusNoAddrsAvail, ""}
}

// lifetimes sets how long the lease lasts, and when it is to be renewed. A server that leaves the times to the client means half and
// four fifths of the preferred lifetime (section 21.4).
func lifetimes(lease *network.Lease, ia *dhcpv6.OptIANA, a *dhcpv6.OptIAAddress) {
	if a.ValidLifetime < forever {
		lease.Valid = a.ValidLifetime
	}
	lease.Renew, lease.Rebind = ia.T1, ia.T2
	if lease.Renew == 0 {
		lease.Renew = a.PreferredLifetime / 2
	}
	if lease.Rebind == 0 {
		lease.Rebind = max(a.PreferredLifetime/5*4, lease.Renew)
	}
	if lease.Valid == 0 {
		lease.Renew, lease.Rebind = 0, 0 // there is nothing to be renewed
	}
}

// restFrom reads what goes with an address.
func restFrom(r answer, link network.Link) network.Lease {
	lease := network.Lease{Server: r.from, Since: time.Now(), Resolvers: hosts(r.Options.DNS(), link)}
	if labels := r.Options.DomainSearchList(); labels != nil {
		for _, name := range labels.Labels {
			if router.IsDomain(name) && !slices.Contains(lease.Search, name) {
				lease.Search = append(lease.Search, name)
			}
		}
	}
	lease.NTP = hosts(append(r.Options.NTPServers(), r.Options.SNTP()...), link)
	return lease
}

// hosts returns the addresses that can be a host's, each once, link-local ones with their zone.
func hosts(ips []net.IP, link network.Link) []netip.Addr {
	var addresses []netip.Addr
	for _, ip := range ips {
		a, ok := netip.AddrFromSlice(ip)
		if !ok || a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() || a.Is4In6() {
			continue
		}
		if a.IsLinkLocalUnicast() {
			a = a.WithZone(link.Name)
		}
		if !slices.Contains(addresses, a) {
			addresses = append(addresses, a)
		}
	}
	return addresses
}
