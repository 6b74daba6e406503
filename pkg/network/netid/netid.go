// Package netid computes the names that systemd-udevd gives to network links: eno1, ens3, enp3s0, enx525400123456.
//
// An `ip=enp3s0:dhcp` that was written for a system with udev means the link that udev calls so, and a link that is up can't be
// renamed by the live system later. So links get their names here, before they are brought up, and the same ones.
//
// [For] is udev's builtin net_id: it reads what firmware, slots, buses and cards say of a link in /sys (rooted where the caller
// says), and returns a candidate of each kind. [Candidates.Name] chooses among them as the .link files of udev do, and a [Policy]
// has what the kernel command line says about names on top of that. Nothing is renamed here.
//
// Which candidates there are changed with the versions of systemd; a [Scheme] is such a version. The rules are described in
// systemd.net-naming-scheme(7) and systemd.link(5). Of the buses there, those without a machine of our architectures are left out:
// IBM's vio, and netdevsim.
package netid

import (
	"fmt"
	"io/fs"
	"net"
	"path"
	"strings"
)

// Candidates are the names that a link could get, each empty where there is none. They can be longer than a name may be:
// Name passes over those.
type Candidates struct {
	// Kernel is the name that the link has now.
	Kernel string
	// Database is the name that systemd's hardware database has for the model (ID_NET_NAME_FROM_DATABASE).
	Database string
	// Onboard is made of the number that firmware gives to a card on the main board (ID_NET_NAME_ONBOARD).
	Onboard string
	// Slot is made of the number of the slot that the card is plugged into (ID_NET_NAME_SLOT).
	Slot string
	// Path is made of the place on the bus (ID_NET_NAME_PATH).
	Path string
	// MAC is made of a hardware address that is burned in (ID_NET_NAME_MAC).
	MAC string
	// Keep says that the name is not to be changed: the kernel calls it predictable, or somebody gave it.
	Keep bool
	// USB says that the link is behind a USB bus.
	USB bool
}

// Types of links, the attribute type; ARPHRD_ of include/uapi/linux/if_arp.h.
const (
	ethernet   = 1
	infiniband = 32
	slip       = 256
)

// For returns the candidates for the link that the kernel calls kernelName at the moment. sys is the folder /sys. A link that stands
// on another one, as a VLAN does, and one of a type that is never renamed, has none but its own name.
func For(sys fs.FS, kernelName string, scheme Scheme) (Candidates, error) {
	l, err := openLink(sys, kernelName)
	if err != nil {
		return Candidates{}, fmt.Errorf("name link %s: %w", kernelName, err)
	}
	return l.candidates(scheme), nil
}

// A link is a network interface in /sys.
type link struct {
	device
	name string
	// kind is its type; index its number; below that of the link on which it stands, or its own.
	kind, index, below uint64
}

func openLink(sys fs.FS, name string) (link, error) {
	// Else a name could lead out of the folder.
	if strings.Contains(name, "/") {
		return link{}, fmt.Errorf("%q is no name of a link", name)
	}
	d, err := openDevice(sys, path.Join("class/net", name))
	if err != nil {
		return link{}, err
	}
	l := link{device: d, name: name}
	for _, a := range []struct {
		name  string
		value *uint64
	}{{"type", &l.kind}, {"ifindex", &l.index}, {"iflink", &l.below}} {
		value, ok := d.number(a.name)
		if !ok {
			return link{}, fmt.Errorf("%s: no number in it", path.Join(d.path, a.name))
		}
		*a.value = value
	}
	return l, nil
}

func (l link) candidates(scheme Scheme) Candidates {
	c := Candidates{Kernel: l.name, Keep: l.named(), USB: l.behindUSB()}
	prefix := l.prefix(scheme)
	if prefix == "" || l.index != l.below {
		return c
	}
	n := namer{link: l, scheme: scheme}
	n.mac()
	n.devicetree()
	n.ccw()
	n.platform()
	n.xen()
	n.pci()
	n.usb()
	n.bcma()
	n.database()
	for _, name := range []*string{&n.Onboard, &n.Slot, &n.Path, &n.MAC} {
		if *name != "" {
			*name = prefix + *name
		}
	}
	n.Kernel, n.Keep, n.USB = c.Kernel, c.Keep, c.USB
	return n.Candidates
}

// A namer finds the names of a link, at first without the prefix.
type namer struct {
	Candidates
	link
	scheme Scheme
}

// prefix tells what kind of link it is; empty is one that gets no name.
func (l link) prefix(scheme Scheme) string {
	switch l.kind {
	case ethernet:
		switch l.devtype() {
		case "wlan":
			return "wl"
		case "wwan":
			return "ww"
		}
		return "en"
	case infiniband:
		if scheme.has(infiniBand) {
			return "ib"
		}
	case slip:
		return "sl"
	}
	return ""
}

// named says whether the name was given for good. The attribute name_assign_type can't be read where the kernel doesn't know;
// NET_NAME_ of include/uapi/linux/netdevice.h: 1 enumerated, 2 predictable, 3 given at creation, 4 renamed.
func (l link) named() bool {
	assigned, ok := l.number("name_assign_type")
	return ok && assigned >= 2
}

// mac takes the hardware address if it is the card's own: addr_assign_type is 0, NET_ADDR_PERM of include/linux/netdevice.h.
func (n *namer) mac() {
	if assigned, ok := n.number("addr_assign_type"); !ok || assigned != 0 || n.kind == infiniband {
		return
	}
	text, _ := n.attribute("address")
	if mac, err := net.ParseMAC(text); err == nil && len(mac) == 6 {
		n.MAC = fmt.Sprintf("x%x", []byte(mac))
	}
}

// database has the one model of systemd's 20-net-ifname.hwdb: the network card over which a Dell server talks to its own remote
// controller.
func (n *namer) database() {
	card, ok := n.ancestor("usb", "usb_device")
	if !ok {
		return
	}
	vendor, _ := card.attribute("idVendor")
	product, _ := card.attribute("idProduct")
	if strings.EqualFold(vendor, "413c") && strings.EqualFold(product, "a102") {
		n.Database = "idrac"
	}
}

// Name returns what Debian's udev renames the link to: of a USB card the name made of its MAC (73-usb-net-by-mac.link), of
// every other the first of database, onboard, slot and path (99-default.link), and without any of these the name that the link has.
func (c Candidates) Name() string {
	order := []string{c.Database, c.Onboard, c.Slot, c.Path}
	switch {
	case c.USB:
		order = []string{c.MAC}
	case c.Keep:
		return c.Kernel
	}
	for _, name := range order {
		if ValidName(name) {
			return name
		}
	}
	return c.Kernel
}

// All returns every name by which a person may know the link, without repetitions, the one of Name first. Distributions differ
// in what they take; Linux can have the others as alternative names (RTM_NEWLINKPROP).
func (c Candidates) All() []string {
	var all []string
	seen := make(map[string]bool)
	for _, name := range []string{c.Name(), c.Database, c.Onboard, c.Slot, c.Path, c.MAC, c.Kernel} {
		if validName(name, maxAlternative) && !seen[name] {
			seen[name] = true
			all = append(all, name)
		}
	}
	return all
}

// The longest name of a link (IFNAMSIZ of include/uapi/linux/if.h), and the longest alternative name (ALTIFNAMSIZ), both without the
// zero behind it.
const (
	maxName        = 15
	maxAlternative = 127
)

// ValidName says whether udev takes name for a link. It is stricter than the kernel, which allows control characters.
func ValidName(name string) bool { return validName(name, maxName) }

func validName(name string, longest int) bool {
	switch name {
	case "", ".", "..", "all", "default": // the last two are folders of their own in /proc/sys/net/ipv4/conf
		return false
	}
	if len(name) > longest {
		return false
	}
	digits := true
	for _, b := range []byte(name) {
		if b <= ' ' || b >= 127 || b == ':' || b == '/' || b == '%' {
			return false
		}
		digits = digits && b >= '0' && b <= '9'
	}
	return !digits // it would be taken for the number of a link
}
