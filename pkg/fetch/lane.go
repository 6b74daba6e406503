package fetch

import (
	"errors"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/wire"
)

// A lane is one of several connections.
type lane struct {
	*lanes
	session wire.Session
}

// run reads pieces. After something went wrong the lane rests for as long as a download waits, or the server asks for; if it will go wrong
// again it ends.
func (l *lane) run() {
	defer l.session.Close() // nothing is lost with it
	for round := 0; ; {
		p := l.take()
		if p == nil {
			return
		}
		err := l.fetch(p)
		if err != nil {
			l.volunteer(-1)
		}
		l.leave(p)
		switch {
		case err == nil:
			round = 0
			continue
		case useless(err):
			return
		}
		_ = l.session.Close() // a connection on which something went wrong is not asked again
		round++
		if sleep(l.ctx, l.rest(round, err)) != nil {
			return
		}
		l.volunteer(1)
	}
}

// useless reports whether a lane will never get anything: the server wants no more connections, knows no ranges, or has another file there.
func useless(err error) bool {
	var changed *ChangedError
	var wrong *wire.RangeError
	return errors.As(err, &changed) || errors.As(err, &wrong) || judge(err) == permanent
}

// rest returns how long to leave the server alone.
func (l *lane) rest(round int, err error) time.Duration {
	delay := l.options.RetryDelay
	if delay == 0 {
		delay = l.patience.delay(round)
	}
	var delayed interface{ RetryAfter() time.Duration }
	if errors.As(err, &delayed) {
		delay = max(delay, min(delayed.RetryAfter(), MaxRetryAfter))
	}
	return delay
}

// fetch reads what is missing of a piece. A connection that breaks after it brought something is taken up once, at once.
func (l *lane) fetch(p *piece) error {
	had := p.filled
	err := l.fill(p)
	if err != nil && p.filled > had && !useless(err) {
		_ = l.session.Close()
		err = l.fill(p)
	}
	return err
}

// fill reads what is missing of a piece, by one request.
func (l *lane) fill(p *piece) error {
	asked := wire.Position{Offset: p.offset + int64(p.filled), Length: int64(len(p.buffer) - p.filled), Validator: l.validator}
	options := l.options
	options.SpeedLimit = l.least()
	q := request{session: l.session, options: options, pacer: l.pacer, check: l.check, arrived: func(n int) bool { return l.arrived(p, n) }}
	return q.fill(l.ctx, asked, func() ([]byte, error) { return p.buffer[p.filled:], nil })
}

// check tells whether an answer is of the image that is being read.
func (l *lanes) check(b *wire.Body, offset int64) error {
	return sameFile(b, offset, l.size, l.validator, l.digest)
}
