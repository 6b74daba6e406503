package router

import (
	"encoding/binary"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"
)

// Solicitations go out at once, and then after 1, 2, 4 and every 8 seconds, each up to a tenth more or less. RFC 7559 starts at 4
// seconds, and comes to rest at an hour: that costs too much where the first is lost while a switch port wakes up, or all are until
// spanning tree opens it.
const (
	firstWait = time.Second
	longWait  = 8 * time.Second
	// heardWait is for a router that was heard but has not said all that is needed. It may advertise only every 3 seconds (RFC 4861,
	// section 6.2.6).
	heardWait = 4 * time.Second
)

// backoff returns how long to wait for an answer to the solicitation of that number, from 1.
func backoff(sent int) time.Duration {
	wait := longWait
	if sent <= 3 {
		wait = firstWait << (sent - 1)
	}
	return jitter(wait)
}

// jitter keeps machines that were switched on together from speaking at once.
func jitter(d time.Duration) time.Duration {
	return d + time.Duration((rand.Float64()-0.5)/5*float64(d))
}

// allRouters is the multicast address of all routers of the link.
var allRouters = netip.MustParseAddr("ff02::2")

const (
	ipv6HeaderSize = 40
	protocolICMPv6 = 58
)

// solicitation returns a router solicitation as an IPv6 packet, RFC 4861, section 4.1. From the unspecified address it tells no
// hardware address, and the router's answer goes to everybody.
func solicitation(source netip.Addr, mac net.HardwareAddr) []byte {
	message := []byte{typeSolicitation, 0, 0, 0, 0, 0, 0, 0}
	if !source.IsUnspecified() && len(mac) == 6 {
		message = append(append(message, 1, 1), mac...) // Source Link-Layer Address, section 4.6.1
	}
	from, to := source.As16(), allRouters.As16()
	binary.BigEndian.PutUint16(message[2:], checksum(from, to, message))

	packet := make([]byte, ipv6HeaderSize, ipv6HeaderSize+len(message))
	packet[0] = 6 << 4
	binary.BigEndian.PutUint16(packet[4:], uint16(len(message)))
	packet[6] = protocolICMPv6
	packet[7] = 255 // hop limit: from this link
	copy(packet[8:], from[:])
	copy(packet[24:], to[:])
	return append(packet, message...)
}

// checksum is the Internet checksum (RFC 1071) of an ICMPv6 message, of an even length, behind its pseudo-header (RFC 8200, section 8.1).
func checksum(from, to [16]byte, message []byte) uint16 {
	sum := uint32(len(message)) + protocolICMPv6
	for _, part := range [][]byte{from[:], to[:], message} {
		for i := 0; i < len(part); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(part[i:]))
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
