package options

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/liveboot/liveboot/pkg/network"
)

// A Setup is what one ip= asks for.
type Setup struct {
	network.Interface
	// Off says that the link, or all links, are not to be configured (ip=off).
	Off bool
	// Bare says that there was nothing but an address, as Anaconda writes it: Complete adds what other options say.
	Bare bool
	// BootServer is the server that PXELINUX booted from; the zero Addr if it was not said.
	BootServer netip.Addr
	// NTP is the time server in the tenth field, which is the kernel's own; the zero Addr if there is none.
	NTP netip.Addr
}

// IP reads the value of ip=:
//
//	<methods>
//	<interface>:<methods>[:<mtu>[:<mac>]]
//	<client>:[<peer>]:<gateway>:<mask>:<host>:<interface>:<methods>[:<mtu>[:<mac>]]
//	<client>:[<peer>]:<gateway>:<mask>:<host>:<interface>:<methods>[:<dns>[:<dns>[:<ntp>]]]
//	<client>:<server>:<gateway>:<mask>
//	<client>
//
// Methods are separated by commas. An address beside another method than none, off or static is set as well as that: so have it
// NetworkManager and systemd, of dracut's three back ends, and the third has no meaning for it. Where methods are left out, an
// address is static, and without one there are no Methods, which stands for the default ones.
func IP(value string) (Setup, error) {
	var m mistakes
	f, err := split(value)
	if err != nil {
		return Setup{}, err
	}
	var s Setup
	switch {
	case len(f) == 1 && isAddress(f[0]):
		s = m.long(f)
		s.Bare = true
	case len(f) == 1:
		m.method(&s, f[0])
	case isMethod(f[1]), f[0] != "" && !isAddress(f[0]):
		s = m.short(f)
	case len(f) <= 4:
		server := f[1]
		f[1] = ""
		s = m.long(f)
		s.BootServer = m.address("the boot server", server)
	default:
		s = m.long(f)
	}
	if err := m.err(); err != nil {
		return Setup{}, err
	}
	return s, nil
}

// isAddress tells the first field of a long form from an interface: names do not begin with a digit, hardware addresses may.
func isAddress(s string) bool {
	return s != "" && (s[0] == '[' || s[0] >= '0' && s[0] <= '9') && network.ParseSelector(s).MAC == ""
}

func isMethod(s string) bool {
	word, _, _ := strings.Cut(s, ",")
	_, err := method(word)
	return err == nil
}

// off is what none and off say: nobody is asked.
const off network.Method = "off"

// method reads one word.
func method(word string) (network.Method, error) {
	switch word {
	case "dhcp", "on", "any", "single-dhcp", "dhcp4":
		return network.DHCP4, nil
	case "dhcp6":
		return network.DHCP6, nil
	case "auto6":
		return network.Auto6, nil
	case "either6":
		return network.Either6, nil
	case "link6":
		return network.Link6, nil
	case "none", "off":
		return off, nil
	case "static":
		return network.Static, nil
	case "ibft":
		return "", fmt.Errorf("ibft, the firmware's iSCSI table, is not supported: want dhcp, or the address itself")
	case "bootp", "rarp", "both":
		return "", fmt.Errorf("%s is not supported: want dhcp", word)
	}
	return "", fmt.Errorf("%q is no way to get an address: want dhcp, dhcp6, auto6, either6, link6, or none with an address", word)
}

// method reads a comma list of methods into s, whose address has been read.
func (m *mistakes) method(s *Setup, list string) {
	var methods []network.Method
	passive := false
	for word := range strings.SplitSeq(list, ",") {
		if list == "" {
			break
		}
		one, err := method(word)
		switch {
		case err != nil:
			m.errs = append(m.errs, err)
		case one == network.Static && !s.Address.IsValid():
			m.add("static needs an address: want ip=192.0.2.2::192.0.2.1:24::eth0:static, say")
		case one == off, one == network.Static:
			passive = true
		case !slices.Contains(methods, one):
			methods = append(methods, one)
		}
	}
	if s.Address.IsValid() {
		methods = append([]network.Method{network.Static}, methods...)
	}
	s.Methods = methods
	s.Off = passive && len(methods) == 0
}

// short reads <interface>:<methods>[:<mtu>[:<mac>]].
func (m *mistakes) short(f []string) Setup {
	var s Setup
	s.Link = m.link(f[0])
	m.method(&s, f[1])
	if len(f) > 2 {
		s.MTU = m.mtu(f[2])
	}
	if len(f) > 3 && f[3] != "" {
		s.MAC = m.mac(f[3])
	}
	m.end(f, 4)
	return s
}

// end complains about fields behind the n that have a meaning.
func (m *mistakes) end(f []string, n int) {
	for _, field := range f[min(n, len(f)):] {
		if field != "" {
			m.add("%q is one field too many", field)
		}
	}
}

// long reads the forms that begin with an address; fields at the end may be missing.
func (m *mistakes) long(f []string) Setup {
	f = append(slices.Clone(f), make([]string, max(0, 10-len(f)))...)
	var s Setup
	client, bits := m.prefix("this machine", f[0])
	peer, peerBits := m.prefix("the peer", f[1])
	s.Peer = peer
	s.Gateway = m.address("the gateway", f[2])
	s.Address = m.subnet(client, bits, peer, peerBits, f[3])
	s.Hostname = m.hostname(f[4])
	s.Link = m.link(f[5])
	m.method(&s, f[6])
	m.sameKind("gateway", s.Gateway, "address", client)
	m.sameKind("peer", s.Peer, "address", client)
	m.extras(&s, f)
	return s
}

// subnet puts an address and its prefix length together. The length of a peer's is that of the subnet which is on the link; without any, a
// peer is alone there.
func (m *mistakes) subnet(client netip.Addr, bits int, peer netip.Addr, peerBits int, mask string) netip.Prefix {
	family := client
	if !client.IsValid() {
		family = netip.IPv4Unspecified()
		if strings.IndexByte(mask, '.') < 0 {
			family = netip.IPv6Unspecified()
		}
	}
	maskBits := m.mask(mask, family)
	switch {
	case !client.IsValid():
		return netip.Prefix{}
	case bits > 0 && maskBits > 0 && bits != maskBits:
		m.add("the subnet mask %q is another than the %d bits behind the address %v: want one of them", mask, bits, client)
		return netip.Prefix{}
	case peer.Is4() != client.Is4(): // which is a mistake, unless there is no peer
	case peerBits > 0:
		bits = peerBits
	case peer.IsValid() && bits < 0 && maskBits < 0:
		bits = client.BitLen()
	}
	if bits < 0 {
		bits = maskBits
	}
	if bits < 0 {
		bits = defaultBits(client)
	}
	return netip.PrefixFrom(client, bits)
}

// extras reads what stands behind the methods: resolvers, and then a time server, if the eighth field reads as an address; else MTU and
// hardware address.
func (m *mistakes) extras(s *Setup, f []string) {
	const mtu, mac, ntp = 7, 8, 9
	resolvers := f[mtu:ntp]
	_, first := netip.ParseAddr(unbracket(f[mtu]))
	_, second := netip.ParseAddr(unbracket(f[mac]))
	if first != nil && (f[mtu] != "" || second != nil) {
		s.MTU = m.mtu(f[mtu])
		if f[mac] != "" {
			s.MAC = m.mac(f[mac])
		}
		m.end(f, ntp)
		return
	}
	for _, field := range resolvers {
		if a := m.address("a resolver", field); a.IsValid() {
			s.Resolvers = append(s.Resolvers, a)
		}
	}
	s.NTP = m.address("a time server", f[ntp])
	m.end(f, ntp+1)
}

// Complete adds what Anaconda's options gateway=, netmask= and hostname= say to an interface whose ip= was a bare address. What was not
// given is empty.
func Complete(i *network.Interface, gateway netip.Addr, netmask, hostname string) error {
	var m mistakes
	if bits := m.mask(netmask, i.Address.Addr()); bits > 0 {
		i.Address = netip.PrefixFrom(i.Address.Addr(), bits)
	}
	if gateway.IsValid() && !gateway.IsUnspecified() {
		m.sameKind("gateway", gateway, "address", i.Address.Addr())
		i.Gateway = gateway
	}
	if name := m.hostname(hostname); name != "" {
		i.Hostname = name
	}
	return m.err()
}
