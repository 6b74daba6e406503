package integration

import (
	"testing"

	"github.com/liveboot/liveboot/qemu"
)

// There is a cable and nobody who gives an address.
func TestNoDHCP(t *testing.T) {
	t.Parallel()
	m := boot(t, "ip=dhcp rd.net.timeout.dhcp=15 root=live:http://10.0.2.2/live.iso", func(c *qemu.Config) {
		c.NICs = []qemu.NIC{{Network: qemu.Silent}, {Network: qemu.Silent, Model: "e1000e"}}
	})
	m.fails(network, `no address: en\S+ \(.*\).*[,;] en\S+ \(.*\): no answer to [4-9] DHCP requests`)
}

// There is a cable to a server that gives an address, and nobody has that of the image's server.
func TestNoRoute(t *testing.T) {
	full(t)
	t.Parallel()
	m := boot(t, "ip=dhcp rd.net.timeout.dhcp=10 root=live:http://10.0.2.77/live.iso")
	m.fails(network, `no answer from the image's host: en\S+ .*10\.0\.2\.15/24, but 10\.0\.2\.77:80 does not answer`)
}

// There is no card at all.
func TestNoNIC(t *testing.T) {
	full(t)
	t.Parallel()
	m := boot(t, "ip=dhcp root=live:http://10.0.2.2/live.iso", func(c *qemu.Config) { c.NICs = nil })
	m.fails(network, "found no network card")
}
