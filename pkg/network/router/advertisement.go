package router

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// An advertisement is what a router says of the link, RFC 4861, section 4.2, as far as the kernel leaves it to others.
type advertisement struct {
	// router is the link-local address of the sender, with its zone.
	router netip.Addr
	// managed says that addresses come from DHCPv6, other that only the rest (resolvers, …) does.
	managed, other bool
	// lifetime is how long the router may serve as the default router; 0 means not at all.
	lifetime  time.Duration
	prefixes  []prefix
	resolvers []resolver
	search    []domain
}

// A prefix of the link, RFC 4861, section 4.6.2.
type prefix struct {
	netip.Prefix
	// autonomous says that hosts may make addresses of it.
	autonomous bool
	valid      time.Duration
}

// A resolver or a domain with a lifetime of 0 is no longer to be used, RFC 8106, section 5.
type (
	resolver struct {
		address  netip.Addr
		lifetime time.Duration
	}
	domain struct {
		name     string
		lifetime time.Duration
	}
)

// The ICMPv6 message types and options that are understood, with what their RFC calls them.
const (
	typeSolicitation  = 133
	typeAdvertisement = 134

	optionPrefix = 3  // Prefix Information, RFC 4861, section 4.6.2
	optionRDNSS  = 25 // Recursive DNS Server, RFC 8106, section 5.1
	optionDNSSL  = 31 // DNS Search List, RFC 8106, section 5.2
)

// headerSize is the part of an advertisement before its options, in bytes.
const headerSize = 16

// errNoAdvertisement is for messages that are to be dropped without a word, RFC 4861, section 6.1.2.
var errNoAdvertisement = errors.New("no valid router advertisement")

// parse reads the ICMPv6 message b, whose checksum the kernel has judged, and which came from source with that hop limit.
// An option that is broken in itself is left out; one whose length makes no sense condemns the message.
func parse(b []byte, source netip.Addr, hopLimit int) (advertisement, error) {
	switch {
	case len(b) < headerSize || b[0] != typeAdvertisement || b[1] != 0:
		return advertisement{}, errNoAdvertisement
	case hopLimit != 255: // it passed a router, so it is not from this link
		return advertisement{}, fmt.Errorf("%w: hop limit %d", errNoAdvertisement, hopLimit)
	case !source.IsLinkLocalUnicast():
		return advertisement{}, fmt.Errorf("%w: from %v, which is not a link-local address", errNoAdvertisement, source)
	}
	ad := advertisement{
		router:   source,
		managed:  b[5]&0x80 != 0,
		other:    b[5]&0x40 != 0,
		lifetime: time.Duration(binary.BigEndian.Uint16(b[6:])) * time.Second,
	}
	for rest := b[headerSize:]; len(rest) > 0; {
		if len(rest) < 8 {
			return advertisement{}, fmt.Errorf("%w: %d bytes after the last option", errNoAdvertisement, len(rest))
		}
		size := int(rest[1]) * 8
		if size == 0 || size > len(rest) {
			return advertisement{}, fmt.Errorf("%w: option %d of %d bytes, where %d are left", errNoAdvertisement, rest[0], size, len(rest))
		}
		ad.option(rest[:size])
		rest = rest[size:]
	}
	return ad, nil
}

// option takes one option, of at least 8 bytes with type and length.
func (ad *advertisement) option(o []byte) {
	switch o[0] {
	case optionPrefix:
		if len(o) != 32 || o[2] > 128 {
			return
		}
		ad.prefixes = append(ad.prefixes, prefix{
			Prefix:     netip.PrefixFrom(netip.AddrFrom16([16]byte(o[16:32])), int(o[2])).Masked(),
			autonomous: o[3]&0x40 != 0,
			valid:      seconds(o[4:]),
		})
	case optionRDNSS:
		for rest := o[8:]; len(rest) >= 16; rest = rest[16:] {
			address := netip.AddrFrom16([16]byte(rest[:16]))
			if address.IsUnspecified() || address.IsMulticast() || address.IsLoopback() || address.Is4In6() {
				continue
			}
			if address.IsLinkLocalUnicast() {
				address = address.WithZone(ad.router.Zone())
			}
			ad.resolvers = append(ad.resolvers, resolver{address, seconds(o[4:])})
		}
	case optionDNSSL:
		for _, name := range domains(o[8:]) {
			ad.search = append(ad.search, domain{name, seconds(o[4:])})
		}
	}
}

func seconds(b []byte) time.Duration {
	return time.Duration(binary.BigEndian.Uint32(b)) * time.Second
}

// domains reads domain names as RFC 1035, section 3.1, has them, uncompressed, one after the other and padded with zeros. It leaves
// out those that are no host names, and ends where the bytes make no sense.
func domains(b []byte) []string {
	var names, labels []string
	for len(b) > 0 {
		size := int(b[0])
		b = b[1:]
		switch {
		case size == 0:
			if name := strings.Join(labels, "."); IsDomain(name) {
				names = append(names, name)
			}
			labels = nil
		case size > 63 || size > len(b):
			return names
		default:
			labels = append(labels, string(b[:size]))
			b = b[size:]
		}
	}
	return names
}

// IsDomain reports whether name, which somebody on the network sent, can stand in resolv.conf(5): labels of letters, digits, hyphens and
// underscores, up to 253 bytes (RFC 1035, section 2.3.4).
func IsDomain(name string) bool {
	if len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || strings.ContainsFunc(label, notInLabel) {
			return false
		}
	}
	return true
}

func notInLabel(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_')
}
