package ring

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Dial makes a connection.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// again is the time between two attempts to connect.
const again = time.Second

// A Child is the connection to a node behind this one.
type Child struct {
	Host          string
	Data, Control net.Conn

	messages *bufio.Reader
	total    atomic.Int64 // -1: not said yet
}

// Connect connects to a child, again and again, until ctx is done or all attempts are used up; 0 is any number. failed is told of
// each attempt that went wrong.
func Connect(ctx context.Context, dial Dial, host string, attempts int, failed func(error)) (*Child, error) {
	c := newChild(host, nil)
	for n := 1; ; n++ {
		err := c.connect(ctx, dial)
		if err == nil {
			c.messages.Reset(c.Control)
			return c, nil
		}
		if ctx.Err() != nil {
			c.Close()
			return nil, fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
		if n == attempts {
			c.Close()
			return nil, err
		}
		failed(err)
		select {
		case <-time.After(again):
		case <-ctx.Done():
		}
	}
}

func newChild(host string, control net.Conn) *Child {
	c := &Child{Host: host, Control: control, messages: bufio.NewReaderSize(control, maxLine)}
	c.total.Store(-1)
	return c
}

// connect makes those of the two connections that are not there yet: a child takes the first that come.
func (c *Child) connect(ctx context.Context, dial Dial) error {
	for _, side := range []struct {
		conn *net.Conn
		port int
	}{{&c.Data, DataPort}, {&c.Control, ControlPort}} {
		if *side.conn != nil {
			continue
		}
		conn, err := dial(ctx, "tcp4", net.JoinHostPort(c.Host, strconv.Itoa(side.port)))
		if err != nil {
			return err
		}
		KeepAlive(conn)
		if side.port == ControlPort {
			bound(conn)
		}
		*side.conn = conn
	}
	return nil
}

// KeepAlive makes the kernel ask whether the other side is still there. In a ring that a slow node holds up it is the only way to know.
func KeepAlive(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		// An error would come back with the next use of the connection.
		_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 10 * time.Second, Count: 5})
	}
}

// unansweredTime is how long what was sent on a control connection may be without an acknowledgement.
const unansweredTime = time.Minute

// bound ends a connection when what was sent was not acknowledged for unansweredTime: as long as something is on its way the kernel does not send the packets
// of KeepAlive, and tries for a quarter of an hour (TCP_USER_TIMEOUT, tcp(7)). It is not for data: it would also end the connection to a node that is
// slow, and has no room for more.
func bound(conn net.Conn) {
	sys, ok := conn.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := sys.SyscallConn()
	if err != nil {
		return // the next use of the connection tells why
	}
	_ = raw.Control(func(fd uintptr) { // as above
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(unansweredTime.Milliseconds()))
	})
}

// Introduce tells the child who is in the ring.
func (c *Child) Introduce(ctx context.Context, in Introduction, password string) error {
	if err := c.Control.SetDeadline(time.Now().Add(stepTime)); err != nil {
		return err
	}
	if in.Dialect == Dialect07 {
		flag := []byte{0}
		if password != "" {
			flag[0] = 1
		}
		if _, err := c.Control.Write(flag); err != nil {
			return err
		}
		if password != "" {
			if err := challenge(c.Control, password, c.Host); err != nil {
				return err
			}
			select {
			case <-time.After(settle):
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		if _, err := c.Control.Write(make([]byte, 4)); err != nil {
			return err
		}
	}
	// The programs read it with one call, so it must come in one piece.
	if _, err := c.Control.Write(in.Text); err != nil {
		return err
	}
	return c.Control.SetDeadline(time.Time{})
}

// PutTotal tells the child how many bytes the file has.
func (c *Child) PutTotal(n int64) error {
	c.total.Store(n)
	return PutTotal(c.Control, n)
}

// EndData ends what is sent to the child, when it has been told how much that was. The programs read whole blocks as long as they do not know
// the size, so that one would wait for ever for the rest of the last block.
func (c *Child) EndData() {
	if conn, ok := c.Data.(interface{ CloseWrite() error }); ok {
		_ = conn.CloseWrite() // if the child is gone, whoever listens to it notices
	}
}

// maxLine is the longest line of a node in bytes.
const maxLine = 1024

// A Message is what a child sends up: a line of some node behind this one, or, at the end, the size of the file.
type Message struct {
	// Line ends with a line feed; empty for the size.
	Line string
	// Total in bytes.
	Total int64
}

// Next waits for a message. The size is known by its eight bytes, which are those that the child was sent, or, if they are not, by not being
// text.
func (c *Child) Next() (Message, error) {
	first, err := c.messages.Peek(1)
	if err != nil {
		return Message{}, err
	}
	if total := c.total.Load(); total >= 0 {
		b, err := c.messages.Peek(8)
		if err != nil {
			return Message{}, unexpected(err)
		}
		n := binary.LittleEndian.Uint64(b)
		if n == uint64(total) || first[0] != 'C' && first[0] != 'H' {
			_, err := c.messages.Discard(8)
			return Message{Total: int64(min(n, MaxTotal))}, err
		}
	}
	line, err := c.messages.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return Message{}, fmt.Errorf("a line of more than %d bytes", maxLine)
	case err != nil:
		return Message{}, unexpected(err)
	}
	return Message{Line: string(line)}, nil
}

// A Kind is what a line tells.
type Kind int

// The kinds.
const (
	Other Kind = iota
	IsConfigured
	IsReady
	IsSkipped
	IsLost
)

// Understand returns what a line tells of which host.
func Understand(line string) (kind Kind, host string) {
	for _, known := range []struct {
		kind Kind
		line func(Dialect, string) string
	}{{IsConfigured, Dialect.Configured}, {IsReady, Dialect.Ready}, {IsSkipped, Dialect.Skipped}, {IsLost, Dialect.Lost}} {
		for _, d := range []Dialect{Dialect06, Dialect07} {
			before, after, _ := strings.Cut(known.line(d, "\x00"), "\x00")
			if host, ok := strings.CutPrefix(line, before); ok {
				if host, ok = strings.CutSuffix(host, after); ok && isHost(host) {
					return known.kind, host
				}
			}
		}
	}
	return Other, ""
}

// Close gives both connections up.
func (c *Child) Close() {
	for _, conn := range []net.Conn{c.Data, c.Control} {
		if conn != nil {
			_ = conn.Close() // nothing is lost: what counted was confirmed
		}
	}
}
