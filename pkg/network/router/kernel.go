package router

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/network"
)

// A kernel is what the clients of this package see of the running one.
type kernel interface {
	// prepare sets IPv6 up on the link.
	prepare(link network.Link) error
	// addresses sends the link's IPv6 addresses and then their changes, until ctx ends. It closes the channel when ctx has ended or
	// it knows no more.
	addresses(ctx context.Context, link network.Link) (<-chan address, error)
	// advertisements sends the router advertisements that are heard on the link, likewise.
	advertisements(ctx context.Context, link network.Link) (<-chan advertisement, error)
	// solicit sends a router solicitation from source, which may be unspecified.
	solicit(link network.Link, source netip.Addr) error
}

// An address of a link.
type address struct {
	netip.Prefix
	// tentative says that it is not known yet whether it is a duplicate; failed, that it is one.
	tentative, failed bool
	// deprecated says that it is not to be used for what begins now; temporary, that it is one of RFC 8981, which changes.
	deprecated, temporary bool
	// gone says that the link has it no longer.
	gone bool
	// valid is for how long it may be used; 0 for ever.
	valid time.Duration
}

// usable reports whether connections can begin and end at the address.
func (a address) usable() bool { return !a.gone && !a.tentative && !a.failed && !a.deprecated }

// running is the kernel that runs, in the network namespace of the caller.
type running struct{}

func (running) prepare(link network.Link) error { return Prepare("/proc/sys", link.Name) }

func (running) addresses(ctx context.Context, link network.Link) (<-chan address, error) {
	updates, stop, err := subscribe()
	if err != nil {
		return nil, fmt.Errorf("watch addresses: %w", err)
	}
	addresses := make(chan address)
	go func() {
		defer close(addresses)
		for {
			forward(ctx, link, updates, addresses)
			stop()
			if ctx.Err() != nil {
				return
			}
			// The kernel had more to say than the socket could hold; begin again, with all that there is.
			if updates, stop, err = subscribe(); err != nil {
				return
			}
		}
	}()
	return addresses, nil
}

// subscribe asks for all addresses that there are and for changes. The library's sender blocks until what it has to say is taken, so
// stop does that.
func subscribe() (updates chan netlink.AddrUpdate, stop func(), err error) {
	updates = make(chan netlink.AddrUpdate)
	done := make(chan struct{})
	if err := netlink.AddrSubscribeWithOptions(updates, done, netlink.AddrSubscribeOptions{ListExisting: true}); err != nil {
		close(done)
		return nil, nil, err
	}
	return updates, func() {
		close(done)
		for range updates {
		}
	}, nil
}

// forward passes the link's IPv6 addresses on until ctx or the updates end.
func forward(ctx context.Context, link network.Link, updates <-chan netlink.AddrUpdate, addresses chan<- address) {
	for {
		select {
		case update, ok := <-updates:
			if !ok {
				return
			}
			a, ok := addressFrom(update)
			if !ok || update.LinkIndex != link.Index {
				continue
			}
			select {
			case addresses <- a:
			case <-ctx.Done():
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// forever is the lifetime that the kernel counts no further.
const forever = 1<<32 - 1

// addressFrom reads what the kernel says of an IPv6 address.
func addressFrom(update netlink.AddrUpdate) (address, bool) {
	ip, ok := netip.AddrFromSlice(update.LinkAddress.IP)
	if !ok || !ip.Is6() {
		return address{}, false
	}
	bits, _ := update.LinkAddress.Mask.Size()
	a := address{
		Prefix:     netip.PrefixFrom(ip, bits),
		tentative:  update.Flags&unix.IFA_F_TENTATIVE != 0,
		failed:     update.Flags&unix.IFA_F_DADFAILED != 0,
		deprecated: update.Flags&unix.IFA_F_DEPRECATED != 0,
		temporary:  update.Flags&unix.IFA_F_TEMPORARY != 0,
		gone:       !update.NewAddr,
	}
	if update.ValidLft != forever {
		a.valid = time.Duration(update.ValidLft) * time.Second
	}
	return a, true
}

// advertisements listens on a raw socket beside the kernel, which reads the same packets. Its own messages to user space
// (RTM_NEWNDUSEROPT) lack the flags of the advertisement, and tell of it only once.
func (running) advertisements(ctx context.Context, link network.Link) (<-chan advertisement, error) {
	setUp := func(fd int) error {
		filter := unix.ICMPv6Filter{}
		for i := range filter.Data {
			filter.Data[i] = ^uint32(0) // 1 is for types that are not wanted, RFC 3542, section 3.2
		}
		filter.Data[typeAdvertisement>>5] &^= 1 << (typeAdvertisement & 31)
		return errors.Join(
			unix.SetsockoptICMPv6Filter(fd, unix.SOL_ICMPV6, unix.ICMPV6_FILTER, &filter),
			unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_RECVHOPLIMIT, 1),
			unix.BindToDevice(fd, link.Name),
		)
	}
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		return errors.Join(raw.Control(func(fd uintptr) { err = setUp(int(fd)) }), err)
	}}
	packets, err := config.ListenPacket(ctx, "ip6:58", "::")
	if err != nil {
		return nil, fmt.Errorf("listen for router advertisements: %w", err)
	}
	conn, ok := packets.(*net.IPConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("listen for router advertisements: unexpected socket %T", packets), packets.Close())
	}
	heard := make(chan advertisement)
	context.AfterFunc(ctx, func() { conn.Close() })
	go func() {
		defer close(heard)
		defer conn.Close()
		read(ctx, conn, link, heard)
	}()
	return heard, nil
}

// maxMessage is more than a router sends: advertisements are not fragmented (RFC 6980), and no link has a larger MTU.
const maxMessage = 1 << 16

// read passes on what the socket hears, until that ends.
func read(ctx context.Context, conn *net.IPConn, link network.Link, heard chan<- advertisement) {
	message, control := make([]byte, maxMessage), make([]byte, 128)
	for {
		n, controlSize, _, from, err := conn.ReadMsgIP(message, control)
		if err != nil {
			return
		}
		source, ok := netip.AddrFromSlice(from.IP)
		if !ok {
			continue
		}
		ad, err := parse(message[:n], source.WithZone(link.Name), hopLimit(control[:controlSize]))
		if err != nil {
			continue
		}
		select {
		case heard <- ad:
		case <-ctx.Done():
			return
		}
	}
}

// hopLimit returns the hop limit that the kernel tells beside a packet, RFC 3542, section 6.3, or -1.
func hopLimit(control []byte) int {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return -1
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_IPV6 && m.Header.Type == unix.IPV6_HOPLIMIT && len(m.Data) >= 4 {
			return int(int32(binary.NativeEndian.Uint32(m.Data)))
		}
	}
	return -1
}

// solicit goes by a packet socket: the kernel's own IPv6 sends nothing as long as the link has no address that is known to be no duplicate.
func (running) solicit(link network.Link, source netip.Addr) error {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("packet socket: %w", err)
	}
	defer unix.Close(fd)
	to := unix.SockaddrLinklayer{
		Protocol: binary.NativeEndian.Uint16([]byte{unix.ETH_P_IPV6 >> 8, unix.ETH_P_IPV6 & 0xff}),
		Ifindex:  link.Index,
		Halen:    6,
		Addr:     [8]byte{0x33, 0x33, 0, 0, 0, 2}, // of allRouters, RFC 2464, section 7
	}
	if err := unix.Sendto(fd, solicitation(source, link.MAC), 0, &to); err != nil {
		return fmt.Errorf("send a router solicitation: %w", err)
	}
	return nil
}
