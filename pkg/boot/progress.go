package boot

import (
	"sync"
	"time"

	"github.com/liveboot/liveboot/pkg/plan"
)

// progressInterval is how often the console is told how far the download is, whether something arrived or not: it is the silence of a
// server that a person wants to see.
const progressInterval = 200 * time.Millisecond

// showProgress tells the console how far a stage is until stop is called. received returns how much there is, and of how much (or -1).
func (b *run) showProgress(stage plan.Stage, received func() (n, size int64)) (stop func()) {
	end := make(chan struct{})
	var shown sync.WaitGroup
	shown.Go(func() {
		tick := time.NewTicker(progressInterval)
		defer tick.Stop()
		for {
			n, size := received()
			b.ui.Progress(string(stage), n, size)
			select {
			case <-tick.C:
			case <-end:
				return
			}
		}
	})
	return func() {
		close(end)
		shown.Wait()
		b.ui.ProgressDone()
	}
}
