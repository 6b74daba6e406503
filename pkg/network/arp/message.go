package arp

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"slices"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// A message of RFC 826, for IPv4 on Ethernet.
type message struct {
	operation uint16
	// sender is who says that it has the address from; 0.0.0.0 says nothing.
	sender net.HardwareAddr
	from   netip.Addr
	// target is not known in a request.
	target net.HardwareAddr
	to     netip.Addr
}

// Where the fields lie, behind the Ethernet header.
const (
	senderStart, fromStart, targetStart, toStart, size = 8, 14, 18, 24, 28

	request = 1
	reply   = 2
)

// header is hardware type Ethernet, protocol IPv4, and the lengths of their addresses.
func header() []byte { return []byte{0, 1, 0x08, 0x00, 6, 4} }

func broadcast() net.HardwareAddr { return net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff} }

// errOther is a message that is not for IPv4 on Ethernet.
var errOther = errors.New("no ARP message for IPv4 on Ethernet")

// parse reads a message, which may be padded.
func parse(b []byte) (message, error) {
	if len(b) < size || !slices.Equal(b[:6], header()) {
		return message{}, errOther
	}
	m := message{
		operation: binary.BigEndian.Uint16(b[6:]),
		sender:    slices.Clone(b[senderStart:fromStart]),
		from:      netip.AddrFrom4([4]byte(b[fromStart:])),
		target:    slices.Clone(b[targetStart:toStart]),
		to:        netip.AddrFrom4([4]byte(b[toStart:])),
	}
	if m.operation != request && m.operation != reply {
		return message{}, errOther
	}
	return m, nil
}

func (m message) marshal() []byte {
	b := binary.BigEndian.AppendUint16(header(), m.operation)
	return slices.Concat(b, m.sender, m.from.AsSlice(), m.target, m.to.AsSlice())
}

// probe asks whether anybody has the address, RFC 5227, section 1.1.
func probe(mac net.HardwareAddr, address netip.Addr) message {
	return message{request, mac, netip.IPv4Unspecified(), make(net.HardwareAddr, 6), address}
}

// announcement says that the address is ours now.
func announcement(mac net.HardwareAddr, address netip.Addr) message {
	return message{request, mac, address, make(net.HardwareAddr, 6), address}
}

// claims reports whether the sender uses the address.
func (m message) claims(address netip.Addr) bool { return m.from == address }

// wants reports whether the sender is about to use the address, if nobody else does.
func (m message) wants(address netip.Addr) bool {
	return m.operation == request && m.from.IsUnspecified() && m.to == address
}

// filter lets messages pass that claim the address, and those to everybody that ask for it. So it leaves out the questions of switches
// that look whether the machine which a DHCP server gave the address to is there: they ask that one only, and say no more of themselves
// than a probe does. It leaves out, too, what is not for us: with that the kernel counts messages of VLANs that it does not know.
func filter(address netip.Addr) []bpf.Instruction {
	value := binary.BigEndian.Uint32(address.AsSlice())
	return []bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtType},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.PACKET_OTHERHOST, SkipTrue: 7},
		bpf.LoadAbsolute{Off: fromStart, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: value, SkipTrue: 4},
		bpf.LoadExtension{Num: bpf.ExtType},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.PACKET_BROADCAST, SkipTrue: 3},
		bpf.LoadAbsolute{Off: toStart, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: value, SkipTrue: 1},
		bpf.RetConstant{Val: 1 << 16},
		bpf.RetConstant{Val: 0},
	}
}
