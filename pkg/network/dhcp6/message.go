package dhcp6

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"

	"github.com/liveboot/liveboot/pkg/network"
)

// DUID returns the client identifier of a link with that hardware address, as it is sent: type 3 (DUID-LL), hardware type 1
// (Ethernet), address; RFC 8415, section 11.4.
func DUID(mac net.HardwareAddr) []byte { return duid(mac).ToBytes() }

func duid(mac net.HardwareAddr) *dhcpv6.DUIDLL {
	return &dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: mac}
}

// IAID returns the number of the identity association of a link: the last four bytes of its hardware address, the highest first.
func IAID(mac net.HardwareAddr) uint32 {
	id := iaid(mac)
	return binary.BigEndian.Uint32(id[:])
}

func iaid(mac net.HardwareAddr) (id [4]byte) {
	copy(id[:], mac[max(len(mac)-4, 0):])
	return id
}

// message returns what every message has: a transaction of its own, the client's identifier, the time that passed since the first try
// (section 21.9), and what is asked for.
func message(kind dhcpv6.MessageType, link network.Link, options ...dhcpv6.Option) *dhcpv6.Message {
	m := &dhcpv6.Message{MessageType: kind, TransactionID: transactionID()}
	m.AddOption(dhcpv6.OptClientID(duid(link.MAC)))
	m.AddOption(dhcpv6.OptElapsedTime(0))
	for _, o := range options {
		m.AddOption(o)
	}
	return m
}

// wanted are the options that are asked for: resolvers and search list (RFC 3646), NTP servers (RFC 5908, and RFC 4075 of old).
// SOL_MAX_RT and INF_MAX_RT are what section 21.7 demands.
func wanted(more ...dhcpv6.OptionCode) dhcpv6.Option {
	return dhcpv6.OptRequestedOption(append([]dhcpv6.OptionCode{
		dhcpv6.OptionDNSRecursiveNameServer, dhcpv6.OptionDomainSearchList, dhcpv6.OptionNTPServer, dhcpv6.OptionSNTPServerList,
	}, more...)...)
}

// association asks for an address of any value, or for those given. Their lifetimes are the server's to say.
func association(link network.Link, addresses ...net.IP) *dhcpv6.OptIANA {
	ia := &dhcpv6.OptIANA{IaId: iaid(link.MAC)}
	for _, ip := range addresses {
		ia.Options.Add(&dhcpv6.OptIAAddress{IPv6Addr: ip})
	}
	return ia
}

func solicitation(link network.Link) *dhcpv6.Message {
	return message(dhcpv6.MessageTypeSolicit, link, association(link), wanted(dhcpv6.OptionSolMaxRT),
		&dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionRapidCommit})
}

// requestFrom takes up an offer.
func requestFrom(offer answer, link network.Link) *dhcpv6.Message {
	var addresses []net.IP
	if ia := associationOf(offer, link); ia != nil {
		for _, a := range ia.Options.Addresses() {
			addresses = append(addresses, a.IPv6Addr)
		}
	}
	return message(dhcpv6.MessageTypeRequest, link, dhcpv6.OptServerID(offer.Options.ServerID()), association(link, addresses...),
		wanted(dhcpv6.OptionSolMaxRT))
}

// withAddress is an offer of the lease's address by the server that sent r, although it knows nothing of it yet.
func withAddress(r answer, link network.Link, lease network.Lease) answer {
	m := &dhcpv6.Message{MessageType: dhcpv6.MessageTypeAdvertise}
	m.AddOption(dhcpv6.OptServerID(r.Options.ServerID()))
	m.AddOption(association(link, lease.Address.Addr().AsSlice()))
	return answer{m, r.from}
}

// renewal asks the server of the last message for more time or, to rebind, any server.
func renewal(link network.Link, lease network.Lease, last *dhcpv6.Message, rebind bool) *dhcpv6.Message {
	options := []dhcpv6.Option{association(link, lease.Address.Addr().AsSlice()), wanted(dhcpv6.OptionSolMaxRT)}
	if rebind {
		return message(dhcpv6.MessageTypeRebind, link, options...)
	}
	return message(dhcpv6.MessageTypeRenew, link, append(options, dhcpv6.OptServerID(last.Options.ServerID()))...)
}

func decline(link network.Link, lease network.Lease, last *dhcpv6.Message) *dhcpv6.Message {
	ia := association(link, lease.Address.Addr().AsSlice())
	return message(dhcpv6.MessageTypeDecline, link, dhcpv6.OptServerID(last.Options.ServerID()), ia)
}

func informationRequest(link network.Link) *dhcpv6.Message {
	return message(dhcpv6.MessageTypeInformationRequest, link, wanted(dhcpv6.OptionInformationRefreshTime, dhcpv6.OptionInfMaxRT))
}

// lastMessage returns what the server of a lease sent last.
func lastMessage(lease network.Lease) (*dhcpv6.Message, error) {
	m, err := dhcpv6.MessageFromBytes(lease.Message)
	if err != nil {
		return nil, fmt.Errorf("read the message that gave the lease: %w", err)
	}
	if m.Options.ServerID() == nil {
		return nil, errors.New("the message that gave the lease is no server's")
	}
	return m, nil
}
