package fetch

import (
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/decompress"
	"github.com/liveboot/liveboot/pkg/fetch/fetchtest"
	"github.com/liveboot/liveboot/pkg/target"
)

// A failing sink is a device that fails as soon as the reader has nothing left to do but to wait for its server.
type failing struct{ err error }

func (f failing) First([]byte) (int64, error) { return 0, nil }

func (f failing) Write([]byte, int64) error {
	synctest.Wait()
	return f.err
}

func (f failing) Restart(int64) error { return nil }

// booted is the decompressor that a boot uses.
func booted(r io.Reader, _ string) (io.Reader, string, error) {
	d, err := decompress.New(r, decompress.Options{Workers: 2})
	if err != nil {
		return nil, "", err
	}
	return d, d.Format(), nil
}

// TestCopyDeviceFails: the goroutine that writes closes the stream while the one that reads waits for the server, in a decompressor or
// not. It does not take the decompressor away from under it, and neither waits for the server's patience to end.
func TestCopyDeviceFails(t *testing.T) {
	long := noise(9, 3*target.BlockSize)
	packed := gzipped(t, long)
	for _, tt := range []struct {
		name       string
		decompress func(io.Reader, string) (io.Reader, string, error)
		data       []byte
	}{{"plain", nil, long}, {"looked at", booted, long}, {"in place", booted, packed}} {
		t.Run(tt.name, func(t *testing.T) {
			in(t, func(t *testing.T, network *fetchtest.Network) {
				silent := fetchtest.Answer{Break: fetchtest.Silence, At: len(tt.data) * 2 / 3}
				network.Server("h", fetchtest.File{Data: tt.data, ETag: `"one"`}, silent)
				s := source("http://h/image")
				s.Digest = digestOf(tt.data)
				stream, err := Open(t.Context(), s, Environment{connect: network.Dial, Decompress: tt.decompress, Roots: t.TempDir()})
				if err != nil {
					t.Fatal(err)
				}
				began, broken := time.Now(), errors.New("input/output error")
				if _, err := target.Copy(t.Context(), stream, failing{broken}); !errors.Is(err, broken) {
					t.Errorf("Copy = %v, want the device's %v, not what follows from it", err, broken)
				}
				if waited := time.Since(began); waited > 0 {
					t.Errorf("Copy returned %v after the device had failed, want at once", waited)
				}
				if _, err := stream.Read(make([]byte, 1)); !errors.Is(err, errClosed) {
					t.Errorf("Read after Close = %v, want %v", err, errClosed)
				}
				if err := stream.Close(); err != nil {
					t.Errorf("second Close = %v", err)
				}
			})
		})
	}
}

// plenty is a decompressor that has read ahead, and has enough for a while.
func plenty(r io.Reader, _ string) (io.Reader, string, error) {
	go io.Copy(io.Discard, r)
	return endless{}, "plenty", nil
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// TestSettleReadAhead: what a decompressor has got is used while it waits for the server: nothing of it is lent, and settled at once.
func TestSettleReadAhead(t *testing.T) {
	server := fetchtest.New(t, strong, fetchtest.Answer{Break: fetchtest.Silence, At: 300_000})
	s := source(server.Image())
	s.Digest = digestOf(image)
	stream, err := Open(t.Context(), s, Environment{Decompress: plenty, Roots: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	waits := func() bool {
		n, _ := stream.Received()
		free := stream.tap.reading.TryLock()
		if free {
			stream.tap.reading.Unlock()
		}
		return n == 300_000 && !free
	}
	for !waits() {
		<-time.After(time.Millisecond)
	}
	block := make([]byte, 1000)
	if n, err := stream.Lend(block, 0); n != len(block) || err != nil {
		t.Fatalf("Lend = %d, %v", n, err)
	}
	settled := make(chan struct{})
	go func() {
		defer close(settled)
		stream.Settle(block)
	}()
	select {
	case <-settled:
	case <-time.After(DefaultStall / 4):
		t.Error("Settle waits for the server")
	}
}

// TestCloseNewBeginning: a stream is closed while its reader looks at the first bytes of another image.
func TestCloseNewBeginning(t *testing.T) {
	in(t, func(t *testing.T, network *fetchtest.Network) {
		packed, other := gzipped(t, image), gzipped(t, changed.Data)
		server := network.Server("h", fetchtest.File{Data: packed, ETag: `"one"`}, fetchtest.Answer{Break: fetchtest.Reset, At: len(packed) / 2},
			fetchtest.Answer{File: &fetchtest.File{Data: other, ETag: `"two"`}}, fetchtest.Answer{Break: fetchtest.Silence, At: 1})
		c := copied{}
		stream, err := Open(t.Context(), source("http://h/image"), Environment{connect: network.Dial, Decompress: booted, Roots: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- c.readAll(stream) }()
		time.Sleep(DefaultStall / 2) // while the server is silent; what a Wait returns from would be in order with what it waited for
		if n := len(server.Requests()); n != 3 {
			t.Fatalf("%d requests, want a new beginning that is under way", n)
		}
		began := time.Now()
		stream.Close()
		if err := <-ended; !errors.Is(err, errClosed) || c.restarts > 0 {
			t.Errorf("Read of a closed stream = %v after %d new beginnings, want %v after none", err, c.restarts, errClosed)
		}
		if waited := time.Since(began); waited > 0 {
			t.Errorf("Close took %v, want none", waited)
		}
	})
}
