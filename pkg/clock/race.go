package clock

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// stagger is how long a server is alone before the next one is asked too. An answer over the internet takes half of it.
const stagger = 250 * time.Millisecond

// errNoServer says that DHCP named no server and nobody else did.
var errNoServer = errors.New("no NTP server is known")

// A query asks a server what time it is, at the moment when it returns.
type query func(ctx context.Context, server netip.Addr) (time.Time, error)

// first asks the servers one after the other, without waiting long for any, and returns the first good answer. The next server is asked
// at once where one has failed.
func first(ctx context.Context, servers []netip.Addr, ask query) (netip.Addr, time.Time, error) {
	if len(servers) == 0 {
		return netip.Addr{}, time.Time{}, errNoServer
	}
	type answer struct {
		server netip.Addr
		now    time.Time
		err    error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan answer, len(servers))
	waiting := servers
	next := func() {
		if len(waiting) == 0 {
			return
		}
		server := waiting[0]
		waiting = waiting[1:]
		go func() {
			now, err := ask(ctx, server)
			answers <- answer{server, now, err}
		}()
	}
	ticker := time.NewTicker(stagger)
	defer ticker.Stop()
	next()
	var errs []error
	for len(errs) < len(servers) {
		select {
		case a := <-answers:
			if a.err == nil {
				return a.server, a.now, nil
			}
			if ctx.Err() != nil {
				continue // it failed because of that; the other case says why
			}
			errs = append(errs, fmt.Errorf("NTP server %s: %w", a.server, a.err))
			ticker.Reset(stagger)
			next()
		case <-ticker.C:
			next()
		case <-ctx.Done():
			return netip.Addr{}, time.Time{}, errors.Join(append(errs, context.Cause(ctx))...)
		}
	}
	return netip.Addr{}, time.Time{}, errors.Join(errs...)
}
