package netid

import (
	"bytes"
	"fmt"
	"io/fs"
	"net"
)

// A Policy is what the kernel command line says about the names of links. The zero Policy names them as Debian's udev does.
type Policy struct {
	// Disabled keeps the kernel's names (net.ifnames=0). Rules and Lan0 hold nevertheless, as they do in the reference.
	Disabled bool
	// Rules name single cards, and go before everything else (ifname=). The first that matches holds.
	Rules []Rule
	// Lan0 names every card lan0 (rd.kiwi.live.pxe). Only one can have that name; which one, and that the others are named without this
	// field, is up to the caller.
	Lan0 bool
	// USBByPath names USB cards like all others, as systemd itself does. Debian and its descendants name them by MAC.
	USBByPath bool
	// Scheme is the version of udev's rules.
	Scheme Scheme
}

// A Rule gives the card with the hardware address MAC a name.
type Rule struct {
	Name string
	MAC  net.HardwareAddr
}

// Lan0 is the name that rd.kiwi.live.pxe gives.
const Lan0 = "lan0"

// Name returns the name that the link is to have, which can be the one it has. sys is the folder /sys, mac the link's hardware
// address. Rules are for cards: a bridge or a VLAN that took over a card's address keeps its name.
func (p Policy) Name(sys fs.FS, kernelName string, mac net.HardwareAddr) (string, error) {
	l, err := openLink(sys, kernelName)
	if err != nil {
		return "", fmt.Errorf("name link %s: %w", kernelName, err)
	}
	if l.kind == ethernet && l.physical() {
		for _, r := range p.Rules {
			if bytes.Equal(r.MAC, mac) {
				return r.Name, nil
			}
		}
		if first, ok := l.number("dev_id"); p.Lan0 && ok && first == 0 {
			return Lan0, nil
		}
	}
	if p.Disabled {
		return kernelName, nil
	}
	c := l.candidates(p.Scheme)
	if p.USBByPath {
		c.USB = false
	}
	return c.Name(), nil
}
