package network

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// ResolvConf returns the resolv.conf(5) for the links, each resolver and each domain once, in their order.
func ResolvConf(links []Active) string {
	var resolvers []netip.Addr
	var search []string
	for _, l := range links {
		for _, lease := range l.Leases {
			resolvers = append(resolvers, lease.Resolvers...)
			for _, domain := range lease.Search {
				if !slices.Contains(search, domain) {
					search = append(search, domain)
				}
			}
		}
	}
	var b strings.Builder
	if len(search) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(search, " "))
	}
	for _, r := range unique(resolvers) {
		fmt.Fprintf(&b, "nameserver %v\n", r)
	}
	return b.String()
}
