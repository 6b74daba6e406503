package fetch

import (
	"context"
	"time"
)

// A guard gives a connection up whose server sends too little. Only the time counts in which the server is waited for, not that
// in which the reader is busy with what came.
type guard struct {
	window time.Duration
	limit  int64 // bytes per second; 0: any byte will do

	timer  *time.Timer
	began  time.Time
	waited time.Duration // in this window, before began
	got    int64         // bytes in this window
	total  time.Duration // waited, in all
}

// newGuard calls cancel with a *StallError when less than limit arrives within window. It does not run yet.
func newGuard(window time.Duration, limit int64, cancel context.CancelCauseFunc) *guard {
	g := &guard{window: window, limit: limit}
	g.timer = time.AfterFunc(window, func() { cancel(&StallError{For: window, Limit: limit}) })
	g.timer.Stop()
	return g
}

// start is called before the server is waited for.
func (g *guard) start() {
	g.began = time.Now()
	g.timer.Reset(g.window - g.waited)
}

// stop is called when n bytes came.
func (g *guard) stop(n int) {
	g.timer.Stop()
	took := time.Since(g.began)
	g.waited += took
	g.total += took
	g.got += int64(n)
	if enough := max(1, int64(float64(g.limit)*g.window.Seconds())); g.got >= enough || g.waited >= g.window {
		g.waited, g.got = 0, 0
	}
}
