// Package options reads the values of the kernel options that configure the network, into the types of package network.
//
// The forms are those of dracut.cmdline(7) and of dracut's network modules, of PXELINUX's SYSAPPEND 1, and of Anaconda. A function takes
// what stands behind the "=", and knows nothing of the line around it. Mistakes are joined: each names the word and says what was
// expected.
package options

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"unicode"

	"github.com/liveboot/liveboot/pkg/network"
)

// split cuts a value at its colons, but for those in brackets, and those of a hardware address that fills a field.
func split(value string) ([]string, error) {
	var fields []string
	for rest := value; ; {
		end := fieldEnd(rest)
		if end < 0 {
			return nil, fmt.Errorf("%q has a bracket without its counterpart", value)
		}
		fields = append(fields, rest[:end])
		if end == len(rest) {
			return fields, nil
		}
		rest = rest[end+1:]
	}
}

// fieldEnd returns where the first field of s ends, or -1 where brackets do not match.
func fieldEnd(s string) int {
	const macLen = len("aa:bb:cc:dd:ee:ff")
	if len(s) == macLen || len(s) > macLen && s[macLen] == ':' {
		if network.ParseSelector(s[:macLen]).MAC != "" {
			return macLen
		}
	}
	inside := false
	for i := range len(s) {
		switch s[i] {
		case '[', ']':
			if inside == (s[i] == '[') {
				return -1
			}
			inside = !inside
		case ':':
			if !inside {
				return i
			}
		}
	}
	if inside {
		return -1
	}
	return len(s)
}

// mistakes collects what is wrong with the fields of one value.
type mistakes struct{ errs []error }

func (m *mistakes) add(format string, args ...any) {
	m.errs = append(m.errs, fmt.Errorf(format, args...))
}

func (m *mistakes) err() error { return errors.Join(m.errs...) }

// unbracket takes the brackets off an IPv6 address: [a], [a]/64 and [a/64], which dracut's manual writes in rd.route=.
func unbracket(s string) string {
	if inner, ok := strings.CutPrefix(s, "["); ok {
		return strings.Replace(inner, "]", "", 1)
	}
	return s
}

// address reads the address of a machine. "" and the unspecified address, which boot loaders write for what they do not know, are the
// zero Addr.
func (m *mistakes) address(what, s string) netip.Addr {
	if s == "" {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(unbracket(s))
	switch {
	case err != nil:
		m.add("%q is no address for %s: want 192.0.2.1 or [2001:db8::1], say", s, what)
	case a.IsUnspecified():
	case a.Is4In6(), a.IsMulticast(), a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		m.add("%q cannot be the address of %s: want that of a single machine", s, what)
	case a.Zone() != "" && (!a.IsLinkLocalUnicast() || nameError(a.Zone()) != nil):
		m.add("%q: only link-local addresses have a zone, which is the name of an interface", s)
	default:
		return a
	}
	return netip.Addr{}
}

// sameKind complains about two addresses of which one is IPv4 and the other IPv6. Those that are not set go with any.
func (m *mistakes) sameKind(what string, a netip.Addr, of string, b netip.Addr) {
	if a.IsValid() && b.IsValid() && a.Is4() != b.Is4() {
		m.add("the %s %v is of another kind than the %s %v: want both IPv4 or both IPv6", what, a, of, b)
	}
}

// prefix reads an address that may have the length of its prefix behind it; the length is -1 if not.
func (m *mistakes) prefix(what, s string) (netip.Addr, int) {
	text, length, found := strings.Cut(unbracket(s), "/")
	a := m.address(what, text)
	if a.Zone() != "" {
		m.add("%q: the address of %s has no zone; the interface has a field of its own", s, what)
		return netip.Addr{}, -1
	}
	if !found || !a.IsValid() {
		return a, -1
	}
	return a, m.mask(length, a)
}

// mask reads a subnet mask for the address, dotted or as a prefix length. It returns -1 for none.
func (m *mistakes) mask(s string, a netip.Addr) int {
	if s == "" {
		return -1
	}
	if bits, err := strconv.ParseUint(s, 10, 8); err == nil && bits > 0 && int(bits) <= a.BitLen() {
		return int(bits)
	}
	if bits, ok := dottedMask(s); ok && bits > 0 && a.Is4() {
		return bits
	}
	if a.Is4() {
		m.add("%q is no subnet mask: want 255.255.255.0 or 24, say", s)
	} else {
		m.add("%q is no prefix length: want 64, say", s)
	}
	return -1
}

// dottedMask reads an IPv4 mask such as 255.255.255.0.
func dottedMask(s string) (bits int, ok bool) {
	a, err := netip.ParseAddr(s)
	if err != nil || !a.Is4() {
		return 0, false
	}
	var mask uint32
	for _, octet := range a.As4() {
		mask = mask<<8 | uint32(octet)
	}
	for bits = 0; mask&(1<<31) != 0; bits++ {
		mask <<= 1
	}
	return bits, mask == 0
}

// defaultBits is the prefix length of an address that came without one: of its class, as the kernel's own ip= has it
// (Documentation/admin-guide/nfs/nfsroot.rst), or 64.
func defaultBits(a netip.Addr) int {
	switch {
	case !a.Is4():
		return 64
	case a.As4()[0] < 128:
		return 8
	case a.As4()[0] < 192:
		return 16
	}
	return 24
}

// link reads an interface: a name, or a hardware address. "" is the zero Selector.
func (m *mistakes) link(s string) network.Selector {
	selector := network.ParseSelector(s)
	switch {
	case s == "":
	case selector.MAC != "":
		return network.Selector{MAC: m.mac(s)}
	default:
		if err := nameError(s); err != nil {
			m.errs = append(m.errs, err)
			return network.Selector{}
		}
	}
	return selector
}

// name reads the name of an interface that has to be there.
func (m *mistakes) name(what, s string) string {
	if s == "" {
		m.add("%s has no name: want one like eth0", what)
	} else if err := nameError(s); err != nil {
		m.errs = append(m.errs, err)
	}
	return s
}

// maxName is IFNAMSIZ of <linux/if.h> without the zero byte.
const maxName = 15

// nameError says what is wrong with the name of an interface, after dev_valid_name of the kernel's net/core/dev.c. A "%" would ask the
// kernel to number the name, and "all" and "default" are folders of /proc/sys/net of another meaning.
func nameError(s string) error {
	bad := func(r rune) bool {
		return r == '/' || r == ':' || r == '%' || unicode.IsSpace(r) || !unicode.IsPrint(r)
	}
	switch {
	case len(s) > maxName:
		return fmt.Errorf("%q cannot be an interface: names have at most %d bytes", s, maxName)
	case s == "", s == ".", s == "..", s == "all", s == "default", strings.ContainsFunc(s, bad), strings.ContainsAny(s, ",[]"):
		return fmt.Errorf("%q cannot be an interface: want a name like eth0, or a hardware address like 52-54-00-12-34-56", s)
	}
	return nil
}

// mac reads the hardware address of an Ethernet card, with "-" or ":" between its octets, and returns it in lower case with colons.
func (m *mistakes) mac(s string) string {
	mac := network.ParseSelector(s).MAC
	switch {
	case mac == "":
		m.add("%q is no hardware address: want six octets, 52-54-00-12-34-56 say", s)
		return ""
	case mac == "00:00:00:00:00:00", strings.IndexByte("13579bdf", mac[1]) >= 0:
		m.add("%q cannot be the hardware address of a card: it stands for none, or for several", s)
		return ""
	}
	return mac
}

// mtu reads the largest packet of a link in bytes. "" is 0. An IPv4 link needs 68 (RFC 791).
func (m *mistakes) mtu(s string) int {
	if s == "" {
		return 0
	}
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n < 68 {
		m.add("%q is no MTU: want bytes from 68 to 65535, 1500 say", s)
		return 0
	}
	return int(n)
}

// maxHostname is HOST_NAME_MAX of <linux/limits.h>.
const maxHostname = 64

// hostname reads the name of this machine.
func (m *mistakes) hostname(s string) string {
	for label := range strings.SplitSeq(s, ".") {
		if s != "" && (!isLabel(label) || len(s) > maxHostname) {
			m.add("%q cannot be a host name: want letters, digits and -, at most %d of them", s, maxHostname)
			return ""
		}
	}
	return s
}

// isLabel reports whether s is a part of a host name, RFC 1123, section 2.1; underscores are in use, too.
func isLabel(s string) bool {
	bad := func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
	}
	return s != "" && len(s) <= 63 && s[0] != '-' && s[len(s)-1] != '-' && !strings.ContainsFunc(s, bad)
}
