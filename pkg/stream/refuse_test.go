package stream

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Reads of what is not there fail while they are refused, those that waited already among them, and at no other time; what is there is read
// all the same.
func TestRefuse(t *testing.T) {
	for _, lazy := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			image := pattern(3 * testChunk)
			var down atomic.Bool
			source := &server{image: image, before: func(context.Context, []byte, int64) error {
				if down.Load() {
					return errors.New("no server")
				}
				return nil
			}}
			var place Place
			if !lazy {
				place = newPlace(len(image))
			}
			heard := new(events)
			s, ctx, stop := start(t, Config{Size: int64(len(image)), Report: heard.report}, source, place)
			defer stop()
			read(t, ctx, s, image, 0, testChunk)
			down.Store(true)
			waiting := make(chan error, 1)
			ask := func() { waiting <- s.Await(ctx, testChunk, testChunk) }
			go ask()
			time.Sleep(time.Hour)
			synctest.Wait()
			select {
			case err := <-waiting:
				t.Fatalf("a read ended with %v, and nobody refused it", err)
			default:
			}

			over := errors.New("over")
			s.Refuse(func() error { return over })
			refused := time.Now()
			s.Refuse(func() error { return over })
			if err := <-waiting; err != over {
				t.Errorf("a read that waited ends with %v, want %v", err, over)
			}
			if err := s.ReadAt(ctx, make([]byte, 1), 2*testChunk); err != over {
				t.Errorf("a read that begins ends with %v, want %v", err, over)
			}
			if got := s.Want().Refused; !got.Equal(refused) {
				t.Errorf("a read was refused last at %v, want %v", got, refused)
			}
			read(t, ctx, s, image, 0, testChunk)
			if got := heard.kinds(); len(got) != 1 || got[0] != "stream.Waiting" {
				t.Errorf("reported %q, want that somebody waits, and not that it goes on", got)
			}

			time.Sleep(time.Second)
			s.Refuse(func() error { return nil })
			go ask()
			time.Sleep(time.Minute)
			if got := s.Want().Refused; !got.Equal(refused) {
				t.Errorf("with a read that was spared, one was refused last at %v, want %v", got, refused)
			}
			s.Refuse(nil)
			go ask()
			time.Sleep(time.Minute)
			down.Store(false)
			for range 2 {
				if err := <-waiting; err != nil {
					t.Errorf("a read that was not refused any more ends with %v", err)
				}
			}
			read(t, ctx, s, image, 0, len(image))
		})
	}
}

// It is known for how long those wait who get nothing.
func TestWant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		image := pattern(4 * testChunk)
		held := map[int64]chan struct{}{testChunk: make(chan struct{}), 2 * testChunk: make(chan struct{})}
		source := &server{image: image, before: func(ctx context.Context, _ []byte, offset int64) error {
			if gate := held[offset]; gate != nil {
				<-gate
			}
			return nil
		}}
		s, ctx, stop := start(t, Config{Size: int64(len(image)), Connections: 4}, source, newPlace(len(image)))
		defer stop()
		began := time.Now()
		want := func(since, served time.Duration) {
			t.Helper()
			synctest.Wait()
			at := func(d time.Duration) time.Time {
				if d < 0 {
					return time.Time{}
				}
				return began.Add(d)
			}
			if got, want := s.Want(), (Want{Since: at(since), Served: at(served)}); got != want {
				t.Errorf("after %v Want() = %v, want %v", time.Since(began), got, want)
			}
		}
		want(-1, -1)
		time.Sleep(time.Second)
		read(t, ctx, s, image, 0, 1)
		want(-1, time.Second)
		go s.Await(ctx, testChunk, 1)
		time.Sleep(time.Second)
		go s.Await(ctx, 2*testChunk, 1)
		time.Sleep(time.Second)
		want(time.Second, time.Second)
		close(held[testChunk])
		want(time.Second, 3*time.Second)
		time.Sleep(time.Second)
		close(held[2*testChunk])
		want(-1, 4*time.Second)
	})
}
