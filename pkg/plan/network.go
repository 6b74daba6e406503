package plan

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/liveboot/liveboot/pkg/cmdline"
	"github.com/liveboot/liveboot/pkg/fetch"
	"github.com/liveboot/liveboot/pkg/network"
	"github.com/liveboot/liveboot/pkg/network/netid"
	"github.com/liveboot/liveboot/pkg/network/options"
)

func networkParameters() []Parameter {
	return slices.Concat(addressParameters(), linkParameters(), resolverParameters(), timeoutParameters(), proxyParameters())
}

func addressParameters() []Parameter {
	return []Parameter{
		{
			Key: "ip", Form: "=<methods>|<interface>:<methods>|<address>:…", Default: "dhcp,either6",
			Doc: "How interfaces get their addresses; the forms are in the section above. May be given more than once.",
			set: setIP,
		},
		{
			Key: "gateway", Form: "=<address>",
			Doc: "The gateway of an `ip=` that holds nothing but an address.",
			set: func(p *Plan, w cmdline.Param) (err error) {
				p.reading.gateway, err = options.Nameserver(w.Value)
				return err
			},
		},
		{
			Key: "netmask", Form: "=<mask>",
			Doc: "The subnet mask of an `ip=` that holds nothing but an address.",
			set: func(p *Plan, w cmdline.Param) error {
				p.reading.netmask = w.Value
				return nil
			},
		},
		{
			Key: "hostname", Form: "=<name>", Default: "from DHCP",
			Doc: "The name of this machine.",
			set: text(func(p *Plan) *string { return &p.Network.Hostname }),
		},
		{
			Key: "BOOTIF", Form: "=01-<mac>",
			Doc: "Use the interface with this hardware address, as PXELINUX's SYSAPPEND 2 writes it, where `ip=` names none.",
			set: func(p *Plan, w cmdline.Param) (err error) {
				p.reading.bootif, err = options.Bootif(w.Value)
				return err
			},
		},
		{
			Key: "rd.bootif", Form: "=0", Default: "1",
			Doc: "Ignore BOOTIF.",
			set: func(p *Plan, w cmdline.Param) error {
				p.reading.ignoreBootif = !w.Bool()
				return nil
			},
		},
		{
			Key: "bootdev", Form: "=<interface>",
			Doc: "Of several interfaces, the one over which the image is to come.",
			set: func(p *Plan, w cmdline.Param) (err error) {
				p.Network.Boot, err = options.Link(w.Value)
				return err
			},
		},
		{
			Key: "rd.route", Form: "=<net>/<mask>:[<gateway>][:<interface>]",
			Doc: "A route besides those from DHCP. May be given more than once.",
			set: add(func(p *Plan) *[]network.StaticRoute { return &p.Network.Routes }, options.Route),
		},
		{
			Key: "rd.neednet", Form: "=1",
			Doc: "Accepted and not needed: an image from the network implies the network.",
			set: accept,
		},
	}
}

func linkParameters() []Parameter {
	return []Parameter{
		{
			Key: "ifname", Form: "=<name>:<mac>",
			Doc: "Give the interface with this hardware address a name. May be given more than once.",
			set: add(func(p *Plan) *[]network.NameRule { return &p.Network.Naming.Rules }, options.IfName),
		},
		{
			Key: "net.ifnames", Form: "=0", Default: "1",
			Doc: "Keep the kernel's names (`eth0`) instead of those that udev gives (`enp3s0`).",
			set: func(p *Plan, w cmdline.Param) error {
				p.Network.Naming.Kernel = !w.Bool()
				return nil
			},
		},
		{
			Key: "net.naming-scheme", Form: "=v<version>", Default: "v252",
			Doc: "The version of udev's rules for names, see systemd.net-naming-scheme(7).",
			set: func(p *Plan, w cmdline.Param) error {
				_, err := netid.ParseScheme(w.Value)
				p.Network.Naming.Scheme = w.Value
				return err
			},
		},
		{
			Key: "rd.kiwi.live.pxe",
			Doc: "Name the (first) interface lan0.",
			set: func(p *Plan, w cmdline.Param) error {
				p.Network.Naming.Lan0 = w.Bool()
				return nil
			},
		},
		{
			Key: "vlan", Form: "=<name>:<interface>",
			Doc: "A VLAN on the interface, with its number in the name: `vlan0005`, `vlan5`, `eth0.0005` or `eth0.5`. May be given more than once.",
			set: add(func(p *Plan) *[]network.VLAN { return &p.Network.VLANs }, options.VLAN),
		},
		{
			Key: "bond", Form: "=<name>[:<interfaces>[:<options>[:<mtu>]]]", Default: "bond0:eth0,eth1:mode=balance-rr",
			Doc: "Several interfaces as one, with the options of the kernel's bonding driver; `;` in an option stands for a comma. May be given more than once.",
			set: add(func(p *Plan) *[]network.Bond { return &p.Network.Bonds }, options.Bond),
		},
		{
			Key: "team", Form: "=<name>[:<interfaces>[:<runner>]]",
			Doc: "Set up as a bond of the same kind, with a warning: activebackup (the default), roundrobin, broadcast, loadbalance, lacp.",
			set: func(p *Plan, w cmdline.Param) error {
				bond, warning, err := options.Team(w.Value)
				if err != nil {
					return err
				}
				p.warnf("%s", warning)
				p.Network.Bonds = append(p.Network.Bonds, bond)
				return nil
			},
		},
		{
			Key: "bridge", Form: "=<name>:<interfaces>",
			Doc: "A bridge of the interfaces, which forwards at once. May be given more than once.",
			set: add(func(p *Plan) *[]network.Bridge { return &p.Network.Bridges }, options.Bridge),
		},
	}
}

func resolverParameters() []Parameter {
	return []Parameter{
		{
			Key: "nameserver", Form: "=<address>",
			Doc: "A resolver, asked before those from DHCP. May be given more than once.",
			set: func(p *Plan, w cmdline.Param) error {
				address, err := options.Nameserver(w.Value)
				if err == nil && address.IsValid() {
					p.Network.Resolvers = append(p.Network.Resolvers, address)
				}
				return err
			},
		},
		{
			Key: "rd.peerdns", Form: "=0", Default: "1",
			Doc: "Do not use the resolvers from DHCP.",
			set: func(p *Plan, w cmdline.Param) error {
				p.Network.IgnorePeerDNS = !w.Bool()
				return nil
			},
		},
	}
}

func timeoutParameters() []Parameter {
	return []Parameter{
		timeout("rd.net.timeout.iflink", "for a network interface to appear", func(t *network.Timeouts) *time.Duration { return &t.Link }),
		timeout("rd.net.timeout.carrier", "for a carrier on any interface", func(t *network.Timeouts) *time.Duration { return &t.Carrier }),
		timeout("rd.net.timeout.dhcp", "for an address, from a carrier on", func(t *network.Timeouts) *time.Duration { return &t.Lease }),
		timeout("rd.net.timeout.route", "for the image's server to answer, from an address on", func(t *network.Timeouts) *time.Duration { return &t.Answer }),
		timeout("rd.net.timeout.ipv6auto", "for a router advertisement", func(t *network.Timeouts) *time.Duration { return &t.Router }),
		timeout("rd.net.timeout.ipv6dad", "for the kernel to find that nobody else has an IPv6 address", func(t *network.Timeouts) *time.Duration { return &t.Duplicate }),
		{
			Key: "rd.net.timeout.ifup", Form: "=<seconds>",
			Doc: "Accepted and not needed: an interface that is set up is watched for as long as the boot waits for anything.",
			set: func(_ *Plan, w cmdline.Param) error {
				_, err := seconds(w)
				return err
			},
		},
		{
			Key: "rd.net.dhcp.retry", Form: "=<n>", Default: "1",
			Doc: "Wait for an address n times as long.",
			set: func(p *Plan, w cmdline.Param) error {
				n, err := strconv.Atoi(w.Value)
				if err != nil || n < 1 || n > 1000 {
					return errors.New("want a number from 1 to 1000")
				}
				p.reading.retry = n
				return nil
			},
		},
	}
}

func proxyParameters() []Parameter {
	return []Parameter{
		{
			Key: "proxy", Form: "=<url>", Secret: true,
			Doc: "HTTP proxy for http and https.",
			set: func(p *Plan, w cmdline.Param) (err error) {
				address := w.Value
				if !strings.Contains(address, "://") {
					address = "http://" + address // as curl has it
				}
				p.Image.Proxy, err = fetch.ParseURL(address)
				return err
			},
		},
		{
			Key: "rd.noverifyssl",
			Doc: "Accept any certificate of an https server.",
			set: func(p *Plan, w cmdline.Param) error {
				p.Image.Insecure = w.Bool()
				return nil
			},
		},
	}
}

// add is the setter of a list.
func add[T any](field func(*Plan) *[]T, parse func(string) (T, error)) func(*Plan, cmdline.Param) error {
	return func(p *Plan, w cmdline.Param) error {
		one, err := parse(w.Value)
		if err == nil {
			*field(p) = append(*field(p), one)
		}
		return err
	}
}

// timeout is a row for one of the network's time-outs.
func timeout(key, what string, field func(*network.Timeouts) *time.Duration) Parameter {
	d := network.DefaultTimeouts()
	return Parameter{
		Key: key, Form: "=<seconds>", Default: fmt.Sprint(int(field(&d).Seconds())),
		Doc: "How long to wait " + what + ".",
		set: func(p *Plan, w cmdline.Param) error {
			duration, err := seconds(w)
			*field(&p.Network.Timeouts) = duration
			return err
		},
	}
}

func seconds(w cmdline.Param) (time.Duration, error) {
	n, err := strconv.Atoi(w.Value)
	if err != nil || n <= 0 || n > 1e6 {
		return 0, errors.New("want a number of seconds above 0")
	}
	return time.Duration(n) * time.Second, nil
}

// setIP reads ip=.
func setIP(p *Plan, w cmdline.Param) error {
	setup, err := options.IP(w.Value)
	if err != nil {
		return err
	}
	if setup.Off {
		if setup.Link == (network.Selector{}) {
			return errors.New("this leaves no network, but the image is on a server")
		}
		p.Network.Ignored = append(p.Network.Ignored, setup.Link)
		return nil
	}
	if setup.Bare {
		p.reading.bare = append(p.reading.bare, len(p.Network.Interfaces))
	}
	i := setup.Interface
	i.BootServer = setup.BootServer
	if setup.NTP.IsValid() {
		i.NTP = []netip.Addr{setup.NTP}
	}
	p.Network.Interfaces = append(p.Network.Interfaces, i)
	return nil
}

// finishNetwork sees to what several options say together.
func (p *Plan) finishNetwork() error {
	var errs []error
	for _, i := range p.reading.bare {
		errs = append(errs, options.Complete(&p.Network.Interfaces[i], p.reading.gateway, p.reading.netmask, p.Network.Hostname))
	}
	if len(p.reading.bare) == 0 && (p.reading.gateway.IsValid() || p.reading.netmask != "") {
		p.warnf("gateway= and netmask= have no effect: there is no ip=<address> that they belong to")
	}
	p.applyBootif()
	if p.reading.retry > 1 {
		p.Network.Timeouts.Lease = time.Duration(p.reading.retry) * cmp.Or(p.Network.Timeouts.Lease, network.DefaultTimeouts().Lease)
	}
	return errors.Join(errs...)
}

// applyBootif restricts what is for all interfaces to the one that the firmware booted from. That can be a port of a bond, or carry a VLAN: where
// there are such, it says nothing.
func (p *Plan) applyBootif() {
	n := &p.Network
	if p.reading.ignoreBootif || p.reading.bootif == (network.Selector{}) || len(n.VLANs)+len(n.Bonds)+len(n.Bridges) > 0 {
		return
	}
	if len(n.Interfaces) == 0 {
		n.Interfaces = []network.Interface{{}}
	}
	for i := range n.Interfaces {
		if n.Interfaces[i].Link == (network.Selector{}) {
			n.Interfaces[i].Link = p.reading.bootif
		}
	}
}

// networkReading is what the order of the network's options needs to know.
type networkReading struct {
	// bootif is the interface of BOOTIF, unless ignoreBootif.
	bootif       network.Selector
	ignoreBootif bool
	// bare are the indexes of the interfaces of which ip= said nothing but the address; gateway and netmask are for them.
	bare    []int
	gateway netip.Addr
	netmask string
	// retry is how often the time for a lease is granted.
	retry int
}
