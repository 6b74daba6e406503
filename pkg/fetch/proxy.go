package fetch

import (
	"net/netip"
	"net/url"
	"strings"
)

// proxyFor returns the proxy to ask for u, nil for none.
func (d dialer) proxyFor(u *url.URL) *url.URL {
	if d.proxy == nil || direct(d.options.NoProxy, u.Hostname()) {
		return nil
	}
	return d.proxy
}

// Server returns the URL of the server that is connected to for u: that of u, or the proxy that stands before it.
func (o Options) Server(u URL) URL {
	parsed, err := u.parse()
	if o.Proxy == "" || u.Scheme() == "tftp" || err == nil && direct(o.NoProxy, parsed.Hostname()) {
		return u
	}
	return o.Proxy
}

// direct reports whether host is in a list of hosts to ask without the proxy, as curl's --noproxy reads it: "*", a name and
// everything below it, an address, or a network.
func direct(list []string, host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	address, addressErr := netip.ParseAddr(host)
	for _, entry := range list {
		entry = strings.ToLower(strings.TrimSpace(entry))
		if entry == "*" {
			return true
		}
		if addressErr == nil {
			bare := strings.Trim(entry, "[]")
			network, err := netip.ParsePrefix(bare)
			if one, oneErr := netip.ParseAddr(bare); oneErr == nil && one == address || err == nil && network.Contains(address) {
				return true
			}
			continue
		}
		entry = strings.Trim(entry, ".")
		if entry != "" && (host == entry || strings.HasSuffix(host, "."+entry)) {
			return true
		}
	}
	return false
}
