// Package dolly is a node of a ring of dolly: it gets an image from the node before it, and passes it on to the next.
//
// A File is waited for, not asked for: Open listens, and returns when a server, or the node before this one, has connected, has told
// who is in the ring, and the next node has been told, too. What is read from then on is passed on at the same time. A reader
// that is slow slows the ring; nothing is kept. The end comes when the parent has said how long the image is, never with the end of a
// connection.
//
// Whoever can connect can begin a ring. What guards against that is the image's digest, which is compared by whoever reads it, and the addresses in
// Options.From. The password, which versions 0.7x of the program have, keeps rings apart and nodes that do not know it out; a server
// does not have to know it to be believed, since the protocol makes only the nodes prove that they do.
//
// A next node that cannot be connected to is left out, with the one behind it as the next, unless the ring is a tree. One that is lost in
// the middle of the image is lost with all behind it, and this node goes on as the last one. If the node before this one is lost, Read
// returns a *LostError, and Open waits for another ring.
//
// The protocol is described in package ring.
package dolly

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/dolly/ring"
	"github.com/liveboot/liveboot/pkg/fetch/wire"
)

const (
	dataPort    = ring.DataPort
	controlPort = ring.ControlPort
)

// Defaults of Options.
const (
	// DefaultNext outlasts the start of a machine that was switched on a little later than this one.
	DefaultNext = 3 * time.Minute
	// DefaultConfirm outlasts the last bytes in the buffers of a long ring with a slow node in it, and programs that write to a disk before they
	// confirm. (A node that is gone is noticed before.)
	DefaultConfirm = 5 * time.Minute
	// DefaultRemind is how often a person is told that nothing happens.
	DefaultRemind = time.Minute
)

// attemptTime is more than an attempt to connect takes, and the wait behind it.
const attemptTime = time.Minute

// Options say how to be in a ring.
type Options struct {
	// Password of the ring; empty for none. A ring with another one, or without, is not joined. It proves nothing of the server.
	Password string
	// From are the networks from which a parent may connect; none for any.
	From []netip.Prefix
	// Wait is how long a ring is waited for; 0 for ever. One that was joined is given up when its first byte has not come after Wait and Next.
	Wait time.Duration
	// Next is how long the next node is tried until it is left out; 0 means DefaultNext, or as long as Attempts take. Attempts is how often, once a
	// second; 0 means any number within that time.
	Next     time.Duration
	Attempts int
	// Confirm is how long the nodes behind this one may take to say that they have everything; 0 means DefaultConfirm.
	Confirm time.Duration
	// Remind is how often the silence of others is reported; 0 means DefaultRemind.
	Remind time.Duration
	// HyphenNormal tells that a hyphen in a host's name is a part of it, see ring.Config.
	HyphenNormal bool
	// Verbose reports what the nodes behind this one say, too.
	Verbose bool

	// Listen waits for connections to a port, Dial makes one.
	Listen func(ctx context.Context, port int) (net.Listener, error)
	Dial   ring.Dial
	// Resolve returns the addresses of a host.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	// Identity returns what this machine may be called in the list of the hosts; nil means its addresses and its host name.
	Identity func() (Identity, error)
	// Report is told what happens, one event after the other; nil for nobody.
	Report func(Event)
}

// A File is the image of whatever ring comes first.
type File struct {
	name    string
	options Options
	report  *reporter
}

// New returns the file; nothing is listened to yet. name is what wire.Body.URL is to be.
func New(name string, o Options) *File {
	if o.Next == 0 && o.Attempts > 0 {
		o.Next = time.Duration(o.Attempts) * attemptTime
	}
	for _, d := range []struct {
		to    *time.Duration
		value time.Duration
	}{{&o.Next, DefaultNext}, {&o.Confirm, DefaultConfirm}, {&o.Remind, DefaultRemind}} {
		if *d.to == 0 {
			*d.to = d.value
		}
	}
	if o.Identity == nil {
		o.Identity = thisMachine
	}
	return &File{name: name, options: o, report: &reporter{to: o.Report}}
}

// Open waits for a ring and joins it. There are no offsets: the image begins with its first byte.
func (f *File) Open(ctx context.Context, _ wire.Position) (*wire.Body, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	n, err := f.join(ctx, cancel)
	if err != nil {
		cancel(err)
		return nil, err
	}
	// From here on n.Close cancels it.
	return &wire.Body{ReadCloser: n, URL: f.name, Size: -1}, nil
}

// join is Open without a Body.
func (f *File) join(ctx context.Context, cancel context.CancelCauseFunc) (*node, error) {
	c, err := f.answer(ctx)
	if err != nil {
		return nil, err
	}
	n := newNode(ctx, cancel, f, c)
	if err := n.begin(); err != nil {
		_ = n.Close() // the error that led here is the one to tell
		return nil, err
	}
	return n, nil
}

// A reporter passes events on, one after the other.
type reporter struct {
	mutex sync.Mutex
	to    func(Event)
}

func (r *reporter) tell(e Event) {
	if r.to != nil {
		r.mutex.Lock()
		defer r.mutex.Unlock()
		r.to(e)
	}
}

// thisMachine is the Identity of the machine on which this runs.
func thisMachine() (Identity, error) {
	var id Identity
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return id, fmt.Errorf("addresses of this machine: %w", err)
	}
	for _, a := range addresses {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && !prefix.Addr().IsLoopback() {
			id.Addresses = append(id.Addresses, prefix.Addr().Unmap())
		}
	}
	if id.Name, err = os.Hostname(); err != nil {
		return id, fmt.Errorf("name of this machine: %w", err)
	}
	return id, nil
}
