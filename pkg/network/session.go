package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// A session gets an address for one link by one method, finds out whether the image's host answers, and keeps the address.
type session struct {
	network *Network
	link    *linkState // only run may look into it
	on      Link       // the link as it was when the session began
	asked   Interface
	method  Method
	stop    context.CancelCauseFunc
	done    chan struct{}
	carrier chan struct{} // it returned
	behind  chan func()   // the routes are to go behind those of another link; the function is called when they have

	// The rest is what run knows of it.
	lease            *Lease
	held             bool // an address is there, and about to be given to the link
	reached, refused bool // the image's host answers, or refuses
	waited           bool // it was waited for an answer
	attempts         int
	err              error // what went wrong last
	// last is what the client said when it was stopped; it may be read when done is closed.
	last    error
	stopped bool // it was ended
}

// errDropped is why a session ends that takes its address with it.
var errDropped = errors.New("no longer wanted")

// newSession starts a session, after the one before it on that link has ended.
func (n *Network) newSession(ctx context.Context, l *linkState, asked Interface, m Method, after <-chan struct{}) *session {
	s := &session{
		network: n, link: l, on: l.link, asked: asked, method: m,
		done: make(chan struct{}), carrier: make(chan struct{}, 1), behind: make(chan func(), 1),
	}
	ctx, s.stop = context.WithCancelCause(ctx)
	go func() {
		defer close(s.done)
		if after != nil {
			<-after
		}
		s.run(ctx)
	}()
	return s
}

// drop ends the session and takes the address away.
func (s *session) drop() {
	s.stopped = true
	s.stop(errDropped)
}

// carrierLost ends a session that has no address yet: the next carrier may be that of another network. One that has an address keeps it, so that
// a download goes on when the cable is put back.
func (s *session) carrierLost() {
	if s.lease == nil && !s.held {
		s.drop()
	}
}

// goBehind has the routes of the lease come after those of the link over which the image comes.
func (s *session) goBehind(all *sync.WaitGroup) {
	if s.lease == nil || s.stopped {
		return
	}
	all.Add(1)
	select {
	case s.behind <- all.Done:
	default:
		all.Done()
	}
}

func (s *session) carrierReturned() {
	select {
	case s.carrier <- struct{}{}:
	default:
	}
}

// tell has run apply what the session found out.
func (s *session) tell(ctx context.Context, news bool, apply func(*session)) {
	if ctx.Err() != nil {
		return
	}
	select {
	case s.network.events <- event{s, apply, news}:
	case <-ctx.Done():
	}
}

func (s *session) report(problem bool, format string, args ...any) {
	s.network.env.Report(Event{s.on.Name, fmt.Sprintf(format, args...), problem})
}

// declinePause is how long a client waits after it declined an address, RFC 2131, section 3.1.
const declinePause = 10 * time.Second

// run gets an address, and another one when that is lost.
func (s *session) run(ctx context.Context) {
	defer s.leaveBehind()
	for again := againMin; ctx.Err() == nil; {
		lease, err := s.acquire(ctx)
		if err != nil {
			s.last = err
			s.tell(ctx, true, func(s *session) { s.err = err })
			if errors.Is(err, errNoClient) {
				break
			}
			var duplicate *DuplicateError
			if errors.As(err, &duplicate) {
				again = declinePause
				s.report(true, "%v", err)
			}
			pause(ctx, again)
			again = min(2*again, againMax)
			continue
		}
		again = againMin
		lease, err = s.hold(ctx, lease)
		if errors.Is(context.Cause(ctx), errDropped) || ctx.Err() == nil {
			s.remove(lease)
		}
		if ctx.Err() == nil {
			s.lost(ctx, lease, err)
		}
	}
}

// leaveBehind answers who waits for routes that are not there any more.
func (s *session) leaveBehind() {
	select {
	case done := <-s.behind:
		done()
	default:
	}
}

// What went wrong is tried again after againMin, doubly so each time up to againMax.
const (
	againMin = time.Second
	againMax = 15 * time.Second
)

// errNoClient says that the program lacks what the method needs.
var errNoClient = errors.New("not possible with this program")

func (s *session) lost(ctx context.Context, lease Lease, err error) {
	s.report(true, "lost the address %v: %v", lease.Address, err)
	s.tell(ctx, true, func(s *session) {
		s.lease, s.held, s.reached, s.refused, s.err, s.attempts = nil, false, false, false, err, 0
		if s.network.weak == s {
			s.network.weak = nil
		}
	})
	var duplicate *DuplicateError
	if errors.As(err, &duplicate) {
		pause(ctx, declinePause)
	}
}

func (s *session) remove(lease Lease) {
	if err := s.network.env.Kernel.Remove(s.on, lease); err != nil {
		s.report(false, "%v", err) // the card may be gone
	}
}

// acquire gets an address and gives it to the link.
func (s *session) acquire(ctx context.Context) (Lease, error) {
	lease, err := s.ask(ctx)
	if err != nil {
		return lease, err
	}
	if lease.Address.Addr().Is4() && s.network.env.Prober != nil {
		if err := s.probe(ctx, lease); err != nil {
			return lease, err
		}
	}
	lease = s.complete(lease)
	// Some cards lose their carrier for a moment when they get another MTU.
	s.tell(ctx, false, func(s *session) { s.held = true })
	if lease.MTU != 0 && lease.MTU != s.on.MTU {
		// A card that cannot do it reaches the server all the same, or the download says what is wrong.
		if err := s.network.env.Kernel.Change(s.on, Change{MTU: lease.MTU}); err != nil {
			s.report(true, "the MTU of the lease was not set: %v", err)
		}
	}
	return lease, s.configure(ctx, lease)
}

// ask gets a lease from a server, or makes one of what was asked for.
func (s *session) ask(ctx context.Context) (Lease, error) {
	if s.method == Static {
		lease := Lease{Method: Static, Address: s.asked.Address, Peer: s.asked.Peer, Since: time.Now()}
		if s.asked.Gateway.IsValid() {
			lease.Routes = []Route{{everywhere(s.asked.Gateway), s.asked.Gateway}}
		}
		return lease, nil
	}
	client := s.network.env.Clients[s.method]
	if client == nil {
		return Lease{}, fmt.Errorf("%s on %s: %w", s.method, s.on.Name, errNoClient)
	}
	return client.Acquire(ctx, s.on, func(number int) {
		s.tell(ctx, false, func(s *session) { s.attempts = number })
	})
}

// everywhere is the destination of the default route by way of gateway.
func everywhere(gateway netip.Addr) netip.Prefix {
	if gateway.Is4() {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
}

// probe finds out whether somebody else uses the address.
func (s *session) probe(ctx context.Context, lease Lease) error {
	err := s.network.env.Prober.Probe(ctx, s.on, lease.Address.Addr())
	var duplicate *DuplicateError
	if !errors.As(err, &duplicate) || s.network.owns(duplicate) {
		return nil // a card that cannot tell is no reason to do without an address
	}
	s.decline(ctx, lease)
	return err
}

// decline tells the server that its address is no good.
func (s *session) decline(ctx context.Context, lease Lease) {
	if client := s.network.env.Clients[s.method]; client != nil {
		if err := client.Decline(ctx, s.on, lease); err != nil {
			s.report(false, "decline %v: %v", lease.Address, err)
		}
	}
}

// owns reports whether the other user of an address is this machine, over another of its links.
func (n *Network) owns(d *DuplicateError) bool {
	for _, a := range n.Active() {
		if a.Link.MAC.String() == d.Owner.String() {
			return true
		}
	}
	return false
}

// complete adds to a lease what was asked for besides.
func (s *session) complete(lease Lease) Lease {
	c := s.network.config
	if s.asked.MTU != 0 {
		lease.MTU = s.asked.MTU
	}
	resolvers := slices.Concat(c.Resolvers, s.asked.Resolvers)
	if c.IgnorePeerDNS {
		lease.Search = nil
	} else {
		resolvers = append(resolvers, lease.Resolvers...)
	}
	lease.Resolvers = unique(resolvers)
	lease.NTP = unique(slices.Concat(s.asked.NTP, lease.NTP))
	if s.asked.BootServer.IsValid() {
		lease.BootServer = s.asked.BootServer
	}
	if s.asked.Hostname != "" {
		lease.Hostname = s.asked.Hostname
	}
	primary := s.network.primary.Load()
	lease.Behind = primary != 0 && primary != int64(s.on.Index)
	lease.Routes = slices.Clone(lease.Routes)
	for _, r := range c.Routes {
		if r.Link != (Selector{}) && !r.Link.Matches(s.on) || r.Destination.Addr().Is4() != lease.Address.Addr().Is4() {
			continue
		}
		if r.Link != (Selector{}) || !r.Gateway.IsValid() || lease.Address.Contains(r.Gateway) || r.Gateway.IsLinkLocalUnicast() {
			lease.Routes = append(lease.Routes, r.Route)
		}
	}
	return lease
}

func unique(addresses []netip.Addr) []netip.Addr {
	var once []netip.Addr
	for _, a := range addresses {
		if !slices.Contains(once, a) {
			once = append(once, a)
		}
	}
	return once
}

// configure gives the link the address, and tells run.
func (s *session) configure(ctx context.Context, lease Lease) error {
	bounded, cancel := context.WithTimeout(ctx, s.network.config.Timeouts.Duplicate)
	defer cancel()
	if err := s.network.env.Kernel.Configure(bounded, s.on, lease); err != nil {
		var duplicate *DuplicateError
		if errors.As(err, &duplicate) {
			s.decline(ctx, lease)
		}
		s.remove(lease)
		s.tell(ctx, false, func(s *session) { s.held = false })
		return err
	}
	s.tell(ctx, true, func(s *session) {
		s.lease, s.err = &lease, nil
		if !s.waited {
			s.waited = true
			s.network.wait(forAnswer)
		}
	})
	return nil
}

// hold keeps the address until it is lost, and meanwhile finds out whether it is good for something.
func (s *session) hold(ctx context.Context, lease Lease) (Lease, error) {
	ctx, cancel := context.WithCancel(ctx)
	var beside sync.WaitGroup
	defer beside.Wait()
	defer cancel()
	beside.Go(func() { s.reach(ctx, lease) })
	lost := make(chan error, 1)
	if s.network.env.Prober != nil && lease.Address.Addr().Is4() {
		beside.Go(func() { s.defend(ctx, lease, lost) })
	}
	return s.keep(ctx, lease, lost)
}

// defend watches for others that use the address. A static one is kept all the same: whoever set it has to decide.
func (s *session) defend(ctx context.Context, lease Lease, lost chan<- error) {
	err := s.network.env.Prober.Watch(ctx, s.on, lease.Address.Addr())
	var duplicate *DuplicateError
	if !errors.As(err, &duplicate) || s.network.owns(duplicate) {
		return
	}
	if s.method == Static {
		s.report(true, "%v: give one of the two another address", err)
		return
	}
	s.decline(ctx, lease)
	lost <- err
}

// The image's host is asked again after reachPause, and doubly so each time up to reachPauseMax: a switch port may pass nothing for a while.
const (
	reachPause    = 200 * time.Millisecond
	reachPauseMax = 5 * time.Second
)

// reach asks the image's host until it answers.
func (s *session) reach(ctx context.Context, lease Lease) {
	var told string
	for wait := reachPause; ; wait = min(2*wait, reachPauseMax) {
		var err error
		if s.network.env.Reach != nil {
			err = s.network.env.Reach(ctx, s.on, lease)
		}
		if err == nil {
			s.tell(ctx, true, func(s *session) { s.reached, s.refused, s.err = true, false, nil })
			return
		}
		if ctx.Err() != nil {
			return
		}
		refused := errors.Is(err, ErrRefused)
		if told != err.Error() {
			told = err.Error()
			s.report(false, "%v: %v", lease.Address, err)
		}
		s.tell(ctx, true, func(s *session) { s.refused, s.err = refused, err })
		pause(ctx, wait)
	}
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

func (s *session) story() string {
	switch {
	case s.reached:
		return fmt.Sprintf("%v, and the image's host answers, but another link was asked for", s.lease.Address)
	case s.lease != nil && s.err != nil:
		return fmt.Sprintf("%v, but %v", s.lease.Address, s.err)
	case s.lease != nil:
		return fmt.Sprintf("%v, but the image's host did not answer yet", s.lease.Address)
	case s.err != nil:
		return strings.TrimSuffix(s.err.Error(), ": "+context.Canceled.Error())
	case s.method == Static:
		return "the address is being set"
	}
	return fmt.Sprintf("no answer to %s", count(s.attempts, s.method))
}

// count names the messages of a method.
func count(n int, m Method) string {
	what := map[Method]string{DHCP4: "DHCP request", DHCP6: "DHCPv6 request", Auto6: "router solicitation", Either6: "router solicitation", Link6: "question"}[m]
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
