package fetch

import (
	"context"
	"sync"
	"time"
)

// A pacer bounds the rate of one connection, or of several together. The nil pacer bounds nothing.
type pacer struct {
	rate  int64 // bytes per second
	part  int   // bytes that may be read at a time
	began time.Time

	mutex sync.Mutex
	got   int64 // bytes
}

// paceParts is in how many parts the bytes of a second are read, so that the network sees a steady rate.
const paceParts = 20

// newPacer returns nil for the rate 0.
func newPacer(rate int64) *pacer {
	if rate <= 0 {
		return nil
	}
	return &pacer{rate: rate, part: int(max(1, rate/paceParts)), began: time.Now()}
}

// wait waits until the bytes that were read have taken their time.
func (p *pacer) wait(ctx context.Context) error {
	p.mutex.Lock()
	due := p.began.Add(time.Duration(float64(p.got) / float64(p.rate) * float64(time.Second)))
	p.mutex.Unlock()
	if wait := time.Until(due); wait > 0 {
		return sleep(ctx, wait)
	}
	return nil
}

// read takes note of n bytes.
func (p *pacer) read(n int) {
	if p == nil {
		return
	}
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.got += int64(n)
}
