package stream

import (
	"time"

	"github.com/liveboot/liveboot/pkg/kernel/block"
)

const (
	// pieceTime is for how long a request that nobody waits for occupies the line, beside the time in which it travels, so that whoever comes
	// then waits no longer; and pieceLeast the smallest one in bytes that is worth a request, pieceMost the largest.
	pieceTime  = 100 * time.Millisecond
	pieceLeast = 64 << 10
	pieceMost  = 16 << 20
	// far is how long a server takes to answer that is far away: more than any on the same network that is not overloaded.
	far = 20 * time.Millisecond
	// telling is how many bytes must come one after the other to tell how fast they do.
	telling = 32 << 10
)

// line is what is known of the way to the source.
type line struct {
	// latency is from a request to the first byte of the answer, the least of the last ones; 0 while it is not known.
	latency time.Duration
	// speed is that of a connection from the first byte on, in bytes per second; 0 while it is not known.
	speed float64
}

// answered takes note of the time from a request to its first bytes. A busy server that takes long for once says nothing about the line, but
// one that never is any faster does in the end.
func (l *line) answered(after time.Duration) {
	if l.latency == 0 || after < l.latency {
		l.latency = after
	}
	l.latency += min(after-l.latency, l.latency) / 32
}

// brought takes note of how long bytes took that came one after the other.
func (l *line) brought(n int64, took time.Duration) {
	if n < telling || took <= 0 {
		return
	}
	// What comes at once may have been waiting at the end of a slow line, so requests become twice as long at most from one to the next.
	had := max(l.speed, pieceLeast/pieceTime.Seconds())
	l.speed = (had + min(float64(n)/took.Seconds(), 3*had)) / 2
}

// piece is how many bytes one request may ask for that nobody waits for: where the way is long, it is worth more of the line's time.
func (l *line) piece() int64 {
	n := int64(min(l.speed*(pieceTime+l.latency).Seconds(), pieceMost))
	return max(n/block.Alignment*block.Alignment, pieceLeast)
}

// free is how many bytes come in the time that a request takes to be answered.
func (l *line) free() int64 { return int64(l.speed * l.latency.Seconds()) }
