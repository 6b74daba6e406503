package router

import (
	"net/netip"
	"slices"
	"time"
)

// known is what was heard of the link so far, from all its routers.
type known struct {
	// routers are in the order in which they were first heard, each as it spoke last.
	routers   []advertisement
	resolvers []netip.Addr
	search    []string
	addresses map[netip.Addr]address
}

// hear takes an advertisement. A router may spread its options over several (RFC 4861, section 6.2.3), so what it said before stays
// until it takes it back with a lifetime of 0.
func (k *known) hear(ad advertisement) {
	i := slices.IndexFunc(k.routers, func(r advertisement) bool { return r.router == ad.router })
	for _, r := range ad.resolvers {
		k.resolvers = update(k.resolvers, r.address, r.lifetime)
	}
	for _, d := range ad.search {
		k.search = update(k.search, d.name, d.lifetime)
	}
	if i < 0 {
		k.routers = append(k.routers, ad)
		return
	}
	for _, p := range k.routers[i].prefixes {
		if !slices.ContainsFunc(ad.prefixes, func(q prefix) bool { return q.Prefix == p.Prefix }) {
			ad.prefixes = append(ad.prefixes, p)
		}
	}
	k.routers[i] = ad
}

// update adds what is new to a list, or takes what has no time left out of it.
func update[T comparable](list []T, value T, lifetime time.Duration) []T {
	i := slices.Index(list, value)
	switch {
	case lifetime == 0 && i >= 0:
		return slices.Delete(list, i, i+1)
	case lifetime > 0 && i < 0:
		return append(list, value)
	}
	return list
}

// managed and other report whether a router says so.
func (k *known) managed() bool {
	return slices.ContainsFunc(k.routers, func(r advertisement) bool { return r.managed })
}

func (k *known) other() bool {
	return slices.ContainsFunc(k.routers, func(r advertisement) bool { return r.other })
}

// makes reports whether the kernel makes addresses of the prefix. Those of other lengths do not fit the interface identifiers of
// Ethernet (RFC 2464, section 4).
func (p prefix) makes() bool {
	return p.autonomous && p.valid > 0 && p.Bits() == 64 && !p.Addr().IsLinkLocalUnicast()
}

// autonomous reports whether there is a prefix to make addresses of.
func (k *known) autonomous() bool {
	return slices.ContainsFunc(k.routers, func(r advertisement) bool { return slices.ContainsFunc(r.prefixes, prefix.makes) })
}

// router returns the one that advertises the prefix of the address.
func (k *known) router(ip netip.Addr) (advertisement, bool) {
	for _, r := range k.routers {
		if slices.ContainsFunc(r.prefixes, func(p prefix) bool { return p.makes() && p.Contains(ip) }) {
			return r, true
		}
	}
	return advertisement{}, false
}

// gateway returns the first router that serves as a default router.
func (k *known) gateway() (netip.Addr, bool) {
	for _, r := range k.routers {
		if r.lifetime > 0 {
			return r.router, true
		}
	}
	return netip.Addr{}, false
}

// take notes what the kernel says of an address. One that it takes away because it is a duplicate is remembered.
func (k *known) take(a address) {
	if a.gone && !a.failed {
		delete(k.addresses, a.Addr())
		return
	}
	k.addresses[a.Addr()] = a
}

// linkLocal returns the link-local address once it can be a packet's source, else the unspecified one.
func (k *known) linkLocal() netip.Addr {
	for ip, a := range k.addresses {
		if ip.IsLinkLocalUnicast() && a.usable() {
			return ip
		}
	}
	return netip.IPv6Unspecified()
}

// best returns the usable address that was made of an advertised prefix: keep where it is one; else a lasting one before a temporary
// one, and one of the Internet before a local one (RFC 4193).
func (k *known) best(keep netip.Prefix) (address, bool) {
	var found []address
	for ip, a := range k.addresses {
		if _, ok := k.router(ip); ok && a.usable() {
			found = append(found, a)
		}
	}
	if len(found) == 0 {
		return address{}, false
	}
	return slices.MinFunc(found, func(a, b address) int {
		for _, worse := range []func(address) bool{
			func(a address) bool { return a.Prefix != keep },
			func(a address) bool { return a.temporary },
			func(a address) bool { return a.Addr().IsPrivate() },
		} {
			switch {
			case worse(a) && !worse(b):
				return 1
			case worse(b) && !worse(a):
				return -1
			}
		}
		return a.Addr().Compare(b.Addr())
	}), true
}

// tentative returns an address that is still being checked.
func (k *known) tentative() (netip.Addr, bool) {
	for ip, a := range k.addresses {
		if a.tentative {
			return ip, true
		}
	}
	return netip.Addr{}, false
}

// duplicate returns an address that somebody else has and that no other can stand in for.
func (k *known) duplicate() (netip.Addr, bool) {
	for ip, a := range k.addresses {
		switch {
		case !a.failed || a.temporary:
		case ip.IsLinkLocalUnicast():
			return ip, true
		default:
			_, ours := k.router(ip)
			if _, other := k.best(netip.Prefix{}); ours && !other {
				return ip, true
			}
		}
	}
	return netip.Addr{}, false
}
