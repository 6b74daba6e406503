package dhcp4

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/sys/unix"
)

// Messages that are not answered are repeated after 1, 2, 4, 8 and then every 16 seconds. RFC 2131, section 4.1, starts at 4 seconds, which
// costs too much where the first packet is lost while a switch port wakes up, and goes on to 64, which is long after
// spanning tree let the port go.
const (
	firstWait = time.Second
	longWait  = 16 * time.Second
)

// wait returns how long to wait for an answer to the message of that number, from 1: up to a quarter, but not more than a second, more
// or less than the others do, so that machines that were switched on together do not stay together.
func wait(number int) time.Duration {
	d := longWait
	if number < 5 {
		d = firstWait << (number - 1)
	}
	jitter := min(d/4, time.Second)
	return d - jitter + rand.N(2*jitter)
}

// renewalWaits returns how long to wait for each answer from now on until the time is over: half of what is left, and at least a minute
// (RFC 2131, section 4.4.5), or an eighth of it all where that is less: leases of seconds are to survive a lost packet, too.
func renewalWaits(until time.Time) func(int) time.Duration {
	least := min(max(time.Until(until)/8, time.Second), time.Minute)
	return func(int) time.Duration { return max(time.Until(until)/2, least) }
}

// errSilence says that nobody answered any of the tries.
var errSilence = errors.New("no answer")

// A message that the kernel does not send is sent again soon: nobody has seen it, and a link that has just got its carrier may need
// a moment. After maxErrors of that the link is believed to be gone.
const (
	errorWait = 100 * time.Millisecond
	maxErrors = 50
)

// A conversation is what goes to and fro on a connection that is ours alone.
type conversation struct {
	conn    net.PacketConn
	answers chan *dhcpv4.DHCPv4
	broken  chan error
	closed  chan struct{}
}

// converse starts to listen to answers to the card with the hardware address.
func converse(conn net.PacketConn, mac net.HardwareAddr) *conversation {
	c := &conversation{conn, make(chan *dhcpv4.DHCPv4), make(chan error, 1), make(chan struct{})}
	go c.listen(mac)
	return c
}

// close ends the conversation, and its connection.
func (c *conversation) close() {
	close(c.closed)
	c.conn.Close()
}

// maxMessage is as much as fits into a packet of a link with jumbo frames; fragments are not put together.
const maxMessage = 9000

func (c *conversation) listen(mac net.HardwareAddr) {
	buffer := make([]byte, maxMessage)
	for {
		n, _, err := c.conn.ReadFrom(buffer)
		if errors.Is(err, unix.ENETDOWN) {
			continue // told once; the link may be set up again
		}
		if err != nil {
			c.broken <- err
			return
		}
		answer, err := parse(buffer[:n])
		if err != nil || answer.OpCode != dhcpv4.OpcodeBootReply || answer.ClientHWAddr.String() != mac.String() {
			continue
		}
		select {
		case c.answers <- answer:
		case <-c.closed:
			return
		}
	}
}

// A question is a message that wants an answer.
type question struct {
	message *dhcpv4.DHCPv4
	to      net.Addr
	// tries is how often it is sent; 0 is for ever.
	tries int
	// prepare is called before each try, with its number from 1; wait says how long that is given.
	prepare func(int)
	wait    func(int) time.Duration
}

// ask sends the message until take takes an answer, or returns an error.
func (c *conversation) ask(ctx context.Context, q question, take func(*dhcpv4.DHCPv4) (bool, error)) (*dhcpv4.DHCPv4, error) {
	for number := 1; q.tries == 0 || number <= q.tries; number++ {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		q.prepare(number)
		if err := c.send(ctx, q); err != nil {
			return nil, err
		}
		answer, err := c.answer(ctx, q, q.wait(number), take)
		if answer != nil || err != nil {
			return answer, err
		}
	}
	return nil, errSilence
}

func (c *conversation) send(ctx context.Context, q question) error {
	for failed := 1; ; failed++ {
		_, err := c.conn.WriteTo(q.message.ToBytes(), q.to)
		switch {
		case err == nil:
			return nil
		case failed == maxErrors:
			return fmt.Errorf("send: %w", err)
		}
		sleep(ctx, errorWait)
		if ctx.Err() != nil {
			return fmt.Errorf("%w (%w)", err, context.Cause(ctx))
		}
	}
}

// answer waits for an answer that is taken. It returns neither that nor an error when the time is over.
func (c *conversation) answer(
	ctx context.Context, q question, patience time.Duration, take func(*dhcpv4.DHCPv4) (bool, error),
) (*dhcpv4.DHCPv4, error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case answer := <-c.answers:
			if answer.TransactionID != q.message.TransactionID {
				continue
			}
			if taken, err := take(answer); err != nil {
				return nil, err
			} else if taken {
				return answer, nil
			}
		case err := <-c.broken:
			return nil, fmt.Errorf("receive: %w", err)
		case <-timer.C:
			return nil, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}
