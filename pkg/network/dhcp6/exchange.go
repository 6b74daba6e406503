package dhcp6

import (
	"context"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"

	"github.com/liveboot/liveboot/pkg/network"
	"github.com/liveboot/liveboot/pkg/network/router"
)

// A schedule says when a message is sent again, RFC 8415, section 15: after initial, and then after twice as long each time up to
// longest, each a tenth more or less; count times in all, or without end where that is 0.
type schedule struct {
	initial, longest time.Duration
	count            int
}

// The schedules begin faster than the standard's (section 7.6), whose clients wait up to a second before the first message too. They
// stay faster where a machine that boots would otherwise wait for minutes after the server came back.
const (
	firstWait = 500 * time.Millisecond
	longWait  = 8 * time.Second
)

// next returns how long to wait after the message that was sent after a wait of last; 0 stands for the first.
func (s schedule) next(last time.Duration) time.Duration {
	random := (mathrand.Float64() - 0.5) / 5
	of := func(d time.Duration) time.Duration { return time.Duration(random * float64(d)) }
	if last == 0 {
		return s.initial + of(s.initial)
	}
	if wait := 2*last + of(last); wait <= s.longest {
		return wait
	}
	return s.longest + of(s.longest)
}

// A listener opens the socket that messages are sent from and answers come to.
type listener func(ctx context.Context, link network.Link, local netip.Addr) (net.PacketConn, error)

const (
	clientPort = 546
	serverPort = 547
)

// allServers are all servers and relay agents of a link, RFC 8415, section 7.1.
var allServers = netip.MustParseAddr("ff02::1:2")

// listenUDP opens the client's port at the link-local address, which keeps it to that link. The zone is the link's number: what name
// has which number is something that the library remembers for a while, and links are renamed.
func listenUDP(ctx context.Context, link network.Link, local netip.Addr) (net.PacketConn, error) {
	address := netip.AddrPortFrom(local.WithZone(strconv.Itoa(link.Index)), clientPort)
	return new(net.ListenConfig).ListenPacket(ctx, "udp6", address.String())
}

// A linkLocalError says that the link has no address to send from.
type linkLocalError struct{ cause error }

func (e *linkLocalError) Error() string { return e.cause.Error() }
func (e *linkLocalError) Unwrap() error { return e.cause }

// A conversation is a socket with what was heard on it.
type conversation struct {
	link    network.Link
	packets net.PacketConn
	answers chan answer
	// failed is why there are no more answers, once the channel is closed.
	failed error
	done   chan struct{}
}

// An answer is a message with its sender.
type answer struct {
	*dhcpv6.Message
	from netip.Addr
}

// open waits for the link-local address and begins a conversation.
func (c Client) open(ctx context.Context, link network.Link) (*conversation, error) {
	linkLocal, listen := c.LinkLocal, c.listen
	if linkLocal == nil {
		linkLocal = router.Link{}
	}
	if listen == nil {
		listen = listenUDP
	}
	lease, err := linkLocal.Acquire(ctx, link, func(int) {})
	if err != nil {
		return nil, &linkLocalError{err}
	}
	packets, err := listen(ctx, link, lease.Address.Addr())
	if err != nil {
		return nil, fmt.Errorf("open the client's port: %w", err)
	}
	conn := &conversation{link: link, packets: packets, answers: make(chan answer), done: make(chan struct{})}
	go conn.read()
	return conn, nil
}

// close ends the conversation. The port is free then.
func (c *conversation) close() {
	close(c.done)
	c.packets.Close()
	for range c.answers { // closed when the reader has ended
	}
}

// maxMessage is the largest UDP packet, in bytes.
const maxMessage = 1 << 16

// read hands on every message that is one, until the socket is closed.
func (c *conversation) read() {
	defer close(c.answers)
	buffer := make([]byte, maxMessage)
	for {
		n, from, err := c.packets.ReadFrom(buffer)
		if err != nil {
			c.failed = err
			return
		}
		m, err := dhcpv6.MessageFromBytes(append([]byte(nil), buffer[:n]...))
		if err != nil {
			continue
		}
		var sender netip.Addr
		if udp, ok := from.(*net.UDPAddr); ok {
			sender, _ = netip.AddrFromSlice(udp.IP)
			if sender.IsLinkLocalUnicast() {
				sender = sender.WithZone(c.link.Name)
			}
		}
		select {
		case c.answers <- answer{m, sender}:
		case <-c.done:
			return
		}
	}
}

// further is what a judge returns to hear more.
const further = -1

// ask sends m as often as the schedule says, and gives each answer that fits m to judge: it returns how long to go on listening (not
// at all, for a while, or as long as it takes: further), or an error that ends it. sent, if not nil, is called with the number of
// each message sent.
func (c *conversation) ask(
	ctx context.Context, m *dhcpv6.Message, s schedule, sent func(int), judge func(answer) (time.Duration, error),
) error {
	begin, count, wait := time.Now(), 0, time.Duration(0)
	timer := time.NewTimer(0)
	defer timer.Stop()
	var enough <-chan time.Time
	for {
		select {
		case <-timer.C:
			if s.count > 0 && count == s.count {
				return &silence{m.MessageType, count}
			}
			if err := c.send(m, time.Since(begin)); err != nil {
				return fmt.Errorf("send %v: %w", m.MessageType, err)
			}
			if count++; sent != nil {
				sent(count)
			}
			wait = s.next(wait)
			timer.Reset(wait)
		case r, ok := <-c.answers:
			if !ok {
				return fmt.Errorf("receive: %w", c.failed)
			}
			if !answers(r, m) {
				continue
			}
			listen, err := judge(r)
			switch {
			case err != nil || listen == 0:
				return err
			case listen > 0 && enough == nil:
				enough = time.After(listen)
				timer.Stop()
			}
		case <-enough:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", &silence{m.MessageType, count}, ctx.Err())
		}
	}
}

// silence says that nobody answered.
type silence struct {
	message dhcpv6.MessageType
	count   int
}

func (e *silence) Error() string {
	if e.count == 1 {
		return fmt.Sprintf("no answer to 1 %v", e.message)
	}
	return fmt.Sprintf("no answer to %d %v", e.count, e.message)
}

// send sends m with the time that passed since its first try; the option holds no more than 655 seconds.
func (c *conversation) send(m *dhcpv6.Message, elapsed time.Duration) error {
	m.UpdateOption(dhcpv6.OptElapsedTime(min(elapsed, (1<<16-1)*10*time.Millisecond)))
	_, err := c.packets.WriteTo(m.ToBytes(), &net.UDPAddr{IP: allServers.AsSlice(), Port: serverPort, Zone: strconv.Itoa(c.link.Index)})
	return err
}

// answers reports whether r can be an answer to m at all: RFC 8415, sections 16.3 and 16.10.
func answers(r answer, m *dhcpv6.Message) bool {
	client := r.Options.ClientID()
	return r.TransactionID == m.TransactionID && r.Options.ServerID() != nil && client != nil && client.Equal(m.Options.ClientID())
}

// transactionID returns a number that nobody can guess. The source never fails.
func transactionID() (id dhcpv6.TransactionID) {
	rand.Read(id[:])
	return id
}

// request takes up an offer.
func (c *conversation) request(ctx context.Context, offer answer) (network.Lease, error) {
	var lease network.Lease
	err := c.ask(ctx, requestFrom(offer, c.link), schedule{firstWait, longWait, 5}, nil, func(r answer) (time.Duration, error) {
		if r.MessageType != dhcpv6.MessageTypeReply {
			return further, nil
		}
		var err error
		lease, err = leaseFrom(r, c.link, netip.Addr{})
		return 0, err
	})
	return lease, err
}
