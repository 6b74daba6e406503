// Package arp finds out whether an IPv4 address is in use by somebody else on the link, RFC 5227, as a network.Prober.
//
// The RFC probes three times, a second or two apart, before an address is used. A machine that boots has no time for that: Probe asks
// once, and answers come within milliseconds; Watch goes on to look for conflicts while the address is in use, which finds what was
// asleep.
package arp

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/network"
)

// Prober is a network.Prober for Ethernet links.
type Prober struct {
	// Tests have connections of their own.
	open func(network.Link, netip.Addr) (net.PacketConn, error)
	// patience of a test that knows that there is an answer; 0 is the usual one.
	patience time.Duration
}

var _ network.Prober = Prober{}

const (
	// patience is how long a probe waits for an answer, and look the last part of it, which begins when the first is seen to be over: on a
	// machine that has had no time for us, an answer that has come long ago is only read then.
	patience = 100 * time.Millisecond
	look     = 10 * time.Millisecond
	// defendInterval is DEFEND_INTERVAL of RFC 5227, section 1.1: who is contradicted twice within it gives in.
	defendInterval = 10 * time.Second
)

// Probe asks once who has the address, and waits a tenth of a second at most. It takes the question of somebody else who wants the
// address, too, for an answer (RFC 5227, section 2.1.1).
func (p Prober) Probe(ctx context.Context, link network.Link, address netip.Addr) error {
	l, err := p.listen(link, address)
	if err != nil {
		return fmt.Errorf("probe %v on %s: %w", address, link.Name, err)
	}
	defer l.close()
	if err = l.send(probe(link.MAC, address)); err == nil {
		for _, part := range []time.Duration{cmp.Or(p.patience, patience) - look, look} {
			if err = l.answer(ctx, address, part); err != nil {
				break
			}
		}
	}
	var duplicate *network.DuplicateError
	if err == nil || errors.As(err, &duplicate) || ctx.Err() != nil {
		return err
	}
	return fmt.Errorf("probe %v on %s: %w", address, link.Name, err)
}

// answer waits for an answer to a probe, for so long. The answer is an error.
func (l *listener) answer(ctx context.Context, address netip.Addr, patience time.Duration) error {
	over := time.After(patience)
	for {
		select {
		case m := <-l.messages:
			if m.claims(address) || m.wants(address) {
				return &network.DuplicateError{Address: address, Owner: m.sender}
			}
		case err := <-l.broken:
			return err
		case <-over:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Watch announces the address, and waits until somebody else uses it. It contradicts the first time, and gives in when that does not help
// (RFC 5227, section 2.4, case b): a machine that is slow to let go of an address it had is no reason to end a download.
func (p Prober) Watch(ctx context.Context, link network.Link, address netip.Addr) error {
	l, err := p.listen(link, address)
	if err != nil {
		return fmt.Errorf("watch %v on %s: %w", address, link.Name, err)
	}
	defer l.close()
	// The announcement spares others a wait for what they remember of the address to age. It may fail: the kernel answers questions all
	// the same.
	_ = l.send(announcement(link.MAC, address))
	var defended time.Time
	for {
		select {
		case m := <-l.messages:
			if !m.claims(address) {
				continue
			}
			if now := time.Now(); defended.IsZero() || now.Sub(defended) > defendInterval {
				defended = now
				_ = l.send(announcement(link.MAC, address))
				continue
			}
			return &network.DuplicateError{Address: address, Owner: m.sender}
		case err := <-l.broken:
			return fmt.Errorf("watch %v on %s: %w", address, link.Name, err)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// A listener hears the ARP messages of others about an address.
type listener struct {
	conn     net.PacketConn
	messages chan message
	broken   chan error
	closed   chan struct{}
}

func (p Prober) listen(link network.Link, address netip.Addr) (*listener, error) {
	if !address.Is4() || len(link.MAC) != 6 {
		return nil, errors.New("want an IPv4 address on an Ethernet link")
	}
	open := p.open
	if open == nil {
		open = listen
	}
	conn, err := open(link, address)
	if err != nil {
		return nil, err
	}
	l := &listener{conn, make(chan message), make(chan error, 1), make(chan struct{})}
	go l.read(link.MAC)
	return l, nil
}

// read passes on what others say: what we say may come back to us, from the other port of a bond say.
func (l *listener) read(own net.HardwareAddr) {
	b := make([]byte, 1500)
	for {
		n, _, err := l.conn.ReadFrom(b)
		if errors.Is(err, unix.ENETDOWN) {
			continue // told once; the link may be set up again
		}
		if err != nil {
			l.broken <- err
			return
		}
		m, err := parse(b[:n])
		if err != nil || bytes.Equal(m.sender, own) {
			continue
		}
		select {
		case l.messages <- m:
		case <-l.closed:
			return
		}
	}
}

func (l *listener) send(m message) error {
	_, err := l.conn.WriteTo(m.marshal(), &packet.Addr{HardwareAddr: broadcast()})
	return err
}

// close closes the socket in the background: the kernel waits until no packet is on its way to it, for tens of milliseconds.
func (l *listener) close() {
	close(l.closed)
	go l.conn.Close()
}

// listen opens a packet socket for ARP messages.
func listen(link network.Link, address netip.Addr) (net.PacketConn, error) {
	program, err := bpf.Assemble(filter(address))
	if err != nil {
		return nil, err
	}
	card := &net.Interface{Index: link.Index, Name: link.Name, HardwareAddr: link.MAC}
	return packet.Listen(card, packet.Datagram, unix.ETH_P_ARP, &packet.Config{Filter: program})
}
