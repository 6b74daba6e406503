package dhcp4

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/server4"

	"github.com/liveboot/liveboot/pkg/network"
)

// A datagram is one message with both addresses.
type datagram struct {
	data     []byte
	from, to *net.UDPAddr
}

// A segment is a wire between a server, which is the library's, and clients.
type segment struct {
	mu      sync.Mutex
	server  *end
	clients []*end
	// sent are the clients' messages, and when they were sent.
	sent []message
}

type message struct {
	*dhcpv4.DHCPv4
	at time.Duration
	to *net.UDPAddr
}

// An end of a segment is a net.PacketConn.
type end struct {
	segment *segment
	address *net.UDPAddr
	in      chan datagram
	closed  chan struct{}
	once    sync.Once
	net.PacketConn
}

func (s *segment) newEnd(ip string, port int) *end {
	return &end{segment: s, address: &net.UDPAddr{IP: net.ParseIP(ip), Port: port}, in: make(chan datagram, 100), closed: make(chan struct{})}
}

func (e *end) LocalAddr() net.Addr { return e.address }

func (e *end) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case d := <-e.in:
		return copy(b, d.data), d.from, nil
	case <-e.closed:
		return 0, nil, net.ErrClosed
	}
}

func (e *end) WriteTo(b []byte, to net.Addr) (int, error) {
	s, d := e.segment, datagram{slices.Clone(b), e.address, to.(*net.UDPAddr)}
	s.mu.Lock()
	defer s.mu.Unlock()
	if e == s.server {
		for _, c := range s.clients {
			c.in <- d
		}
		return len(b), nil
	}
	m, err := dhcpv4.FromBytes(b)
	if err != nil {
		return 0, err
	}
	s.sent = append(s.sent, message{m, time.Since(start), d.to})
	s.server.in <- d
	return len(b), nil
}

func (e *end) Close() error {
	s := e.segment
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients = slices.DeleteFunc(s.clients, func(c *end) bool { return c == e })
	e.once.Do(func() { close(e.closed) })
	return nil
}

// start is when a test in a bubble of testing/synctest begins.
var start = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// A reply says what a server answers: nothing, or several messages.
type reply func(m *dhcpv4.DHCPv4) []*dhcpv4.DHCPv4

// serve starts the library's server on a segment of its own, and returns a client beside it.
func serve(t *testing.T, answer reply) (*segment, Client) {
	t.Helper()
	s := &segment{}
	s.server = s.newEnd("10.0.2.2", dhcpv4.ServerPort)
	var one sync.Mutex // the library handles messages side by side
	server, err := server4.NewServer("", nil, func(conn net.PacketConn, peer net.Addr, m *dhcpv4.DHCPv4) {
		one.Lock()
		defer one.Unlock()
		for _, m := range answer(m) {
			if _, err := conn.WriteTo(m.ToBytes(), peer); err != nil {
				t.Error(err)
			}
		}
	}, server4.WithConn(s.server))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	}()
	open := func(ip string) net.PacketConn {
		c := s.newEnd(ip, dhcpv4.ClientPort)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.clients = append(s.clients, c)
		return c
	}
	return s, Client{
		openRaw: func(network.Link) (net.PacketConn, error) { return open("0.0.0.0"), nil },
		openUDP: func(_ network.Link, from netip.Addr) (net.PacketConn, error) { return open(from.String()), nil },
	}
}

// stop ends the server; a bubble waits for all that runs in it.
func (s *segment) stop() { s.server.Close() }

func (s *segment) messages() []message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.sent)
}

// types are the types of what was sent.
func (s *segment) types() []dhcpv4.MessageType {
	var types []dhcpv4.MessageType
	for _, m := range s.messages() {
		types = append(types, m.MessageType())
	}
	return types
}

// to makes a reply of 10.0.2.2.
func to(m *dhcpv4.DHCPv4, kind dhcpv4.MessageType, modifiers ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	answer, err := dhcpv4.NewReplyFromRequest(m, append([]dhcpv4.Modifier{
		dhcpv4.WithMessageType(kind), dhcpv4.WithYourIP(net.ParseIP("10.0.2.15")), dhcpv4.WithServerIP(net.ParseIP("10.0.2.4")),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.ParseIP("10.0.2.2"))), dhcpv4.WithNetmask(net.CIDRMask(24, 32)), dhcpv4.WithLeaseTime(20),
	}, modifiers...)...)
	if err != nil {
		panic(err)
	}
	return answer
}

// friendly is a server that gives everybody 10.0.2.15 for 20 seconds.
func friendly(m *dhcpv4.DHCPv4) []*dhcpv4.DHCPv4 {
	switch m.MessageType() {
	case dhcpv4.MessageTypeDiscover:
		return []*dhcpv4.DHCPv4{to(m, dhcpv4.MessageTypeOffer)}
	case dhcpv4.MessageTypeRequest:
		return []*dhcpv4.DHCPv4{to(m, dhcpv4.MessageTypeAck)}
	}
	return nil
}

func silent(*dhcpv4.DHCPv4) []*dhcpv4.DHCPv4 { return nil }
