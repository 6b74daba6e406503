package dolly

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/dolly/ring"
)

// relinkTime is how long a node may take to listen again that has lost the one before it.
const relinkTime = 15 * time.Second

// A branch is a way on: the node behind this one, whoever it is at the moment.
type branch struct {
	node *node
	// places are those in the list of the hosts that may be the next node, in this order.
	places []int
	// done is closed when nothing more comes from behind. said is then the size that was sent back, -1 if there was none.
	done chan struct{}
	said int64

	mutex sync.Mutex
	// settled is closed as long as it is certain who the next node is.
	settled chan struct{}
	child   *ring.Child // nil: none
	// heard is closed when child has said something, which it does when it has read the introduction.
	heard chan struct{}
	place int // of child, or of the last one that was tried
	// begun tells that child was sent something, so that nobody else can take its place.
	begun bool
	sent  int64
	// failure is why child takes nothing any more.
	failure error
}

func newBranch(n *node, first int) *branch {
	b := &branch{node: n, places: []int{first}, done: make(chan struct{}), said: -1, settled: make(chan struct{}), place: first}
	for p := first + 1; n.Fanout == 1 && p < len(n.Hosts); p++ {
		b.places = append(b.places, p)
	}
	return b
}

// name is that of the next node.
func (b *branch) name() string {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.node.Hosts[b.place]
}

// run connects to the next node and listens to it; if it is lost before the image begins, to the one behind it.
func (b *branch) run() {
	defer close(b.done)
	limit := b.node.options.Next
	for _, place := range b.places {
		b.mutex.Lock()
		b.place = place
		b.mutex.Unlock()
		child, err := b.connect(b.node.Hosts[place], limit)
		if err == nil {
			b.settle(child)
			b.node.report.tell(Linked{Host: child.Host})
			err = b.listen(child)
			child.Close()
			if b.over(err) {
				return
			}
			limit = min(limit, relinkTime) // the server may begin at any moment
		}
		if b.node.ctx.Err() != nil {
			break
		}
		b.node.report.tell(Skipped{Host: b.node.Hosts[place], Err: plain(err)})
		b.skip(place)
	}
	b.settle(nil)
}

// skip tells the server not to wait for the host at place, nor, in a tree, for those behind it. Of one that has been ready it is told nothing.
func (b *branch) skip(place int) {
	n := b.node
	n.upMutex.Lock()
	ready := n.counted[n.Dialect.Ready(n.Hosts[place])]
	n.upMutex.Unlock()
	if !ready {
		n.up(n.Dialect.Skipped(n.Hosts[place]))
	}
	if n.Fanout > 1 {
		for _, p := range n.Children(place) {
			b.skip(p)
		}
	}
}

func (b *branch) settle(child *ring.Child) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.child, b.heard = child, make(chan struct{})
	close(b.settled)
}

// over reports whether the end of a child is the end of the branch: it had everything, or was lost in the middle of the image.
func (b *branch) over(err error) bool {
	if err == nil {
		return true
	}
	n := b.node
	b.mutex.Lock()
	lost := Lost{Host: n.Hosts[b.place], Sent: b.sent, Behind: n.behind(b.place), Err: b.failure}
	begun := b.begun
	b.child = nil
	if !begun {
		b.settled = make(chan struct{})
	}
	b.mutex.Unlock()
	if begun && n.ctx.Err() == nil {
		if lost.Err == nil {
			lost.Err = plain(err)
		}
		n.report.tell(lost)
		n.up(n.Dialect.Lost(lost.Host))
	}
	return begun
}

// behind counts the nodes behind the one at place.
func (n *node) behind(place int) int {
	count := 0
	for _, p := range n.Children(place) {
		count += 1 + n.behind(p)
	}
	return count
}

// connect makes host the next node.
func (b *branch) connect(host string, limit time.Duration) (*ring.Child, error) {
	n := b.node
	ctx, cancel := context.WithTimeoutCause(n.ctx, limit, fmt.Errorf("tried for %v", limit))
	defer cancel()
	var told time.Time
	child, err := ring.Connect(ctx, n.options.Dial, host, n.options.Attempts, func(err error) {
		if now := time.Now(); now.Sub(told) >= n.options.Remind {
			told = now
			n.report.tell(Trying{Host: host, Err: err})
		}
	})
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(n.ctx, child.Close)
	if err := child.Introduce(n.ctx, n.Introduction, n.options.Password); err != nil {
		stop()
		child.Close()
		return nil, err
	}
	return child, nil
}

// listen passes up what comes from behind, until the size comes back.
func (b *branch) listen(child *ring.Child) error {
	for first := true; ; first = false {
		message, err := child.Next()
		if first {
			close(b.heard)
		}
		switch {
		case err != nil:
			return err
		case message.Line == "":
			b.said = message.Total
			return nil
		}
		if b.node.options.Verbose {
			b.node.report.tell(Said{Line: message.Line})
		}
		b.node.up(message.Line)
	}
}

// wait returns when it is certain who the next node is, or that there is none. Its error says that the parent is gone.
func (b *branch) wait(ctx context.Context, gone <-chan struct{}) error {
	b.mutex.Lock()
	settled := b.settled
	b.mutex.Unlock()
	select {
	case <-settled:
		return nil
	case <-gone:
		if err := b.node.failure; err != nil {
			return b.node.lost(err)
		}
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// take returns the next node, which nobody can replace from now on; nil if there is none.
func (b *branch) take() *ring.Child {
	for {
		b.mutex.Lock()
		settled, child := b.settled, b.child
		select {
		case <-settled:
			b.begun = true
			b.mutex.Unlock()
			return child
		default:
			b.mutex.Unlock()
		}
		select {
		case <-settled:
		case <-b.node.ctx.Done():
			return nil
		}
	}
}

// pass sends bytes to the next node. One that takes none any more is lost, and noticed by whoever listens to it.
func (b *branch) pass(p []byte) {
	child := b.take()
	if child == nil {
		return
	}
	m, err := child.Data.Write(p)
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.sent += int64(m)
	if err != nil {
		b.child = nil
		if b.failure == nil {
			b.failure = err
		}
		child.Close()
	}
}

// putTotal tells the next node the size. One that has become the next a moment ago may not have read the introduction yet, and would take the size for a
// part of it; it is waited for until ctx is done.
func (b *branch) putTotal(ctx context.Context, total int64) {
	if child := b.take(); child != nil {
		b.mutex.Lock()
		heard := b.heard
		b.mutex.Unlock()
		select {
		case <-heard:
		case <-ctx.Done():
		}
		_ = child.PutTotal(total) // if it is gone, whoever listens to it notices
	}
}

// end tells the next node that there are no more data.
func (b *branch) end() {
	if child := b.take(); child != nil {
		child.EndData()
	}
}

// errSilent says that a node did not answer in time.
var errSilent = errors.New("it does not answer")

// confirm waits until the next node sends the size back, and returns it: -1 if there is no next node any more.
func (b *branch) confirm(ctx context.Context) (int64, error) {
	select {
	case <-b.done:
		return b.said, nil
	case <-ctx.Done():
		return -1, context.Cause(ctx)
	}
}
