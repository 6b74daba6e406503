package dolly

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/dolly/ring"
)

const (
	// bufferSize is what is read at a time for a reader that takes less, and least is what is not less.
	bufferSize = 256 << 10
	least      = 64 << 10
)

// Read passes on what it reads. It returns io.EOF when as many bytes have come as the server says that there are, and the nodes
// behind this one have said that they have them.
func (n *node) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(n.rest) > 0 {
		m := copy(p, n.rest)
		n.rest = n.rest[m:]
		return m, nil
	}
	if n.err != nil {
		return 0, n.err
	}
	if len(p) >= least {
		var m int
		m, n.err = n.relay(p)
		return m, n.err
	}
	if n.buffer == nil {
		n.buffer = make([]byte, bufferSize)
	}
	var m int
	m, n.err = n.relay(n.buffer)
	n.rest = n.buffer[:m]
	if m == 0 {
		return 0, n.err
	}
	m = copy(p, n.rest)
	n.rest = n.rest[m:]
	return m, nil
}

// relay reads the next bytes and passes them on. It returns bytes, or an error.
func (n *node) relay(p []byte) (int, error) {
	for {
		received, total := n.received.Load(), n.total.Load()
		switch {
		case total >= 0 && received > total:
			return 0, &TotalError{n.parent, received, total}
		case received == total:
			return 0, n.finish()
		case total >= 0:
			p = p[:min(int64(len(p)), total-received)]
		}
		n.reading.Store(true)
		m, err := n.data.Read(p)
		n.reading.Store(false)
		if m > 0 {
			n.received.Add(int64(m))
			for _, b := range n.branches {
				n.sending.Store(b)
				b.pass(p[:m])
			}
			n.sending.Store(nil)
			return m, nil
		}
		if err = n.judge(err); err != nil {
			return 0, err
		}
	}
}

// judge tells what it means that no data comes. It returns nil if there is something to look at.
func (n *node) judge(err error) error {
	if n.ctx.Err() != nil {
		return context.Cause(n.ctx)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		<-n.told
		if n.failure == nil {
			return n.data.SetReadDeadline(time.Time{})
		}
		return n.lost(n.failure)
	}
	select { // the size may have been sent, and be on its way
	case <-n.told:
		if n.failure != nil {
			return n.lost(n.failure)
		}
	case <-time.After(totalTime):
	case <-n.ctx.Done():
	}
	if total := n.total.Load(); total >= 0 && n.received.Load() >= total {
		return nil
	}
	return n.lost(err)
}

// finish waits for the nodes behind this one, and says to the parent that everything is there. It returns io.EOF.
func (n *node) finish() error {
	answer, confirmed := n.total.Load(), true
	ctx, cancel := context.WithTimeoutCause(n.ctx, n.options.Confirm, errSilent)
	defer cancel()
	for _, b := range n.branches {
		b.end()
	}
	for _, b := range n.branches {
		said, err := b.confirm(ctx)
		if err != nil {
			confirmed = false
		}
		if said >= 0 && said != answer {
			answer, err = said, fmt.Errorf("it says that it has %d of %d bytes", said, answer)
		}
		if err != nil {
			n.report.tell(Unconfirmed{Host: b.name(), Err: err})
		}
	}
	// What is not known is not said: the server then tells that not all have the image.
	if confirmed {
		n.upMutex.Lock()
		defer n.upMutex.Unlock()
		n.say(func(w io.Writer) error { return ring.PutTotal(w, answer) }) // the image is there, whoever hears of it
	}
	return io.EOF
}
