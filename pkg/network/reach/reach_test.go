package reach

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/liveboot/liveboot/pkg/network"
)

var (
	loopback = network.Link{Index: 1, Name: "lo"}
	lease    = network.Lease{Address: netip.MustParsePrefix("127.0.0.1/8")}
)

// listen returns the port of a TCP server, and one that is closed: that of the other end of a connection, which nobody else gets.
func listen(t *testing.T) (open, closed int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return l.Addr().(*net.TCPAddr).Port, conn.LocalAddr().(*net.TCPAddr).Port
}

func TestAny(t *testing.T) {
	open, closed := listen(t)
	udp := answerer(t)
	mute, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	silent := mute.LocalAddr().(*net.UDPAddr).Port
	for _, tt := range []struct {
		name      string
		endpoints []Endpoint
		link      network.Link
		want      string // in the error; empty for none
		refused   bool
	}{
		{"a server", []Endpoint{{Host: "127.0.0.1", Port: open}}, loopback, "", false},
		{"refused", []Endpoint{{Host: "127.0.0.1", Port: closed}}, loopback, "nothing listens there", true},
		{"one of two", []Endpoint{{Host: "127.0.0.1", Port: closed}, {Host: "127.0.0.1", Port: open}}, loopback, "", false},
		{"over a link that there is not", []Endpoint{{Host: "127.0.0.1", Port: open}}, network.Link{Name: "nothing0"}, "no such device", false},
		{"a name without resolvers", []Endpoint{{Host: "server", Port: open}}, loopback, "add nameserver=<address>", false},
		{"UDP", []Endpoint{{Host: "127.0.0.1", Port: udp, Request: []byte("hello"), Farewell: []byte("bye")}}, loopback, "", false},
		{"UDP, silence", []Endpoint{{Host: "127.0.0.1", Port: silent, Request: []byte("hello")}}, loopback, "does not answer", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := Any(tt.endpoints)(t.Context(), tt.link, lease)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) || errors.Is(err, network.ErrRefused) != tt.refused {
				t.Errorf("Any = %v, want an error with %q, refused %v", err, tt.want, tt.refused)
			}
		})
	}
}

// answerer is a UDP server that answers the second datagram only, as if the first was lost, and from another port, as TFTP does.
func answerer(t *testing.T) int {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buffer := make([]byte, 100)
		for n := 1; ; n++ {
			_, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			if n == 2 {
				other, err := net.ListenPacket("udp", "127.0.0.1:0")
				if err != nil {
					return
				}
				other.WriteTo([]byte("here"), from)
				other.Close()
			}
		}
	}()
	return conn.LocalAddr().(*net.UDPAddr).Port
}

func TestAnyInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Any([]Endpoint{{Host: "127.0.0.1", Port: 1}})(ctx, loopback, lease); err == nil {
		t.Error("Any = nil although it was interrupted")
	}
}
