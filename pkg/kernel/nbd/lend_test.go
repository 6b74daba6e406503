package nbd

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// lender is an image that lends pieces of a page, but nothing that begins in its first page.
type lender struct {
	image
	mutex sync.Mutex
	lent  int // that were not released
	read  int // bytes that were copied
}

func (l *lender) Lend(offset, length int64) (parts [][]byte, release func()) {
	if offset < page {
		return nil, nil
	}
	for end := offset + length; offset < end; {
		next := min(offset/page*page+page, end)
		parts = append(parts, l.data[offset:next])
		offset = next
	}
	l.count(1, 0)
	return parts, sync.OnceFunc(func() { l.count(-1, 0) })
}

func (l *lender) ReadAt(ctx context.Context, p []byte, offset int64) error {
	l.count(0, len(p))
	return l.image.ReadAt(ctx, p, offset)
}

// count adds to what was counted, and returns it.
func (l *lender) count(lent, read int) (allLent, allRead int) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.lent += lent
	l.read += read
	return l.lent, l.read
}

// What is in memory is sent from there, through a socket of the kernel's that has room for a part of an answer only.
func TestServeLent(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.SetsockoptInt(fds[0], unix.SOL_SOCKET, unix.SO_SNDBUF, 8<<10); err != nil {
		t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "theirs")
	l := &lender{image: image{data: pattern(1 << 20)}}
	done := make(chan error, 1)
	go func() { done <- Serve(t.Context(), ours, int64(len(l.data)), l) }()
	k := &kernel{theirs, t}
	for _, tt := range []struct {
		offset, length, copied int
	}{
		{page, 512, 0}, {page + 512, 3*page + 1024, 0}, {page, 1<<20 - page, 0}, {0, 512, 512}, {512, 600 << 10, 600 << 10},
	} {
		_, before := l.count(0, 0)
		k.ask(commandRead, 7, uint64(tt.offset), uint32(tt.length))
		got := k.reply(tt.length)
		if want := l.data[tt.offset : tt.offset+tt.length]; got.Handle != 7 || got.Code != 0 || !bytes.Equal(got.Data, want) {
			t.Errorf("the reply to %d bytes at %d is of %d bytes, and not those of the image", tt.length, tt.offset, len(got.Data))
		}
		if _, after := l.count(0, 0); after-before != tt.copied {
			t.Errorf("%d bytes at %d: %d were copied, want %d", tt.length, tt.offset, after-before, tt.copied)
		}
	}
	if err := theirs.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("Serve() = %v, want nil", err)
	}
	if lent, _ := l.count(0, 0); lent != 0 {
		t.Errorf("%d loans were not given back", lent)
	}
}

// One large answer does not hold its memory for ever.
func TestBufferShrinks(t *testing.T) {
	var b buffer
	for _, length := range []int{512, kept, kept + 1, maxLength} {
		data, err := b.data(length)
		if err != nil || len(data) != length {
			t.Fatalf("data(%d) = %d bytes, %v", length, len(data), err)
		}
		b.shrink()
		if len(b.memory) > kept {
			t.Errorf("after an answer of %d bytes %d are kept, want %d at most", length, len(b.memory), kept)
		}
	}
	if err := b.free(); err != nil {
		t.Error(err)
	}
}

// The end of the context ends an answer that nobody reads, too.
func TestServeEndsInAnAnswer(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "theirs")
	defer theirs.Close()
	gone := errors.New("gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	l := &lender{image: image{data: pattern(4 << 20)}}
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, ours, int64(len(l.data)), l) }()
	k := &kernel{theirs, t}
	k.ask(commandRead, 1, page, 4<<20-page)
	if _, err := io.ReadFull(theirs, make([]byte, 512)); err != nil { // it is being sent
		t.Fatal(err)
	}
	cancel(gone)
	if err := <-done; !errors.Is(err, gone) {
		t.Errorf("Serve() = %v, want %v", err, gone)
	}
	if lent, _ := l.count(0, 0); lent != 0 {
		t.Errorf("%d loans were not given back", lent)
	}
}
