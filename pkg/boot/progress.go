package boot

import (
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/liveboot/liveboot/pkg/plan"
)

// progressInterval is how often the console is told how far the download is, whether something arrived or not: it is the silence of a
// server that a person wants to see.
const progressInterval = 200 * time.Millisecond

// showProgress tells the console of the download until stop is called.
func (b *run) showProgress(done *atomic.Int64) (stop func()) {
	end := make(chan struct{})
	var shown sync.WaitGroup
	shown.Go(func() {
		tick := time.NewTicker(progressInterval)
		defer tick.Stop()
		for {
			b.ui.Progress(string(plan.Fetch), done.Load(), b.report.Image.Size)
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

// countingReader counts what is read.
type countingReader struct {
	io.Reader
	n atomic.Int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	return n, err
}
