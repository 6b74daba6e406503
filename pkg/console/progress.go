package console

import (
	"fmt"
	"time"
)

const (
	// A screen is rewritten often enough to look alive, a log gets a line every few seconds.
	screenInterval = 200 * time.Millisecond
	logInterval    = 5 * time.Second
	// The rate is that of about the last seconds, so that a stall shows.
	rateWindow = 3 * time.Second
)

// progress is the state of the line of a transfer.
type progress struct {
	active     bool
	shown      map[int]bool // terminals with a line that can be rewritten
	lastScreen time.Duration
	lastLog    time.Duration
	began      time.Duration
	rate       float64 // bytes a second
	sample     int64
	sampled    time.Duration
}

// Progress tells how far a transfer is: done of size bytes, -1 if unknown. It may be called as often as one likes: it
// writes when it is time to.
func (c *Console) Progress(stage string, done, size int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, now := &c.progress, c.now()
	if !p.active {
		*p = progress{active: true, shown: make(map[int]bool), began: now, sampled: now, lastLog: now, sample: done}
		return
	}
	p.measure(now, done)
	screen, log := now-p.lastScreen >= screenInterval, now-p.lastLog >= logInterval
	if !screen && !log {
		return
	}
	text := "liveboot: " + stage + ": " + p.text(now, done, size)
	for i, t := range c.terminals {
		switch {
		case t.InPlace && screen:
			fmt.Fprintf(t, "\r%s %s\x1b[K", stamp(now), text)
			p.shown[i] = true
		case !t.InPlace && log:
			fmt.Fprintf(t, "%s %s\r\n", stamp(now), text)
		}
	}
	if screen {
		p.lastScreen = now
	}
	if log {
		p.lastLog = now
	}
}

// ProgressDone ends the transfer's line; the next transfer begins its own.
func (c *Console) ProgressDone() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, t := range c.terminals {
		fmt.Fprint(t, c.progress.clear(i))
	}
	c.progress = progress{}
}

// clear returns what makes room for a line on terminal i.
func (p *progress) clear(i int) string {
	if !p.shown[i] {
		return ""
	}
	p.shown[i] = false
	return "\r\x1b[K"
}

// measure keeps the rate up to date: an average in which older samples count less and less. A transfer that began anew has none.
func (p *progress) measure(now time.Duration, done int64) {
	if done < p.sample {
		p.rate, p.sample, p.sampled = 0, done, now
	}
	elapsed := now - p.sampled
	if elapsed < screenInterval {
		return
	}
	rate := float64(done-p.sample) / elapsed.Seconds()
	if p.rate == 0 {
		p.rate = rate
	} else {
		weight := min(1, elapsed.Seconds()/rateWindow.Seconds())
		p.rate += weight * (rate - p.rate)
	}
	p.sample, p.sampled = done, now
}

// slowest in bytes per second is the rate below which nothing can be said of the time that is left: the average of what came before a
// server fell silent only falls little by little.
const slowest = 1 << 10

func (p *progress) text(now time.Duration, done, size int64) string {
	const mib = 1 << 20
	rate := fmt.Sprintf("%.1f MiB/s", p.rate/mib)
	if size <= 0 {
		return fmt.Sprintf("%.1f MiB, %s, size unknown, %s so far", float64(done)/mib, rate, (now - p.began).Round(time.Second))
	}
	left := "stalled"
	if p.rate >= slowest {
		left = time.Duration(float64(size-done)/p.rate*float64(time.Second)).Round(time.Second).String() + " left"
	}
	return fmt.Sprintf("%3d %% (%.1f of %.1f MiB), %s, %s", 100*done/size, float64(done)/mib, float64(size)/mib, rate, left)
}
