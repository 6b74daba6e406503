package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
)

const (
	// pings is how often a host is asked, and pingTime how long it may take to answer each time.
	pings    = 3
	pingTime = time.Second
)

// Ping asks a host over ICMP (RFC 792) whether it is there. Where this program may not do that, it does not know of any host that it is absent.
func Ping(ctx context.Context, host string) error {
	addresses, err := net.DefaultResolver.LookupNetIP(ctx, "ip4", host)
	if err != nil {
		return err
	}
	conn, err := icmp.ListenPacket("udp4", "0.0.0.0")
	var to net.Addr = &net.UDPAddr{IP: addresses[0].AsSlice()}
	if err != nil {
		// Only some systems let everybody ask; the others let root.
		conn, err = icmp.ListenPacket("ip4:icmp", "0.0.0.0")
		to = &net.IPAddr{IP: addresses[0].AsSlice()}
	}
	if errors.Is(err, os.ErrPermission) {
		return nil
	}
	if err != nil {
		return err
	}
	defer conn.Close() // nothing more is asked
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	for seq := range pings {
		answered, err := ping(conn, to, seq)
		if err != nil {
			return err
		}
		if answered {
			return nil
		}
	}
	return fmt.Errorf("it does not answer (ICMP echo, %d times in %v)", pings, pings*pingTime)
}

// ping asks once, and reports whether there was an answer.
func ping(conn *icmp.PacketConn, to net.Addr, seq int) (bool, error) {
	request := icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: os.Getpid() & 0xffff, Seq: seq, Data: []byte("dolly")}}
	packet, err := request.Marshal(nil)
	if err != nil {
		return false, err
	}
	if _, err := conn.WriteTo(packet, to); err != nil {
		return false, err
	}
	if err := conn.SetReadDeadline(time.Now().Add(pingTime)); err != nil {
		return false, err
	}
	const protocolICMP = 1
	for buffer := make([]byte, 1500); ; {
		n, from, err := conn.ReadFrom(buffer)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		answer, err := icmp.ParseMessage(protocolICMP, buffer[:n])
		if err == nil && answer.Type == ipv4.ICMPTypeEchoReply && host(from) == host(to) {
			return true, nil
		}
	}
}

func host(a net.Addr) string {
	switch a := a.(type) {
	case *net.UDPAddr:
		return a.IP.String()
	case *net.IPAddr:
		return a.IP.String()
	}
	return a.String()
}
