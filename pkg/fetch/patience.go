package fetch

import (
	"math/rand/v2"
	"time"
)

// Patience says for how long, and how often, a source is tried. A server that has answered once is tried for ever: it is there, and
// what ails it passes. The zero Patience is the defaults.
type Patience struct {
	// Silent is how long a server is tried that has never answered; 0 means DefaultSilent, negative for ever.
	Silent time.Duration
	// Unknown is how long a server is tried whose name nobody knows; 0 means DefaultUnknown, negative for ever.
	Unknown time.Duration
	// Delay is the wait after the first round of attempts in which nothing arrived. It doubles from round to round, up to MaxDelay, and each
	// wait is shortened by a random part of up to a half, so that a hall full of machines does not come back at once. 0 means DefaultDelay
	// and DefaultMaxDelay.
	Delay, MaxDelay time.Duration
}

// Defaults of Patience.
const (
	// DefaultSilent outlasts the restart of a server's program and of most switches. After it the machine reboots and tries again.
	DefaultSilent = 3 * time.Minute
	// DefaultUnknown outlasts the start of a resolver. A name that was mistyped stays unknown.
	DefaultUnknown = 30 * time.Second
	// DefaultDelay is short: most interruptions are.
	DefaultDelay = time.Second
	// DefaultMaxDelay is how long at most a server is back before it is noticed.
	DefaultMaxDelay = 30 * time.Second
	// MaxRetryAfter is the longest wait that a server can ask for (Retry-After).
	MaxRetryAfter = 5 * time.Minute
)

func (p Patience) withDefaults() Patience {
	for _, d := range []struct {
		to    *time.Duration
		value time.Duration
	}{{&p.Silent, DefaultSilent}, {&p.Unknown, DefaultUnknown}, {&p.Delay, DefaultDelay}, {&p.MaxDelay, DefaultMaxDelay}} {
		if *d.to == 0 {
			*d.to = d.value
		}
	}
	return p
}

// delay returns the wait after round, the first of which is 1.
func (p Patience) delay(round int) time.Duration {
	d := min(p.Delay, p.MaxDelay)
	for range round - 1 {
		if d = min(2*d, p.MaxDelay); d == p.MaxDelay {
			break
		}
	}
	return d - time.Duration(rand.Int64N(int64(d)/2+1))
}

// over reports whether something that began since, and may last for limit, has lasted too long.
func over(limit time.Duration, since time.Time) bool { return limit >= 0 && time.Since(since) >= limit }
