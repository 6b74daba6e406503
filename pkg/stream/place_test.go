package stream

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/kernel/block"
	"github.com/liveboot/liveboot/pkg/needs"
)

// place opens a DevicePlace on a file, where the file system can be read directly.
func place(t *testing.T, size, offset int64) *DevicePlace {
	t.Helper()
	file := filepath.Join(t.TempDir(), "device")
	if err := os.WriteFile(file, make([]byte, offset+size), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := OpenPlace(file, offset)
	needs.That(t, !errors.Is(err, unix.EINVAL), "a file system with O_DIRECT in TMPDIR")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// Whatever is read, from whatever memory, is what was written.
func TestDevicePlace(t *testing.T) {
	const size, offset = 1 << 20, 8192
	p := place(t, size, offset)
	image, err := block.Buffer(size)
	if err != nil {
		t.Fatal(err)
	}
	defer block.Free(image)
	copy(image, pattern(size))
	for at := int64(0); at < size; at += 64 << 10 {
		if _, err := p.WriteAt(image[at:at+64<<10], at); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Sync(); err != nil {
		t.Fatal(err)
	}
	to, err := block.Buffer(size)
	if err != nil {
		t.Fatal(err)
	}
	defer block.Free(to)
	for i := range 300 {
		at, n, shift := rand.IntN(size), rand.IntN(300<<10), 0
		switch i % 3 {
		case 0: // whole pages into whole pages
			at, n = at/4096*4096, n/4096*4096
		case 1: // whole sectors into any memory
			at, n, shift = at/512*512, n/512*512, rand.IntN(4096)
		}
		n = min(n, size-at, size-shift)
		b := to[shift : shift+n]
		if got, err := p.ReadAt(b, int64(at)); err != nil || got != n || !bytes.Equal(b, image[at:at+n]) {
			t.Errorf("ReadAt(%d bytes at %d, to %d) = %d, %v, want what was written", n, at, shift, got, err)
		}
	}
	b := make([]byte, 100)
	if n, err := p.ReadAt(b, size-10); n != 10 || !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		t.Errorf("ReadAt() over the end = %d, %v, want 10 bytes and the end", n, err)
	}
}

func TestOpenPlaceRefuses(t *testing.T) {
	if _, err := OpenPlace("/dev/null", 512); err == nil {
		t.Error("OpenPlace() with an offset within a page = nil, want an error")
	}
	if _, err := OpenPlace(filepath.Join(t.TempDir(), "nothing"), 0); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("OpenPlace() of nothing = %v, want %v", err, os.ErrNotExist)
	}
}

// A Store over a real file is complete, and the same, in the end.
func TestFillDevice(t *testing.T) {
	image := pattern(1<<20 + 12345)
	p := place(t, (int64(len(image))+4095)/4096*4096, 4096)
	s, ctx, _ := start(t, Config{Size: int64(len(image))}, &server{image: image}, p)
	if err := s.Fill(ctx); err != nil {
		t.Fatal(err)
	}
	s.forget()
	for at := 0; at < len(image); at += 70001 {
		read(t, ctx, s, image, at, min(100000, len(image)-at))
	}
}
