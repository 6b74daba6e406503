package stream

import (
	"testing"
	"testing/synctest"
	"time"
)

// Fill leaves a system alone that starts: it reads something new every few seconds, and calculates in between. What has started gets its
// image, and so does what reads for ever.
func TestFillLeavesTheStart(t *testing.T) {
	for _, tt := range []struct {
		name  string
		reads int
		// from and to are when the image is complete.
		from, to time.Duration
	}{
		{"nothing is read", 0, 0, time.Second},
		{"starts quickly", 5, 8*time.Second + calm, 10*time.Second + calm},
		{"starts slowly", 20, 50 * time.Second, 52 * time.Second},
		{"reads for ever", 1000, startup, startup + time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				image := pattern(4000 * testChunk)
				s, ctx, stop := start(t, Config{Size: int64(len(image)), Ahead: -1}, &server{image: image}, newPlace(len(image)))
				defer stop()
				if tt.reads > 0 {
					read(t, ctx, s, image, 0, testChunk) // Fill may come before the first one below
				}
				began := time.Now()
				var complete time.Duration
				filled := make(chan error, 1)
				go func() {
					err := s.Fill(ctx)
					complete = time.Since(began)
					filled <- err
				}()
				for i := range tt.reads {
					if st := s.Stats(); st.Present == st.Size {
						break
					}
					read(t, ctx, s, image, (i*997)%4000*testChunk, testChunk)
					if err := sleep(ctx, 2*time.Second); err != nil {
						t.Fatal(err)
					}
				}
				if err := <-filled; err != nil {
					t.Fatal(err)
				}
				if complete < tt.from || complete > tt.to {
					t.Errorf("the image was complete after %v, want %v to %v", complete, tt.from, tt.to)
				}
			})
		})
	}
}
