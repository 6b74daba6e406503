package dolly

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/dolly/ring"
)

const (
	// maxPending is how many connections to a port are kept of which nobody knows yet what they are; maxFromOne, how many of one address.
	maxPending = 32
	maxFromOne = 8
	// dataTime is how long the data connection of a parent is waited for, which it made before the other one.
	dataTime = 10 * time.Second
	// identifyTime bounds the looking up of all names in a list of hosts.
	identifyTime = 20 * time.Second
	// maxRefusals is how many reasons to refuse are told, each once for an address.
	maxRefusals = 100
)

// A WaitError says that no ring came in the time that was given, or nothing from the one that came.
type WaitError struct {
	For time.Duration
	// Parent is the one whose ring was joined, and sent nothing; empty if none was.
	Parent string
	// Last is the last ring that was refused; nil if there was none.
	Last *Refused
}

// Error says for how long.
func (e *WaitError) Error() string {
	if e.Parent != "" {
		return fmt.Sprintf("in the ring for %v, and %s has sent nothing", e.For, e.Parent)
	}
	text := fmt.Sprintf("no dolly server has connected to ports %d and %d within %v", dataPort, controlPort, e.For)
	if e.Last != nil {
		text += "; " + e.Last.String()
	}
	return text
}

// Permanent is true: the time was given by a person.
func (*WaitError) Permanent() bool { return true }

// A call is a parent that has introduced itself.
type call struct {
	ring.Introduction
	place         int
	data, control net.Conn
}

// A gate listens until somebody comes whose ring can be joined. Port scanners, connections that say nothing, and rings of others do not
// disturb that.
type gate struct {
	*File
	calls chan call
	fail  chan error

	mutex sync.Mutex
	// data are connections whose parent has not said anything yet, control those that have said nothing themselves; oldest first.
	data, control []net.Conn
	// came is closed, and replaced, when there is another data connection.
	came   chan struct{}
	told   map[string]bool
	last   *Refused
	closed bool
}

// answer waits for a parent.
func (f *File) answer(ctx context.Context) (call, error) {
	ctx, cancel := context.WithCancel(ctx)
	g := &gate{File: f, calls: make(chan call), fail: make(chan error, 2), came: make(chan struct{}), told: make(map[string]bool)}
	var running sync.WaitGroup
	defer running.Wait()
	defer g.close()
	defer cancel()
	for _, side := range []struct {
		port   int
		accept func(context.Context, net.Conn)
	}{{dataPort, g.takeData}, {controlPort, func(ctx context.Context, conn net.Conn) { running.Go(func() { g.introduce(ctx, conn) }) }}} {
		listener, err := f.options.Listen(ctx, side.port)
		if err != nil {
			return call{}, fmt.Errorf("wait for a dolly server: %w", err)
		}
		defer listener.Close() // nobody is listened to any more
		running.Go(func() { g.accept(ctx, listener, side.accept) })
	}
	return g.wait(ctx)
}

func (g *gate) wait(ctx context.Context) (call, error) {
	began := time.Now()
	remind := time.NewTicker(g.options.Remind)
	defer remind.Stop()
	var over <-chan time.Time
	if g.options.Wait > 0 {
		over = time.After(g.options.Wait)
	}
	g.report.tell(Waiting{})
	for {
		select {
		case c := <-g.calls:
			return c, nil
		case err := <-g.fail:
			return call{}, err
		case <-remind.C:
			g.report.tell(Waiting{For: time.Since(began)})
		case <-over:
			g.mutex.Lock()
			defer g.mutex.Unlock()
			return call{}, &WaitError{For: g.options.Wait, Last: g.last}
		case <-ctx.Done():
			return call{}, context.Cause(ctx)
		}
	}
}

func (g *gate) accept(ctx context.Context, listener net.Listener, take func(context.Context, net.Conn)) {
	for {
		conn, err := listener.Accept()
		switch {
		case err == nil && g.welcome(conn):
			ring.KeepAlive(conn)
			take(ctx, conn)
		case err == nil:
			_ = conn.Close() // it is not to know why
		case errors.Is(err, net.ErrClosed):
			return
		default:
			g.fail <- fmt.Errorf("wait for a dolly server: %w", err)
			return
		}
	}
}

// welcome reports whether somebody may be a parent.
func (g *gate) welcome(conn net.Conn) bool {
	if len(g.options.From) == 0 || slices.ContainsFunc(g.options.From, func(p netip.Prefix) bool { return p.Contains(remote(conn)) }) {
		return true
	}
	g.refuse(conn, errors.New("its address is not among those from which a ring is joined (--from)"))
	return false
}

// remote returns the address of the other side.
func remote(conn net.Conn) netip.Addr { return address(conn.RemoteAddr()) }

func address(a net.Addr) netip.Addr {
	p, _ := netip.ParseAddrPort(a.String()) // the zero address is nobody's
	return p.Addr().Unmap().WithZone("")
}

// takeData keeps a data connection until its parent introduces itself.
func (g *gate) takeData(_ context.Context, conn net.Conn) {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	if g.data = keep(g.data, conn); g.closed {
		closeAll(g.data)
		return
	}
	close(g.came)
	g.came = make(chan struct{})
}

// keep adds conn to those that are pending, and gives up the oldest where they are too many: of one address, or in all.
func keep(pending []net.Conn, conn net.Conn) []net.Conn {
	from := remote(conn)
	same := func(c net.Conn) bool { return remote(c) == from }
	count := 0
	for _, c := range pending {
		if same(c) {
			count++
		}
	}
	drop := -1
	switch {
	case count >= maxFromOne:
		drop = slices.IndexFunc(pending, same)
	case len(pending) >= maxPending:
		drop = 0
	}
	if drop >= 0 {
		_ = pending[drop].Close() // it has said nothing
		pending = slices.Delete(pending, drop, drop+1)
	}
	return append(pending, conn)
}

// introduce listens to one who may be a parent.
func (g *gate) introduce(ctx context.Context, conn net.Conn) {
	g.mutex.Lock()
	if g.control = keep(g.control, conn); g.closed {
		closeAll(g.control)
	}
	g.mutex.Unlock()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	c, err := g.identify(ctx, conn)
	stop() // what was chosen shall outlive ctx
	if err == nil {
		select {
		case g.calls <- c:
			return
		case <-ctx.Done():
			_ = c.data.Close() // another one was first
		}
	} else if ctx.Err() == nil {
		g.refuse(conn, err)
	}
	_ = conn.Close() // it is of no use
}

// identify finds out who is in the ring, and the data connection.
func (g *gate) identify(ctx context.Context, conn net.Conn) (call, error) {
	in, err := ring.Receive(conn, g.options.Password)
	g.mutex.Lock() // it has spoken, and shall make no room for those who have not
	g.control = slices.DeleteFunc(g.control, func(c net.Conn) bool { return c == conn })
	g.mutex.Unlock()
	if err != nil {
		return call{}, err
	}
	id, err := g.options.Identity()
	if err != nil {
		return call{}, err
	}
	lookup, cancel := context.WithTimeout(ctx, identifyTime)
	defer cancel()
	in.HyphenNormal = in.HyphenNormal || g.options.HyphenNormal
	at, err := place(lookup, in.Config, address(conn.LocalAddr()), id, g.options.Resolve)
	if err != nil {
		return call{}, err
	}
	data, err := g.dataOf(ctx, remote(conn))
	return call{in, at, data, conn}, err
}

// dataOf returns the data connection of a parent: the last one from its address that is still open.
func (g *gate) dataOf(ctx context.Context, parent netip.Addr) (net.Conn, error) {
	limit := time.NewTimer(dataTime)
	defer limit.Stop()
	for {
		g.mutex.Lock()
		for i, conn := range slices.Backward(g.data) {
			if remote(conn) != parent {
				continue
			}
			g.data = slices.Delete(g.data, i, i+1)
			if open(conn) {
				g.mutex.Unlock()
				return conn, nil
			}
			_ = conn.Close() // the other side was first
		}
		came := g.came
		g.mutex.Unlock()
		select {
		case <-came:
		case <-limit.C:
			return nil, fmt.Errorf("it did not connect to port %d", dataPort)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// open reports whether the other side has not closed a connection.
func open(conn net.Conn) bool {
	sys, ok := conn.(syscall.Conn)
	if !ok {
		return true
	}
	raw, err := sys.SyscallConn()
	if err != nil {
		return false
	}
	var n int
	var peekErr error
	err = raw.Control(func(fd uintptr) {
		n, _, peekErr = syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	})
	return err == nil && (n > 0 || errors.Is(peekErr, syscall.EAGAIN))
}

// refuse tells why somebody's ring is not joined. Who only looks whether the port is open is not worth a word.
func (g *gate) refuse(conn net.Conn, err error) {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, net.ErrClosed) {
		return
	}
	e := Refused{From: remote(conn).String(), Err: err}
	g.mutex.Lock()
	known := g.told[e.String()] || len(g.told) >= maxRefusals
	if !known {
		g.told[e.String()] = true
	}
	g.last = &e
	g.mutex.Unlock()
	if !known {
		g.report.tell(e)
	}
}

// close gives up what is pending.
func (g *gate) close() {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	g.closed = true
	closeAll(g.data)
	closeAll(g.control)
}

func closeAll(conns []net.Conn) {
	for _, c := range conns {
		_ = c.Close() // nobody waits for anything of them
	}
}
