package dolly

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/liveboot/liveboot/pkg/fetch/dolly/ring"
)

// Identity is what a machine may be called.
type Identity struct {
	Addresses []netip.Addr
	// Name of the host, with its domain or without.
	Name string
}

// NotNamedError says that a list of hosts does not have this machine in it.
type NotNamedError struct {
	Hosts []string
	Identity
}

// Error gives both.
func (e *NotNamedError) Error() string {
	var names []string
	for _, a := range e.Addresses {
		if a.Is4() && !a.IsLoopback() {
			names = append(names, a.String())
		}
	}
	if e.Name != "" {
		names = append(names, e.Name)
	}
	return fmt.Sprintf("its list of hosts, %s, has none of the names of this machine, %s", strings.Join(e.Hosts, ", "), strings.Join(names, ", "))
}

// place finds a machine in the list of the hosts: by the address that its parent connected to, then by the other addresses, by its name,
// by what the names in the list stand for, and at last by the part of a name before a hyphen.
func place(ctx context.Context, c ring.Config, connected netip.Addr, id Identity, resolve func(context.Context, string) ([]netip.Addr, error)) (int, error) {
	find := func(match func(host string) bool) int { return slices.IndexFunc(c.Hosts, match) }
	is := func(want netip.Addr) func(string) bool {
		return func(host string) bool {
			a, err := netip.ParseAddr(host)
			return err == nil && a.Unmap() == want
		}
	}
	if i := find(is(connected)); i >= 0 {
		return i, nil
	}
	for _, a := range id.Addresses {
		if i := find(is(a)); i >= 0 {
			return i, nil
		}
	}
	if i := find(func(host string) bool { return sameName(host, id.Name) }); i >= 0 {
		return i, nil
	}
	if i := find(func(host string) bool {
		if _, err := netip.ParseAddr(host); err == nil {
			return false
		}
		addresses, err := resolve(ctx, host)
		return err == nil && slices.ContainsFunc(addresses, func(a netip.Addr) bool {
			return a.Unmap() == connected || slices.Contains(id.Addresses, a.Unmap())
		})
	}); i >= 0 {
		return i, nil
	}
	if !c.HyphenNormal {
		if i := find(func(host string) bool {
			base, _, cut := strings.Cut(host, "-")
			return cut && sameName(base, id.Name)
		}); i >= 0 {
			return i, nil
		}
	}
	return 0, &NotNamedError{c.Hosts, id}
}

// sameName compares names of hosts. A domain counts only if both have one.
func sameName(a, b string) bool {
	if a == "" || b == "" {
		return false
	}
	shortA, _, domainA := strings.Cut(a, ".")
	shortB, _, domainB := strings.Cut(b, ".")
	if domainA && domainB {
		return strings.EqualFold(strings.TrimSuffix(a, "."), strings.TrimSuffix(b, "."))
	}
	return strings.EqualFold(shortA, shortB)
}
