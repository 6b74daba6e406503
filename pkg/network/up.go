package network

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Kernel is what Up needs of the kernel. System is the running one.
type Kernel interface {
	// Watch sends every link that there is and then every change, until ctx ends; then it closes the channel.
	Watch(ctx context.Context) (<-chan Link, error)
	// SetUp makes the link ready to send and receive.
	SetUp(Link) error
	// SetMTU sets the largest packet that the link sends.
	SetMTU(link Link, mtu int) error
	// Configure gives the link the address and the routes of the lease.
	Configure(Link, Lease) error
}

// A Client asks for a lease on a link until it has one or ctx ends. It calls attempt with each try's number, from 1.
type Client func(ctx context.Context, link Link, attempt func(int)) (Lease, error)

// A Connection is a network that is up.
type Connection struct {
	Link  Link
	Lease Lease
	// Warnings tell what of the lease could not be had.
	Warnings []string
}

// Up brings the network up as c says. Its error lists every link with what happened on it.
func Up(ctx context.Context, c Config, kernel Kernel, dhcp Client) (Connection, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	links, err := kernel.Watch(ctx)
	if err != nil {
		return Connection{}, fmt.Errorf("bring up network: %w", err)
	}
	u := &up{
		Config: c, kernel: kernel, dhcp: dhcp,
		states:   make(map[int]*state),
		others:   make(map[string]Link),
		leases:   make(chan result),
		attempts: make(chan attempt),
	}
	conn, err := u.run(ctx, links)
	cancel()
	u.drain(links)
	if err != nil {
		return Connection{}, fmt.Errorf("bring up network: %w", err)
	}
	return conn, nil
}

// up is the work of one call of Up; only its run touches states.
type up struct {
	Config
	kernel   Kernel
	dhcp     Client
	states   map[int]*state
	others   map[string]Link // those that were not asked for
	leases   chan result
	attempts chan attempt
	asking   int // clients that have not answered yet
}

// state is what is known of a link, and what was done with it.
type state struct {
	link     Link
	asking   bool
	attempts int
	err      error
	stop     context.CancelFunc
}

type result struct {
	index int
	lease Lease
	err   error
}

type attempt struct{ index, number int }

func (u *up) run(ctx context.Context, links <-chan Link) (Connection, error) {
	timeouts := u.Timeouts.orDefault()
	timer := time.NewTimer(timeouts.Link)
	defer timer.Stop()
	waiting := "link"
	for {
		select {
		case link, ok := <-links:
			if !ok {
				return Connection{}, errors.Join(ctx.Err(), u.failure("the kernel reports no more links"))
			}
			switch first := u.observe(ctx, link); {
			case first:
				// Each link gets the whole time: the one that matters may be the last to wake up.
				waiting = "lease"
				timer.Reset(timeouts.Lease)
			case len(u.states) > 0 && waiting == "link":
				waiting = "carrier"
				timer.Reset(timeouts.Carrier)
			}
		case a := <-u.attempts:
			u.states[a.index].attempts = a.number
		case r := <-u.leases:
			u.asking--
			s := u.states[r.index]
			s.asking, s.err = false, r.err
			if r.err != nil {
				if errors.Is(r.err, context.Canceled) {
					// It was stopped because the carrier went; meanwhile it may be back.
					u.observe(ctx, s.link)
				}
				continue
			}
			conn, err := u.configure(s.link, r.lease)
			if err != nil {
				s.err = err
				continue
			}
			return conn, nil
		case <-timer.C:
			return Connection{}, u.failure("no " + waiting)
		case <-ctx.Done():
			return Connection{}, errors.Join(ctx.Err(), u.failure("interrupted"))
		}
	}
}

// observe takes note of a link's state and does what follows from it: a new link is set up, on one with carrier a lease is asked for.
// It reports whether that is so for the first time.
func (u *up) observe(ctx context.Context, link Link) (first bool) {
	if !u.Link.Matches(link) {
		u.others[link.Name] = link
		return false
	}
	s := u.states[link.Index]
	if s == nil {
		s = new(state)
		u.states[link.Index] = s
	}
	s.link = link
	if link.Gone || !link.Up || !link.Carrier {
		if s.stop != nil {
			s.stop()
		}
		if !link.Gone && !link.Up {
			s.err = u.kernel.SetUp(link)
		}
		return false
	}
	if s.asking {
		return false
	}
	first = s.stop == nil
	s.asking, s.attempts = true, 0
	u.asking++
	var asked context.Context
	asked, s.stop = context.WithCancel(ctx)
	go u.ask(asked, link)
	return first
}

func (u *up) configure(link Link, lease Lease) (Connection, error) {
	conn := Connection{Link: link, Lease: lease}
	if lease.MTU != 0 {
		// A card that cannot do it reaches the server all the same, or the download says what is wrong.
		if err := u.kernel.SetMTU(link, lease.MTU); err != nil {
			conn.Warnings = append(conn.Warnings, fmt.Sprintf("the MTU of the lease was not set: %v", err))
		}
	}
	return conn, u.kernel.Configure(link, lease)
}

func (u *up) ask(ctx context.Context, link Link) {
	lease, err := u.dhcp(ctx, link, func(number int) { u.attempts <- attempt{link.Index, number} })
	u.leases <- result{link.Index, lease, err}
}

// drain waits until everything that Up started has ended.
func (u *up) drain(links <-chan Link) {
	for u.asking > 0 {
		select {
		case <-u.attempts:
		case <-u.leases:
			u.asking--
		}
	}
	for range links {
	}
}

// failure says what was missing and how far each link got.
func (u *up) failure(what string) error {
	if len(u.states) == 0 {
		if u.Link != (Selector{}) {
			names := make([]string, 0, len(u.others))
			for _, name := range slices.Sorted(maps.Keys(u.others)) {
				names = append(names, fmt.Sprintf("%s (%v)", name, u.others[name].MAC))
			}
			return fmt.Errorf("%s: there is no link %v, but these: %s", what, u.Link, cmp.Or(strings.Join(names, ", "), "none"))
		}
		return fmt.Errorf("%s: the kernel found no network card", what)
	}
	states := make([]*state, 0, len(u.states))
	for _, s := range u.states {
		states = append(states, s)
	}
	slices.SortFunc(states, func(a, b *state) int { return strings.Compare(a.link.Name, b.link.Name) })
	lines := make([]string, len(states))
	for i, s := range states {
		lines[i] = fmt.Sprintf("%s (%v): %s", s.link.Name, s.link.MAC, s.story())
	}
	return fmt.Errorf("%s: %s", what, strings.Join(lines, "; "))
}

func (s *state) story() string {
	switch {
	case s.link.Gone:
		return "removed"
	case s.asking && s.attempts == 1:
		return "no answer to 1 DHCP request"
	case s.asking:
		return fmt.Sprintf("no answer to %d DHCP requests", s.attempts)
	case s.err != nil && !errors.Is(s.err, context.Canceled):
		return s.err.Error()
	case !s.link.Carrier:
		return "no carrier (cable, switch port)"
	}
	return "not tried"
}
