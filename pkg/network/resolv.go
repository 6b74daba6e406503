package network

import (
	"fmt"
	"slices"
	"strings"
)

// ResolvConf returns the resolv.conf(5) for a connection that c asked for, without repetitions.
func ResolvConf(c Config, lease Lease) string {
	resolvers := slices.Clone(c.Resolvers)
	if !c.IgnorePeerDNS {
		resolvers = append(resolvers, lease.Resolvers...)
	}
	var b strings.Builder
	if len(lease.Search) > 0 && !c.IgnorePeerDNS {
		fmt.Fprintf(&b, "search %s\n", strings.Join(lease.Search, " "))
	}
	for i, r := range resolvers {
		if !slices.Contains(resolvers[:i], r) {
			fmt.Fprintf(&b, "nameserver %v\n", r)
		}
	}
	return b.String()
}
