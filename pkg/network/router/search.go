package router

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/liveboot/liveboot/pkg/network"
)

// How long an address that could be used is held back for what DHCPv6 may still say.
const (
	// holdManaged is for an address from DHCPv6 where routers say that addresses are managed: three of its solicitations.
	holdManaged = 5 * time.Second
	// holdInform is for resolvers, where routers gave none; holdMore for further ones, where they did.
	holdInform = 5 * time.Second
	holdMore   = 300 * time.Millisecond
)

// A search is one wait for an address.
type search struct {
	kernel kernel
	link   network.Link
	// inform and managed are what DHCPv6 is asked by; nil where it is not to be.
	inform  Informer
	managed network.Client
	// router, duplicate and patience bound the waiting, see Auto and Either.
	router, duplicate, patience time.Duration
	// keep is the address to be preferred, if it is valid.
	keep netip.Prefix
	// attempt is told the number of each solicitation.
	attempt func(int)

	known known
	// sent counts the solicitations; sendError is why the last one could not be sent.
	sent      int
	sendError error
	// impatient says that routers were silent for too long.
	impatient bool
	// ready is when the first usable address was there.
	ready time.Time

	// asking is what DHCPv6 is asked now; stop ends that and waits for its end.
	asking  question
	stop    func()
	answers chan answer
	// informed is what Informer gave; managedError why Managed gave up.
	informed     network.Lease
	managedError error
}

// A question to DHCPv6. One is asked at a time: all use the same port of the link.
type question int

const (
	nothing question = iota
	// rest is what goes with an address.
	rest
	// all is an address too.
	all
)

type answer struct {
	question question
	lease    network.Lease
	err      error
}

func newSearch(s search) *search {
	s.known.addresses = make(map[netip.Addr]address)
	s.answers = make(chan answer)
	s.stop = func() {}
	return &s
}

// run searches until it has a lease, or there is no hope.
func (s *search) run(ctx context.Context) (network.Lease, error) {
	if err := s.kernel.prepare(s.link); err != nil {
		return network.Lease{}, err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	addresses, err := s.kernel.addresses(ctx, s.link)
	if err != nil {
		return network.Lease{}, err
	}
	advertisements, err := s.kernel.advertisements(ctx, s.link)
	if err != nil {
		return network.Lease{}, err
	}
	defer func() { s.stop() }()

	timers := newTimers(s)
	defer timers.stop()
	for {
		select {
		case a, ok := <-addresses:
			if !ok {
				return network.Lease{}, s.ended(ctx, errUnwatched)
			}
			s.known.take(a)
		case ad, ok := <-advertisements:
			if !ok {
				return network.Lease{}, s.ended(ctx, errors.New("the socket for router advertisements ended"))
			}
			s.hear(ad, timers)
		case reply := <-s.answers:
			if lease, ok := s.answered(reply); ok {
				return lease, nil
			}
		case <-timers.solicit.C:
			timers.solicit.Reset(s.solicit())
		case <-timers.patience:
			s.impatient = true
		case <-timers.hold.C:
		case <-timers.limit.C:
			// What a router said that DHCPv6 gives is waited for as long as its client wants.
			if s.asking != all || len(s.known.routers) == 0 {
				return network.Lease{}, s.missing()
			}
		case <-ctx.Done():
			return network.Lease{}, s.ended(ctx, nil)
		}
		if err := s.hopeless(); err != nil {
			return network.Lease{}, err
		}
		s.ask(ctx, s.question())
		if lease, wait := s.lease(); wait == 0 {
			return lease, nil
		} else if wait > 0 {
			timers.hold.Reset(wait)
		}
	}
}

// ended returns the error for the end of ctx, or for cause where that has not ended.
func (s *search) ended(ctx context.Context, cause error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", s.missing(), ctx.Err())
	}
	return cause
}

// timers of a search.
type timers struct {
	solicit, hold, limit *time.Timer
	patience             <-chan time.Time
}

func newTimers(s *search) *timers {
	t := &timers{solicit: time.NewTimer(0), hold: time.NewTimer(time.Hour), limit: time.NewTimer(s.router)}
	t.hold.Stop()
	if s.managed != nil {
		t.patience = time.After(s.patience)
	}
	return t
}

func (t *timers) stop() {
	t.solicit.Stop()
	t.hold.Stop()
	t.limit.Stop()
}

// hear takes an advertisement, and adapts the waiting to it.
func (s *search) hear(ad advertisement, t *timers) {
	first, hadPrefix := len(s.known.routers) == 0, s.known.autonomous()
	s.known.hear(ad)
	if first {
		t.solicit.Reset(jitter(heardWait))
	}
	if !hadPrefix && s.known.autonomous() {
		t.limit.Reset(s.duplicate)
	}
}

// solicit asks the routers to speak, and returns how long to wait until it is to be done again.
func (s *search) solicit() time.Duration {
	if s.sendError = s.kernel.solicit(s.link, s.known.linkLocal()); s.sendError == nil {
		s.sent++
		s.attempt(s.sent)
	}
	if len(s.known.routers) > 0 {
		return jitter(heardWait)
	}
	return backoff(max(s.sent, 1))
}

// question returns what DHCPv6 is to be asked, as far as is known by now.
func (s *search) question() question {
	k := &s.known
	silent := len(k.routers) == 0
	switch {
	case s.managed != nil && s.managedError == nil && (k.managed() || silent && s.impatient || !silent && !k.autonomous()):
		return all
	case s.inform != nil && s.informed.Since.IsZero() && (k.other() || k.managed()):
		return rest
	}
	return nothing
}

// ask asks DHCPv6, unless that is being done.
func (s *search) ask(ctx context.Context, q question) {
	if q == nothing || q == s.asking {
		return
	}
	s.stop()
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	s.asking, s.stop = q, func() { cancel(); <-done }
	go func() {
		defer close(done)
		reply := answer{question: q}
		if q == all {
			reply.lease, reply.err = s.managed.Acquire(ctx, s.link, func(int) {})
		} else {
			reply.lease, reply.err = s.inform.Inform(ctx, s.link)
		}
		select {
		case s.answers <- reply:
		case <-ctx.Done():
		}
	}()
}

// answered takes what DHCPv6 said, and returns the lease where it gave one.
func (s *search) answered(reply answer) (network.Lease, bool) {
	s.asking = nothing
	switch {
	case reply.question == rest:
		s.informed = reply.lease
		s.informed.Since = time.Now() // asked once, whatever came of it
	case reply.err != nil:
		s.managedError = reply.err
	default:
		if len(reply.lease.Resolvers) == 0 {
			reply.lease.Resolvers = s.known.resolvers
		}
		if len(reply.lease.Search) == 0 {
			reply.lease.Search = s.known.search
		}
		return reply.lease, true
	}
	return network.Lease{}, false
}

// lease returns the lease by the kernel's address, and how long it is to be held back yet: 0 not at all, less than 0 that there is none.
func (s *search) lease() (network.Lease, time.Duration) {
	best, ok := s.known.best(s.keep)
	if !ok {
		return network.Lease{}, -1
	}
	if s.ready.IsZero() {
		s.ready = time.Now()
	}
	if wait := s.hold() - time.Since(s.ready); wait > 0 {
		return network.Lease{}, wait
	}
	router, _ := s.known.router(best.Addr())
	lease := network.Lease{
		Method: network.Auto6, Address: best.Prefix, FromKernel: true, Server: router.router,
		// Those of DHCPv6 go first, RFC 8106, section 5.3.1.
		Resolvers: union(s.informed.Resolvers, s.known.resolvers),
		Search:    union(s.informed.Search, s.known.search),
		NTP:       s.informed.NTP,
		Valid:     best.valid, Since: time.Now(),
	}
	if gateway, ok := s.known.gateway(); ok {
		lease.Routes = []network.Route{{Destination: netip.PrefixFrom(netip.IPv6Unspecified(), 0), Gateway: gateway}}
	}
	return lease, 0
}

// hold returns how long a usable address is held back for what DHCPv6 may still say.
func (s *search) hold() time.Duration {
	switch {
	case s.asking == all && s.known.managed():
		return holdManaged
	case s.asking == rest && len(s.known.resolvers) > 0:
		return holdMore
	case s.asking == rest:
		return holdInform
	}
	return 0
}

// union returns the elements of both, each once.
func union[T comparable](a, b []T) []T {
	var list []T
	for _, v := range slices.Concat(a, b) {
		if !slices.Contains(list, v) {
			list = append(list, v)
		}
	}
	return list
}
