package network

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A Network is one that is up. Until Close its leases are renewed, and links that were asked for and come late are still configured.
type Network struct {
	config Config
	env    Environment

	cancel context.CancelFunc
	ended  chan struct{} // closed when run has ended
	events chan event
	up     chan error // what became of it, once

	links  map[int]*linkState
	made   map[string]bool // VLANs
	named  map[string]bool // the kernel's names that were given up
	winner *session
	// weak is one that the image's host refused; elsewhere says that other links may still do better.
	weak      *session
	elsewhere bool
	told      bool // up was
	// primary is the index of the winner's link for the sessions; 0 while there is none.
	primary atomic.Int64
	linkEnd time.Time // until when links that were asked for may appear

	waiting  waiting
	deadline time.Time

	mu     sync.Mutex
	active []Active
	first  Active // the winner's, when it won
	all    []Link
}

// An Active link is one that has addresses.
type Active struct {
	Link      Link
	Interface Interface
	Leases    []Lease
	// Primary says that the image's host was reached over it.
	Primary bool
	// Ports are the links that a bond or a bridge is made of.
	Ports []Link
	// Parent of a VLAN.
	Parent *Link
}

// Up brings the network up as c says, and returns as soon as the image's host answers. Its error lists every link with what happened on
// it. The network lives until Close, or until ctx ends.
func Up(ctx context.Context, c Config, env Environment) (*Network, error) {
	ctx, cancel := context.WithCancel(ctx)
	c.Timeouts = c.Timeouts.OrDefault()
	if len(c.Interfaces) == 0 {
		c.Interfaces = []Interface{{}}
	}
	if env.Report == nil {
		env.Report = func(Event) {}
	}
	n := &Network{
		config: c, env: env, cancel: cancel,
		ended: make(chan struct{}), events: make(chan event), up: make(chan error, 1),
		links: make(map[int]*linkState), made: make(map[string]bool), named: make(map[string]bool),
		deadline: time.Now().Add(c.Timeouts.Link),
	}
	n.linkEnd = n.deadline
	if err := n.start(ctx); err != nil {
		cancel()
		return nil, fmt.Errorf("bring up network: %w", err)
	}
	if err := <-n.up; err != nil {
		n.Close()
		return nil, fmt.Errorf("bring up network: %w", err)
	}
	return n, nil
}

func (n *Network) start(ctx context.Context) error {
	for _, b := range n.config.Bonds {
		if err := n.env.Kernel.Make(b, Link{}); err != nil {
			return err
		}
	}
	for _, b := range n.config.Bridges {
		if err := n.env.Kernel.Make(b, Link{}); err != nil {
			return err
		}
	}
	links, err := n.env.Kernel.Watch(ctx)
	if err != nil {
		return err
	}
	go n.run(ctx, links)
	return nil
}

// Active returns the links that have addresses now, the primary one first.
func (n *Network) Active() []Active {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.active)
}

// Primary returns the link from which the image's host answered first, as it was then.
func (n *Network) Primary() Active {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.first
}

// Links returns all links that there are.
func (n *Network) Links() []Link {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.all)
}

// Config returns what the network was asked to be.
func (n *Network) Config() Config { return n.config }

// Close ends all that is done for the network. Addresses and routes stay as they are.
func (n *Network) Close() {
	n.cancel()
	<-n.ended
}

// event is what a session tells.
type event struct {
	session *session
	apply   func(*session)
	// news says that something came of it: a lease, a loss, an answer.
	news bool
}

// remindEvery is how often people are told what the boot is still waiting for.
const remindEvery = 15 * time.Second

// refusedPatience is how long a link from which the image's host refuses waits for one from which it does not.
const refusedPatience = 2 * time.Second

func (n *Network) run(ctx context.Context, links <-chan Link) {
	defer close(n.ended)
	defer n.drain(links)
	timer, remind, refused := time.NewTimer(n.config.Timeouts.Link), time.NewTicker(remindEvery), time.NewTimer(0)
	defer timer.Stop()
	defer remind.Stop()
	<-refused.C
	for {
		if n.winner == nil && !n.told {
			timer.Reset(time.Until(n.deadline))
		}
		select {
		case link, ok := <-links:
			if !ok {
				n.fail(n.failure(cmp.Or(ctx.Err(), errors.New("the kernel reports no more links"))))
				return
			}
			n.observe(ctx, link)
		case e := <-n.events:
			if e.session.stopped {
				continue // what it knew is of no use any more
			}
			e.apply(e.session)
			if e.news {
				if patience := n.judge(); patience > 0 {
					refused.Reset(patience)
				}
			}
		case <-refused.C:
			n.win(n.weak)
		case <-remind.C:
			if n.winner == nil && !n.told {
				n.env.Report(Event{Text: "still waiting: " + n.failure(n.waiting.missed()).Error(), Problem: true})
			}
		case <-timer.C:
			if n.winner == nil && n.weak != nil {
				n.win(n.weak)
			} else if n.winner == nil && !n.told {
				n.conclude()
				n.fail(n.failure(n.waiting.missed()))
				return
			}
		case <-ctx.Done():
			n.fail(n.failure(ctx.Err()))
			return
		}
		n.publish()
	}
}

// fail tells Up, if it still waits.
func (n *Network) fail(err error) {
	if !n.told {
		n.told = true
		n.up <- err
	}
}

// conclude stops the clients, and takes note of what they have to say at their end.
func (n *Network) conclude() {
	var asking []*session
	for _, l := range n.links {
		for _, s := range l.sessions {
			if s.lease == nil && s.err == nil {
				s.drop()
				asking = append(asking, s)
			}
		}
	}
	for _, s := range asking {
		<-s.done
		if s.last != nil && s.last != context.Canceled { // by itself it says nothing
			s.err = s.last
		}
	}
}

// drain ends all sessions and waits for them.
func (n *Network) drain(links <-chan Link) {
	n.cancel()
	for _, l := range n.links {
		for _, s := range l.sessions {
			<-s.done
		}
	}
	for range links {
	}
}

// judge looks at what the sessions have reached. The first from which the image's host answers wins. One from which it refuses, which may be the
// word of a firewall, has to wait for others that may do better: judge returns for how long.
func (n *Network) judge() (patience time.Duration) {
	if n.winner != nil {
		return 0
	}
	weak := n.weak
	for _, l := range n.links {
		for _, s := range l.sessions {
			switch {
			case !n.config.Boot.Matches(l.link) || s.stopped:
			case s.reached:
				n.win(s)
				return 0
			case s.refused && weak == nil:
				weak = s
			}
		}
	}
	if weak == nil {
		n.weak, n.elsewhere = nil, false
		return 0
	}
	beside, elsewhere := n.pending(weak)
	known, waited := weak == n.weak, n.elsewhere
	n.weak, n.elsewhere = weak, elsewhere
	switch {
	case known && waited == elsewhere:
		return 0
	case elsewhere:
		return n.config.Timeouts.Answer
	case beside:
		return refusedPatience
	}
	n.win(weak)
	return 0
}

// pending reports whether something may still come of other sessions: of those on the same link as the one that was refused, and on others.
func (n *Network) pending(weak *session) (beside, elsewhere bool) {
	for _, l := range n.links {
		for _, s := range l.sessions {
			switch {
			case !n.config.Boot.Matches(l.link), s.stopped, s.refused, s.err != nil, !l.link.Carrier:
			case l == weak.link:
				beside = true
			default:
				elsewhere = true
			}
		}
	}
	return beside, elsewhere
}

// win makes s the one over which the image comes. Links that nobody asked for by name are left as they were found, and the routes of those that
// somebody did come after those of s.
func (n *Network) win(s *session) {
	if n.winner != nil || s == nil || s.lease == nil {
		return
	}
	n.winner, n.weak = s, nil
	n.primary.Store(int64(s.link.link.Index))
	var dropped []*session
	var kept sync.WaitGroup
	for _, l := range n.links {
		if l == s.link {
			continue
		}
		l.sessions = slices.DeleteFunc(l.sessions, func(other *session) bool {
			if other.asked.Link != (Selector{}) {
				other.goBehind(&kept)
				return false
			}
			other.drop()
			dropped = append(dropped, other)
			return true
		})
	}
	for _, other := range dropped {
		<-other.done // its routes must not be in the way
	}
	n.release()
	n.publish()
	if n.told {
		return
	}
	n.told = true
	go func() {
		kept.Wait() // their routes neither
		n.up <- nil
	}()
}

// release sets the links down that were set up in vain. With that the kernel forgets what routers told it there.
func (n *Network) release() {
	for _, l := range n.links {
		if l == n.winner.link || !l.ours || len(l.sessions) > 0 || l.parent || l.port != "" || l.link.Gone {
			continue
		}
		l.others = true
		if err := n.env.Kernel.Change(l.link, Change{Down: true}); err != nil {
			n.env.Report(Event{Link: l.link.Name, Text: err.Error()})
		}
	}
}

// publish makes the state of the links known to others than run.
func (n *Network) publish() {
	var active []Active
	var all []Link
	for _, l := range n.links {
		if l.link.Gone {
			continue
		}
		all = append(all, l.link)
		a := Active{Link: l.link, Primary: n.winner != nil && n.winner.link == l}
		for _, s := range l.sessions {
			if s.lease != nil {
				a.Interface = s.asked
				a.Leases = append(a.Leases, *s.lease)
			}
			if s == n.winner && len(a.Leases) > 1 {
				last := len(a.Leases) - 1
				a.Leases[0], a.Leases[last] = a.Leases[last], a.Leases[0]
			}
		}
		if len(a.Leases) == 0 {
			continue
		}
		a.Ports, a.Parent = n.under(l.link)
		active = append(active, a)
	}
	slices.SortFunc(active, func(a, b Active) int {
		if a.Primary != b.Primary {
			if a.Primary {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Link.Name, b.Link.Name)
	})
	n.mu.Lock()
	defer n.mu.Unlock()
	n.active, n.all = active, all
	if len(n.first.Leases) == 0 && len(active) > 0 && active[0].Primary {
		n.first = active[0]
	}
}

// under returns what a link is made of.
func (n *Network) under(link Link) (ports []Link, parent *Link) {
	for _, l := range n.links {
		if l.link.Master == link.Index || l.port != "" && l.port == link.Name {
			ports = append(ports, l.link)
		}
		for _, v := range n.config.VLANs {
			if v.Name == link.Name && l.link.Index != link.Index && v.Parent.Matches(l.link) && l.parent {
				parent = &l.link
			}
		}
	}
	slices.SortFunc(ports, func(a, b Link) int { return strings.Compare(a.Name, b.Name) })
	return ports, parent
}
