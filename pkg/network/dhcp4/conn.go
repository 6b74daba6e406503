package dhcp4

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/network"
)

// rawConn opens a connection for messages from no address to everybody.
func rawConn(link network.Link) (net.PacketConn, error) {
	program, err := bpf.Assemble(filter())
	if err != nil {
		return nil, err
	}
	card := &net.Interface{Index: link.Index, Name: link.Name, HardwareAddr: link.MAC}
	conn, err := packet.Listen(card, packet.Datagram, unix.ETH_P_IP, &packet.Config{Filter: program})
	if err != nil {
		return nil, err
	}
	return overIP(conn), nil
}

// overIP adds the headers of IP and UDP, as RFC 2131, section 4.1, wants them.
func overIP(conn net.PacketConn) net.PacketConn {
	return nclient4.NewBroadcastUDPConn(conn, &net.UDPAddr{Port: dhcpv4.ClientPort})
}

// filter lets pass IPv4 packets, from their header on, that carry a whole UDP message to the port of DHCP clients. Packets for other
// machines are not let pass: with those the kernel counts the packets of VLANs that it does not know.
func filter() []bpf.Instruction {
	const udp = 17
	pass, drop := bpf.RetConstant{Val: 1 << 18}, bpf.RetConstant{Val: 0}
	return []bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtType},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.PACKET_OTHERHOST, SkipTrue: 8},
		bpf.LoadAbsolute{Off: 9, Size: 1}, // the protocol
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: udp, SkipTrue: 6},
		bpf.LoadAbsolute{Off: 6, Size: 2}, // flags and offset of a fragment
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x3fff, SkipTrue: 4},
		bpf.LoadMemShift{Off: 0}, // the length of the IP header
		bpf.LoadIndirect{Off: 2, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: dhcpv4.ClientPort, SkipTrue: 1},
		pass,
		drop,
	}
}

// udpConn opens a connection on the link for messages from an address that the link has. It is not bound to the address, so as to hear
// answers to everybody, too.
func udpConn(link network.Link, from netip.Addr) (net.PacketConn, error) {
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		control := c.Control(func(fd uintptr) {
			err = errors.Join(unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1), unix.BindToDevice(int(fd), link.Name))
		})
		return errors.Join(control, err)
	}}
	conn, err := config.ListenPacket(context.Background(), "udp4", fmt.Sprintf(":%d", dhcpv4.ClientPort))
	if err != nil {
		return nil, err
	}
	source := unix.PktInfo4(&unix.Inet4Pktinfo{Ifindex: int32(link.Index), Spec_dst: from.As4()})
	return sourceConn{conn.(*net.UDPConn), source}, nil
}

// sourceConn sends from one of the link's addresses.
type sourceConn struct {
	*net.UDPConn
	source []byte // the control message that says so, see ip(7)
}

// WriteTo sends a message.
func (c sourceConn) WriteTo(b []byte, to net.Addr) (int, error) {
	n, _, err := c.WriteMsgUDP(b, c.source, to.(*net.UDPAddr))
	return n, err
}
