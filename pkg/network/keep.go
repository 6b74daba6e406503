package network

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// minRetry is the shortest time between two tries to renew a lease. RFC 2131, section 4.4.5, has a minute, which a lease of seconds does not have.
const minRetry = time.Second

// confirmTimeout is how long a server is asked whether the lease still holds after the carrier was away.
const confirmTimeout = 5 * time.Second

// keep renews the lease when its time comes, and returns the last one and why it was lost. A lease for ever, and what the kernel looks after, needs nothing.
func (s *session) keep(ctx context.Context, lease Lease, lost <-chan error) (Lease, error) {
	for {
		var due, expiry <-chan time.Time
		t := timesOf(lease)
		if t.limited {
			due, expiry = time.After(time.Until(t.renew)), time.After(time.Until(t.expire))
		}
		select {
		case err := <-lost:
			return lease, err
		case <-ctx.Done():
			return lease, ctx.Err()
		case <-expiry:
			return lease, errExpired
		case done := <-s.behind:
			s.remove(lease)
			lease.Behind = true
			err := s.network.env.Kernel.Configure(ctx, s.on, lease)
			done()
			if err != nil {
				return lease, err
			}
			s.tell(ctx, false, func(s *session) { s.lease = &lease })
		case <-s.carrier:
			if s.method == Static || lease.FromKernel {
				continue
			}
			// It may be another network now. Who does not answer may be asleep still.
			renewed, err := s.renew(ctx, lease, true, time.Now().Add(confirmTimeout))
			if errors.Is(err, ErrLost) {
				return lease, err
			}
			if err == nil {
				lease = renewed
			}
		case <-due:
			renewed, err := s.prolong(ctx, lease, t)
			if err != nil {
				return lease, err
			}
			lease = renewed
		}
	}
}

var errExpired = errors.New("the lease ran out, and no server renewed it")

// times of a lease, see RFC 2131, section 4.4.5.
type times struct {
	limited               bool
	renew, rebind, expire time.Time
}

func timesOf(l Lease) times {
	if l.Valid == 0 || l.FromKernel {
		return times{}
	}
	renew, rebind := l.Renew, l.Rebind
	if rebind == 0 || rebind > l.Valid {
		rebind = l.Valid * 7 / 8
	}
	if renew == 0 || renew > rebind {
		renew = min(l.Valid/2, rebind)
	}
	return times{true, l.Since.Add(renew), l.Since.Add(rebind), l.Since.Add(l.Valid)}
}

// prolong asks the lease's server until t.rebind, and then any server until t.expire.
func (s *session) prolong(ctx context.Context, lease Lease, t times) (Lease, error) {
	for {
		now := time.Now()
		rebind, until := false, t.rebind
		if !now.Before(t.rebind) {
			rebind, until = true, t.expire
		}
		if !now.Before(t.expire) {
			return lease, errExpired
		}
		renewed, err := s.renew(ctx, lease, rebind, until)
		if err == nil || errors.Is(err, ErrLost) || ctx.Err() != nil {
			return renewed, err
		}
		s.report(false, "the lease was not renewed yet: %v", err)
		pause(ctx, min(max(time.Until(until)/2, minRetry), max(time.Until(until), 0)))
	}
}

// renew asks once, and gives the link what comes of it.
func (s *session) renew(ctx context.Context, lease Lease, rebind bool, until time.Time) (Lease, error) {
	bounded, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	renewed, err := s.network.env.Clients[s.method].Renew(bounded, s.on, lease, rebind)
	if err != nil {
		return lease, err
	}
	renewed = s.complete(renewed)
	if renewed.Address != lease.Address {
		s.remove(lease)
	}
	if err := s.network.env.Kernel.Configure(ctx, s.on, renewed); err != nil {
		return lease, fmt.Errorf("%w: %w", ErrLost, err)
	}
	s.report(false, "lease of %v renewed for %v", renewed.Address, renewed.Valid)
	s.tell(ctx, false, func(s *session) { s.lease = &renewed })
	return renewed, nil
}
