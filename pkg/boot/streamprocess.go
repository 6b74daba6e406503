package boot

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/liveboot/liveboot/pkg/fetch"
	"github.com/liveboot/liveboot/pkg/stream/daemon"
)

// job is what the streaming process is to do, but for where the image is to be complete.
func (b *run) job(image *remote) daemon.Job {
	source := image.source
	source.Signature, source.Digest = nil, image.digest
	job := daemon.Job{Source: source, Mapped: streamed, Rate: b.plan.Stream.Rate, Reboot: b.plan.Stream.Reboot}
	if image.chunks != nil {
		job.Chunks = image.chunks.file
	}
	return job
}

// stream starts the streaming process and waits until its device is there. It returns nil where there can be none.
func (b *run) stream(ctx context.Context, job daemon.Job) (*daemon.Ready, error) {
	for _, module := range daemon.Modules() {
		if err := b.modules.LoadWith(module.Name, module.Parameters); err != nil {
			return nil, b.cannotStream(err)
		}
	}
	process, err := b.StartStream(job)
	if err != nil {
		return nil, b.cannotStream(err)
	}
	stop := context.AfterFunc(ctx, func() { _ = process.Kill() }) // its end shows below
	defer stop()
	for {
		m, err := process.Receive()
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case errors.Is(err, io.EOF):
			err = errors.New("it ended early")
			fallthrough
		case err != nil:
			return nil, errors.Join(b.cannotStream(fmt.Errorf("the streaming process: %w", err)), process.Close())
		case m.Failed != "":
			return nil, errors.Join(b.cannotStream(errors.New(m.Failed)), process.Close())
		case m.Event != "":
			b.tellStream(m)
		case m.Ready != nil:
			b.streaming = process
			b.background.Go(b.tellStreaming)
			return m.Ready, nil
		}
	}
}

// tellStreaming tells people what happens to the stream while the boot goes on.
func (b *run) tellStreaming() {
	for {
		m, err := b.streaming.Receive()
		if err != nil {
			return // the boot lets go of it, or it ended, and told the kernel's log
		}
		b.tellStream(m)
		if m.Mismatch != nil {
			b.mu.Lock()
			b.mismatch = m.Mismatch
			b.mu.Unlock()
		}
	}
}

func (b *run) tellStream(m daemon.Message) {
	switch {
	case m.Event == "":
	case m.Loud:
		b.ui.Warnf("%s", m.Event)
	default:
		b.ui.Debugf("%s", m.Event)
	}
}

// verifiedSoFar returns what is known to be wrong with the image that is streamed, a *fetch.DigestError: a small one may all be there.
func (b *run) verifiedSoFar() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mismatch == nil {
		return nil
	}
	return &fetch.DigestError{Want: b.mismatch.Want, Got: b.mismatch.Got}
}

// streams tells what became of a job.
func (b *run) streams(ready *daemon.Ready, job daemon.Job) string {
	b.report.Device = ready.Device
	b.report.Stream = &StreamReport{Into: job.Device, Verified: "no"}
	verified := "unverified"
	switch {
	case len(job.Chunks) > 0:
		verified, b.report.Stream.Verified = "each part verified", "chunks"
	case job.Source.Digest != (fetch.Digest{}) && job.Device != "":
		verified, b.report.Stream.Verified = "verified at the end", "end"
	}
	b.report.Image.Digest = ""
	what := fmt.Sprintf("%s shows the image while it streams to %s, %s", ready.Device, job.Device, verified)
	if job.Device == "" {
		what = fmt.Sprintf("%s shows the image, of which only what is asked for is fetched, %s: the server is needed as long as the machine runs", ready.Device, verified)
	}
	return what
}

// rootMounted lets the streaming process fetch what nobody waits for.
func (b *run) rootMounted() {
	if b.streaming == nil {
		return
	}
	if err := b.streaming.Send(daemon.Command{Fill: true}); err != nil {
		b.ui.Warnf("%v", err)
	}
}
