package stream

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/kernel/nbd"
)

// Where the kernel does not let go of the device, that is told, and nothing waits for it.
func TestLetGoFails(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	theirs := os.NewFile(uintptr(fds[1]), "theirs")
	defer theirs.Close()
	s, ctx, _ := start(t, Config{Size: testChunk}, &server{image: pattern(testChunk)}, nil)
	none := &nbd.Device{Path: "/dev/none", Index: 1 << 30, Socket: os.NewFile(uintptr(fds[0]), "ours")} // there are fewer minor numbers
	d := &Device{served: none, serving: new(errgroup.Group)}
	d.serving.Go(func() error { return nbd.Serve(ctx, none.Socket, testChunk, s) })
	if err := d.letGo(); err == nil {
		t.Error("letGo() of what the kernel does not have = nil, want an error")
	}
	if err := d.letGo(); err != nil {
		t.Errorf("letGo() once more = %v, want nil", err)
	}
}

// The device is not moved to a place where the image is not, or no more.
func TestSettleRefuses(t *testing.T) {
	image, place := pattern(4*testChunk), newPlace(4*testChunk)
	s, ctx, _ := start(t, Config{Size: int64(len(image)), Memory: 1}, &server{image: image}, place)
	d := &Device{store: s}
	if err := d.Settle(&DevicePlace{}); err == nil {
		t.Error("Settle() before Fill = nil, want an error")
	}
	if err := s.Fill(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.isComplete(); err != nil {
		t.Errorf("isComplete() after Fill = %v, want nil", err)
	}
	place.mutex.Lock()
	place.read = io.ErrClosedPipe
	place.mutex.Unlock()
	read(t, ctx, s, image, 0, len(image))
	if err := d.Settle(&DevicePlace{}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("Settle() where the place cannot be read = %v, want %v", err, io.ErrClosedPipe)
	}
}

// The digest is that of what is in the place, whatever is in memory, and there is none where that cannot be read.
func TestHashReadsThePlace(t *testing.T) {
	image, place := pattern(4*testChunk+100), newPlace(4*testChunk+100)
	s, ctx, _ := start(t, Config{Size: int64(len(image))}, &server{image: image}, place)
	read(t, ctx, s, image, 0, len(image)) // so that all is in memory
	if err := s.Fill(ctx); err != nil {
		t.Fatal(err)
	}
	place.mutex.Lock()
	place.data[2*testChunk] ^= 1
	place.mutex.Unlock()
	var got bytes.Buffer
	if err := s.Hash(ctx, &got); err != nil || !bytes.Equal(got.Bytes(), place.data[:len(image)]) {
		t.Errorf("Hash() = %v, or did not read what is in the place", err)
	}
	place.mutex.Lock()
	place.read = io.ErrClosedPipe
	place.mutex.Unlock()
	if err := s.Hash(ctx, io.Discard); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("Hash() of a place that cannot be read = %v, want %v", err, io.ErrClosedPipe)
	}
}
