package dhcp6

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"

	"github.com/liveboot/liveboot/pkg/network"
)

// A serve is given each message with the time since the beginning, and says what comes back.
type serve func(at time.Duration, m *dhcpv6.Message) []*dhcpv6.Message

// A wire is a socket whose other end is a function.
type wire struct {
	serve    serve
	incoming chan []byte
	closed   chan struct{}
	// sent are the messages, writeErr is what the next one is not sent for.
	sent     []outgoing
	writeErr error
}

type outgoing struct {
	at time.Duration
	m  *dhcpv6.Message
}

// epoch is when synctest's clock begins.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func newWire(f serve) *wire {
	return &wire{serve: f, incoming: make(chan []byte, 100)}
}

func (w *wire) WriteTo(b []byte, to net.Addr) (int, error) {
	if err := w.writeErr; err != nil {
		w.writeErr = nil
		return 0, err
	}
	if got, want := to.String(), "[ff02::1:2%2]:547"; got != want {
		return 0, fmt.Errorf("a message to %s, want %s", got, want)
	}
	m, err := dhcpv6.MessageFromBytes(b)
	if err != nil {
		return 0, err
	}
	at := time.Since(epoch)
	w.sent = append(w.sent, outgoing{at, m})
	for _, r := range w.serve(at, m) {
		w.incoming <- r.ToBytes()
	}
	return len(b), nil
}

func (w *wire) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case packet := <-w.incoming:
		return copy(b, packet), &net.UDPAddr{IP: from.AsSlice(), Zone: "2"}, nil
	case <-w.closed:
		return 0, nil, net.ErrClosed
	}
}

func (w *wire) Close() error                     { close(w.closed); return nil }
func (*wire) LocalAddr() net.Addr                { return nil }
func (*wire) SetDeadline(time.Time) error        { return errors.ErrUnsupported }
func (w *wire) SetReadDeadline(time.Time) error  { return errors.ErrUnsupported }
func (w *wire) SetWriteDeadline(time.Time) error { return errors.ErrUnsupported }

// names are the types of the messages that were sent.
func (w *wire) names() string {
	var names []string
	for _, s := range w.sent {
		names = append(names, s.m.MessageType.String())
	}
	return strings.Join(names, " ")
}

// at is a link whose link-local address is there, or is not.
type at struct{ err error }

func (a at) Acquire(context.Context, network.Link, func(int)) (network.Lease, error) {
	return network.Lease{Address: netip.MustParsePrefix("fe80::5/64")}, a.err
}

func (at) Renew(context.Context, network.Link, network.Lease, bool) (network.Lease, error) {
	return network.Lease{}, nil
}
func (at) Decline(context.Context, network.Link, network.Lease) error { return nil }

// client is a Client on the wire.
func (w *wire) client() Client {
	return Client{LinkLocal: at{}, listen: func(_ context.Context, _ network.Link, local netip.Addr) (net.PacketConn, error) {
		if local != netip.MustParseAddr("fe80::5") {
			return nil, fmt.Errorf("listen at %v, want fe80::5", local)
		}
		w.closed = make(chan struct{})
		return w, nil
	}}
}

// from1 and from2 are the identifiers of two servers.
var (
	from1 = &dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: net.HardwareAddr{2, 0, 0, 0, 0, 1}}
	from2 = &dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: net.HardwareAddr{2, 0, 0, 0, 0, 2}}
)

// answerTo makes a server's answer.
func answerTo(m *dhcpv6.Message, kind dhcpv6.MessageType, server dhcpv6.DUID, options ...dhcpv6.Option) *dhcpv6.Message {
	r := &dhcpv6.Message{MessageType: kind, TransactionID: m.TransactionID}
	r.AddOption(dhcpv6.OptClientID(m.Options.ClientID()))
	r.AddOption(dhcpv6.OptServerID(server))
	for _, o := range options {
		r.AddOption(o)
	}
	return r
}

// serving answers every SOLICIT with an offer, and everything else with the addresses.
func serving(addresses ...netip.Addr) serve {
	return func(_ time.Duration, m *dhcpv6.Message) []*dhcpv6.Message {
		kind := dhcpv6.MessageTypeReply
		if m.MessageType == dhcpv6.MessageTypeSolicit {
			kind = dhcpv6.MessageTypeAdvertise
		}
		return []*dhcpv6.Message{answerTo(m, kind, from1, given(addresses...))}
	}
}

// refusing answers with a status for the association.
func refusing(code iana.StatusCode) serve {
	return func(_ time.Duration, m *dhcpv6.Message) []*dhcpv6.Message {
		ia := given()
		ia.Options.Add(status(code, ""))
		kind := dhcpv6.MessageTypeReply
		if m.MessageType == dhcpv6.MessageTypeSolicit {
			kind = dhcpv6.MessageTypeAdvertise
		}
		return []*dhcpv6.Message{answerTo(m, kind, from1, ia)}
	}
}

// only answers what is meant for that server.
func only(server dhcpv6.DUID, f serve) serve {
	return func(at time.Duration, m *dhcpv6.Message) []*dhcpv6.Message {
		if !server.Equal(m.Options.ServerID()) {
			return nil
		}
		return f(at, m)
	}
}

func preference(n byte) dhcpv6.Option {
	return &dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionPreference, OptionData: []byte{n}}
}
