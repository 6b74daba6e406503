// Package reach finds out whether a host answers over one link.
//
// A route lookup would not tell: two cards can be in networks of the same numbers, of which one holds the host. So a connection is made from a socket
// that is bound to the link (SO_BINDTODEVICE, socket(7)), and names are resolved by the lease's servers in the same way.
package reach

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/network"
)

// An Endpoint is a server that is to be reached.
type Endpoint struct {
	// Host is a name or an address.
	Host string
	Port int
	// Request is sent in a datagram if the server speaks UDP; any datagram that comes back is an answer. Empty means TCP.
	Request []byte
	// Farewell is sent after the answer; empty means nothing.
	Farewell []byte
}

// String returns the endpoint as host:port.
func (e Endpoint) String() string { return net.JoinHostPort(e.Host, strconv.Itoa(e.Port)) }

// timeout is for one try: long enough for the first two retransmissions of TCP.
const timeout = 4 * time.Second

// stagger is the time between the first packets to two addresses of one host.
const stagger = 250 * time.Millisecond

// Any returns a function for network.Environment.Reach: nil once one of the endpoints answers.
func Any(endpoints []Endpoint) func(context.Context, network.Link, network.Lease) error {
	return func(ctx context.Context, link network.Link, lease network.Lease) error {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		results := make(chan error, len(endpoints))
		for _, e := range endpoints {
			go func() { results <- one(ctx, e, link, lease) }()
		}
		var worst error
		for range endpoints {
			err := <-results
			if err == nil {
				return nil
			}
			if worst == nil || errors.Is(err, network.ErrRefused) {
				worst = err
			}
		}
		return worst
	}
}

// one asks one endpoint.
func one(ctx context.Context, e Endpoint, link network.Link, lease network.Lease) error {
	addresses, err := lookup(ctx, e.Host, link, lease)
	if err != nil {
		return fmt.Errorf("look up %s: %w", e.Host, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan error, len(addresses))
	for i, a := range addresses {
		go func() {
			// An address that is dead is not to keep the others waiting (RFC 8305).
			select {
			case <-time.After(time.Duration(i) * stagger):
			case <-ctx.Done():
			}
			results <- knock(ctx, e, a, link)
		}()
	}
	var errs []error
	for range addresses {
		err := <-results
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	for _, err := range errs {
		if errors.Is(err, unix.ECONNREFUSED) {
			return fmt.Errorf("%v: %w (%w)", e, network.ErrRefused, err)
		}
	}
	return fmt.Errorf("%v does not answer: %w", e, errors.Join(errs...))
}

// knock makes a connection to one address of the endpoint, and ends it.
func knock(ctx context.Context, e Endpoint, a netip.Addr, link network.Link) error {
	if a.IsLinkLocalUnicast() && a.Is6() && a.Zone() == "" {
		a = a.WithZone(link.Name)
	}
	address := netip.AddrPortFrom(a, uint16(e.Port))
	if len(e.Request) > 0 {
		return exchange(ctx, e, address, link)
	}
	conn, err := dialer(link).DialContext(ctx, "tcp", address.String())
	if err != nil {
		return brief(err)
	}
	return conn.Close()
}

// resend is the time after which a request is believed to be lost.
const resend = time.Second

// exchange sends the request until something comes back from that machine, from whatever port: TFTP answers from another one.
func exchange(ctx context.Context, e Endpoint, address netip.AddrPort, link network.Link) error {
	config := net.ListenConfig{Control: dialer(link).Control}
	packets, err := config.ListenPacket(ctx, "udp", "")
	if err != nil {
		return brief(err)
	}
	conn := packets.(*net.UDPConn)
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	answer := make([]byte, 2048)
	for ctx.Err() == nil {
		if _, err := conn.WriteToUDPAddrPort(e.Request, address); err != nil {
			return brief(err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(resend)); err != nil {
			return err
		}
		for {
			_, from, err := conn.ReadFromUDPAddrPort(answer)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				return brief(err)
			}
			if from.Addr().Unmap().WithZone("") == address.Addr().Unmap().WithZone("") {
				_, _ = conn.WriteToUDPAddrPort(e.Farewell, from) // the server forgets us without it too, only later
				return nil
			}
		}
	}
	return ctx.Err()
}

// dialer makes connections that use the link only.
func dialer(link network.Link) *net.Dialer {
	return &net.Dialer{
		Control: func(_, _ string, c syscall.RawConn) error {
			var bindErr error
			err := c.Control(func(fd uintptr) { bindErr = unix.BindToDevice(int(fd), link.Name) })
			return cmp.Or(err, bindErr)
		},
	}
}

// brief drops what the caller says already: the operation and the addresses.
func brief(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}
