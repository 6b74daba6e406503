package handover

import (
	"encoding/json"
	"net/netip"
	"slices"
	"time"

	"github.com/liveboot/liveboot/pkg/network"
)

const descriptionPath = "run/liveboot/network.json"

// A Description is /run/liveboot/network.json, for programs of the live system that want to know how the machine was booted. Fields may be
// added; those that are here keep their names and meanings as long as Version is 1.
type Description struct {
	// Version is 1.
	Version int `json:"version"`
	// Hostname that was asked for or leased, without the domain.
	Hostname string `json:"hostname,omitempty"`
	// Resolvers and Search are those of all links, in the order in which they are asked.
	Resolvers []string `json:"resolvers"`
	Search    []string `json:"search"`
	// NTP servers of all leases.
	NTP []string `json:"ntp"`
	// Links are those with addresses, the primary one first, and then those that only carry them.
	Links []DescribedLink `json:"links"`
}

// A DescribedLink is a network interface.
type DescribedLink struct {
	Name  string `json:"name"`
	Index int    `json:"index"`
	// MAC is the address it has, PermanentMAC that of the card where it is another.
	MAC          string `json:"mac"`
	PermanentMAC string `json:"permanent_mac,omitempty"`
	// Kind is "card", "vlan", "bond" or "bridge".
	Kind string `json:"kind"`
	// Primary says that the image came over it.
	Primary bool `json:"primary"`
	// MTU in bytes.
	MTU int `json:"mtu"`
	// Master is the bond or bridge that it is a port of. Parent is what a VLAN is on, VLAN its number.
	Master string `json:"master,omitempty"`
	Parent string `json:"parent,omitempty"`
	VLAN   int    `json:"vlan,omitempty"`
	// Options are those of a bond, by the names of the kernel's driver.
	Options map[string]string `json:"options,omitempty"`
	Leases  []DescribedLease  `json:"leases"`
}

// A DescribedLease is an address and what came with it.
type DescribedLease struct {
	// Method is "static", "dhcp", "dhcp6", "auto6", "either6" or "link6", as ip= has them.
	Method string `json:"method"`
	// Address with the length of its prefix; Peer is the other end of a point-to-point link.
	Address string `json:"address"`
	Peer    string `json:"peer,omitempty"`
	// Server that gave the lease, or router that advertised the prefix.
	Server string           `json:"server,omitempty"`
	Routes []DescribedRoute `json:"routes"`
	// Resolvers, Search, NTP and Hostname of this lease, before them those that were asked for.
	Resolvers []string `json:"resolvers"`
	Search    []string `json:"search"`
	NTP       []string `json:"ntp"`
	Hostname  string   `json:"hostname,omitempty"`
	// BootServer is the server to boot from (next-server), RootPath option 17 of RFC 2132.
	BootServer string `json:"boot_server,omitempty"`
	RootPath   string `json:"root_path,omitempty"`
	// Since is when the lease began, in RFC 3339, by this machine's clock at that moment. Valid, Renew and Rebind are seconds from there; 0 is
	// for ever, or the protocol's default.
	Since  string `json:"since,omitempty"`
	Valid  int64  `json:"valid"`
	Renew  int64  `json:"renew"`
	Rebind int64  `json:"rebind"`
}

// A DescribedRoute is a way to a destination; without a gateway that is on the link itself.
type DescribedRoute struct {
	Destination string `json:"destination"`
	Gateway     string `json:"gateway,omitempty"`
}

// describe makes the description.
func describe(s State) Description {
	d := Description{Version: 1, Hostname: s.hostname(), Resolvers: []string{}, Search: []string{}, NTP: []string{}, Links: []DescribedLink{}}
	for _, c := range connections(s) {
		link := describeLink(c)
		for _, a := range s.Active {
			if a.Link.Index != c.link.Index {
				continue
			}
			for _, l := range a.Leases {
				lease := describeLease(l)
				link.Leases = append(link.Leases, lease)
				d.Resolvers = appendNew(d.Resolvers, lease.Resolvers)
				d.Search = appendNew(d.Search, lease.Search)
				d.NTP = appendNew(d.NTP, lease.NTP)
			}
		}
		d.Links = append(d.Links, link)
	}
	return d
}

func describeLink(c connection) DescribedLink {
	l := DescribedLink{
		Name: c.link.Name, Index: c.link.Index, MAC: c.link.MAC.String(), Kind: c.link.Kind, Primary: c.primary, MTU: c.link.MTU,
		VLAN: c.vlanID, Leases: []DescribedLease{},
	}
	if l.Kind == card {
		l.Kind = "card"
	}
	if permanent := c.link.PermanentMAC.String(); permanent != l.MAC {
		l.PermanentMAC = permanent
	}
	if c.master != nil {
		l.Master = c.master.Name
	}
	if c.parent != nil {
		l.Parent = c.parent.Name
	}
	if len(c.options) != 0 {
		l.Options = make(map[string]string)
		for _, o := range c.options {
			l.Options[o.Name] = o.Value
		}
	}
	return l
}

func describeLease(l network.Lease) DescribedLease {
	d := DescribedLease{
		Method: string(l.Method), Address: l.Address.String(), Peer: text(l.Peer), Server: text(l.Server),
		Routes: []DescribedRoute{}, Resolvers: texts(l.Resolvers), Search: append([]string{}, l.Search...), NTP: texts(l.NTP),
		Hostname: l.Hostname, BootServer: text(l.BootServer), RootPath: l.RootPath,
		Valid: int64(l.Valid / time.Second), Renew: int64(l.Renew / time.Second), Rebind: int64(l.Rebind / time.Second),
	}
	if !l.Since.IsZero() {
		d.Since = l.Since.UTC().Format(time.RFC3339)
	}
	for _, r := range l.Routes {
		d.Routes = append(d.Routes, DescribedRoute{r.Destination.String(), text(r.Gateway)})
	}
	return d
}

// json returns the file. All fields can be encoded, so there is no error.
func (d Description) json() []byte {
	b, _ := json.MarshalIndent(d, "", "  ")
	return append(b, '\n')
}

// text is empty for an address that is not set.
func text(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func texts(addresses []netip.Addr) []string {
	list := []string{}
	for _, a := range addresses {
		list = append(list, a.String())
	}
	return list
}

// appendNew appends those that the list does not have.
func appendNew(list, more []string) []string {
	for _, s := range more {
		if !slices.Contains(list, s) {
			list = append(list, s)
		}
	}
	return list
}

// hostname is what was asked for, or else what the primary link's server says.
func (s State) hostname() string {
	if s.Config.Hostname != "" {
		return s.Config.Hostname
	}
	for _, a := range s.Active {
		if a.Interface.Hostname != "" {
			return a.Interface.Hostname
		}
		for _, l := range a.Leases {
			if l.Hostname != "" {
				return l.Hostname
			}
		}
	}
	return ""
}
