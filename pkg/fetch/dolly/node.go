package dolly

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/dolly/ring"
)

const (
	// upTime bounds the sending of a line to the parent, which has room for many in its buffers.
	upTime = 10 * time.Second
	// totalTime is how long the size may come later than the end of the data.
	totalTime = 10 * time.Second
)

// A LostError says that the node before this one is gone before everything had come.
type LostError struct {
	// Parent says who it was.
	Parent string
	// Received is how many bytes had come, of Total, which is -1 if it was not said yet.
	Received, Total int64
	Err             error
}

// Error gives name and place.
func (e *LostError) Error() string {
	if e.Total < 0 {
		return fmt.Sprintf("%s is gone after %d bytes: %v", e.Parent, e.Received, e.Err)
	}
	return fmt.Sprintf("%s is gone after %d of %d bytes: %v", e.Parent, e.Received, e.Total, e.Err)
}

// Unwrap returns the cause.
func (e *LostError) Unwrap() error { return e.Err }

// Permanent is false: there was a ring, and there may be another one.
func (*LostError) Permanent() bool { return false }

// A TotalError says that more came than there is.
type TotalError struct {
	Parent          string
	Received, Total int64
}

// Error gives both figures.
func (e *TotalError) Error() string {
	return fmt.Sprintf("%s sent %d bytes, and says that there are %d", e.Parent, e.Received, e.Total)
}

// Permanent is false: there may be another ring.
func (*TotalError) Permanent() bool { return false }

// A node is this machine in a ring. It is read by one goroutine.
type node struct {
	*File
	call
	ctx    context.Context
	cancel context.CancelCauseFunc
	parent string

	branches []*branch
	running  sync.WaitGroup

	// What the parent says in the end: told is closed when total or failure is there.
	told    chan struct{}
	total   atomic.Int64 // -1 before
	failure error

	received atomic.Int64
	// sending is the branch whose child is being written to; nil if there is none.
	sending atomic.Pointer[branch]
	// reading tells that the parent is waited for.
	reading atomic.Bool
	buffer  []byte // for readers that take little at a time
	rest    []byte // of buffer, not read yet
	err     error

	upMutex sync.Mutex
	counted map[string]bool // lines by which the server counts, each of which is sent up once
	mute    bool            // nothing more can be sent up
}

func newNode(ctx context.Context, cancel context.CancelCauseFunc, f *File, c call) *node {
	n := &node{File: f, call: c, ctx: ctx, cancel: cancel, told: make(chan struct{}), counted: make(map[string]bool)}
	n.total.Store(-1)
	n.parent = parentName(c, remote(c.control).String())
	return n
}

// parentName says who the node before this one is, which has that address.
func parentName(c call, address string) string {
	if p := slices.Index(c.Hosts, address); p >= 0 {
		return fmt.Sprintf("node %d, %s", p+1, address)
	}
	if c.Parent(c.place) >= 0 { // or one before it: some may have been left out
		return "the node before, " + address
	}
	return "the dolly server " + address
}

// begin joins the ring, and returns when the next node has been told of it.
func (n *node) begin() error {
	context.AfterFunc(n.ctx, func() {
		_ = n.data.Close() // whoever waits for it goes on
		_ = n.control.Close()
	})
	n.expect()
	n.report.tell(Joined{
		Name: n.Hosts[n.place], Place: n.place + 1, Hosts: len(n.Hosts), Parent: n.parent, Versions: n.Dialect.String(),
	})
	n.up(n.Dialect.Configured(n.Hosts[n.place]))
	for _, p := range n.Children(n.place) {
		b := newBranch(n, p)
		n.branches = append(n.branches, b)
		n.running.Go(b.run)
	}
	n.running.Go(n.listen)
	for _, b := range n.branches {
		if err := b.wait(n.ctx, n.told); err != nil {
			return err
		}
	}
	n.up(n.Dialect.Ready(n.Hosts[n.place]))
	n.running.Go(n.watch)
	return nil
}

// expect gives the ring up if nothing has come in the time that a person gave, and in that which the building of a ring takes when a node is absent.
func (n *node) expect() {
	if n.options.Wait == 0 {
		return
	}
	most := n.options.Wait + n.options.Next
	over := time.AfterFunc(most, func() {
		if n.received.Load() == 0 && n.total.Load() < 0 {
			n.cancel(&WaitError{For: most, Parent: n.parent})
		}
	})
	context.AfterFunc(n.ctx, func() { over.Stop() })
}

// up sends a line to the parent in one piece. If that fails, the parent is gone, which is noticed elsewhere.
func (n *node) up(line string) {
	n.upMutex.Lock()
	defer n.upMutex.Unlock()
	if strings.Contains(line, "ready") {
		if n.counted[line] || len(n.counted) > 2*len(n.Hosts) {
			return
		}
		n.counted[line] = true
	}
	n.say(func(w io.Writer) error {
		_, err := io.WriteString(w, line)
		return err
	})
}

// say sends something to the parent, upMutex being held. After an error it sends nothing any more: what was begun would get a wrong end.
func (n *node) say(send func(io.Writer) error) {
	if n.mute {
		return
	}
	_ = n.control.SetWriteDeadline(time.Now().Add(upTime)) // the writing fails, too
	n.mute = send(n.control) != nil
}

// listen waits for the size, and passes it on.
func (n *node) listen() {
	total, err := ring.Total(n.control)
	if err != nil {
		n.failure = err
	} else {
		ctx, cancel := context.WithTimeout(n.ctx, totalTime/2) // this node waits no longer than totalTime itself
		defer cancel()
		for _, b := range n.branches {
			b.putTotal(ctx, total)
		}
		n.total.Store(total)
	}
	close(n.told)
	// Whoever waits for data looks at what was told.
	_ = n.data.SetReadDeadline(time.Unix(1, 0))
}

// watch reports when nothing moves.
func (n *node) watch() {
	tick := time.NewTicker(n.options.Remind)
	defer tick.Stop()
	var before int64
	moved := time.Now()
	for {
		select {
		case <-tick.C:
		case <-n.ctx.Done():
			return
		}
		now := n.received.Load()
		if now != before {
			before, moved = now, time.Now()
			continue
		}
		e := Stuck{On: n.parent, Received: now, For: time.Since(moved)}
		switch b := n.sending.Load(); {
		case b != nil:
			e.On, e.Sending = b.name(), true
		case now == n.total.Load():
			continue
		case !n.reading.Load(): // whoever reads from this node takes his time
			moved = time.Now()
			continue
		}
		n.report.tell(e)
	}
}

// Close leaves the ring. A next node that has not got everything has lost its parent then.
func (n *node) Close() error {
	n.cancel(net.ErrClosed)
	n.running.Wait()
	return nil
}

// lost says that the parent is gone.
func (n *node) lost(err error) error {
	if n.ctx.Err() != nil {
		return context.Cause(n.ctx)
	}
	return &LostError{Parent: n.parent, Received: n.received.Load(), Total: n.total.Load(), Err: plain(err)}
}

// errLeft is what an end of a connection means.
var errLeft = errors.New("it closed the connection")

// plain returns errLeft for what a reader gets at the end of a connection.
func plain(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return errLeft
	}
	return err
}
