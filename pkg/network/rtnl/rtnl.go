// Package rtnl is the network.Kernel of the machine that runs: rtnetlink(7), and /sys/class/net for what the bonding driver
// has only there.
//
// Errors read as the ip(8) command that would have done the same, with what the kernel says beside the number of its error (extended
// acknowledgements).
//
// The routes of a link have a metric of its own, so two links can hold the same subnet and a default route each: 60 and the link's index for
// IPv4, 1024 and the link's index for IPv6. They are marked as from DHCP (RTPROT_DHCP) or static (RTPROT_STATIC), as the lease is.
package rtnl

import (
	"fmt"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/network"
)

// System is the Kernel that runs, in the network namespace of the process. The zero System is ready; it must not be copied.
type System struct {
	mu sync.Mutex
	// late are the options of a bond, by its name, that wait for one of its ports.
	late map[string][]network.BondOption
}

var _ network.Kernel = (*System)(nil)

// request asks the kernel for something and waits for its answer.
func request(kind, flags int, data ...nl.NetlinkRequestData) error {
	socket, err := nl.Subscribe(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer socket.Close()
	// A kernel before 4.12 answers with a number only.
	_ = socket.SetExtAck(true)
	r := nl.NewNetlinkRequest(kind, flags|unix.NLM_F_ACK)
	r.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: socket}}
	for _, d := range data {
		r.AddData(d)
	}
	_, err = r.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

// text is a string as the kernel takes it.
func text(attribute int, s string) *nl.RtAttr { return nl.NewRtAttr(attribute, nl.ZeroTerminated(s)) }

func number(attribute int, n int) *nl.RtAttr {
	return nl.NewRtAttr(attribute, nl.Uint32Attr(uint32(n)))
}

// handle names a link to the library.
func handle(link network.Link) netlink.Link {
	return &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: link.Index, Name: link.Name}}
}

// ip makes an error read as the command that would have done the same.
func ip(err error, words ...any) error {
	return fmt.Errorf("ip %s: %w", strings.TrimSuffix(fmt.Sprintln(words...), "\n"), err)
}
