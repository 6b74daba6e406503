package nbd

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
)

// image is a Backend in memory whose bytes can be held back.
type image struct {
	data []byte
	// gates are what a read at an offset waits for.
	gates map[int64]chan struct{}
	// never is what Await returns, fail what ReadAt does.
	never, fail error
}

func (i *image) Await(ctx context.Context, offset, _ int64) error {
	gate, ok := i.gates[offset]
	if !ok {
		return i.never
	}
	select {
	case <-gate:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (i *image) ReadAt(_ context.Context, p []byte, offset int64) error {
	copy(p, i.data[offset:])
	return i.fail
}

// kernel is the other side of the socket.
type kernel struct {
	io.ReadWriteCloser
	t testing.TB
}

func (k *kernel) ask(command uint16, handle, offset uint64, length uint32) {
	k.t.Helper()
	var b [requestSize]byte
	binary.BigEndian.PutUint32(b[:], requestMagic)
	binary.BigEndian.PutUint16(b[6:], command)
	binary.BigEndian.PutUint64(b[8:], handle)
	binary.BigEndian.PutUint64(b[16:], offset)
	binary.BigEndian.PutUint32(b[24:], length)
	if _, err := k.Write(b[:]); err != nil {
		k.t.Fatal(err)
	}
}

// reply is an answer, with the data that follow where there is no error.
type reply struct {
	Handle uint64
	Code   uint32
	Data   []byte
}

func (k *kernel) reply(length int) reply {
	k.t.Helper()
	var b [replySize]byte
	if _, err := io.ReadFull(k, b[:]); err != nil {
		k.t.Fatal(err)
	}
	if magic := binary.BigEndian.Uint32(b[:]); magic != replyMagic {
		k.t.Fatalf("a reply begins with %#x, want %#x", magic, replyMagic)
	}
	r := reply{Handle: binary.BigEndian.Uint64(b[8:]), Code: binary.BigEndian.Uint32(b[4:])}
	if r.Code == 0 {
		r.Data = make([]byte, length)
		if _, err := io.ReadFull(k, r.Data); err != nil {
			k.t.Fatal(err)
		}
	}
	return r
}

// serve starts a server; done gets what Serve returns.
func serve(ctx context.Context, t testing.TB, i *image) (k *kernel, done <-chan error) {
	ours, theirs := net.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, ours, int64(len(i.data)), i) }()
	return &kernel{theirs, t}, ended
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

func TestServe(t *testing.T) {
	data := pattern(64 << 10)
	end := uint64(len(data))
	broken := errors.New("broken")
	for _, tt := range []struct {
		name    string
		command uint16
		offset  uint64
		length  uint32
		never   error
		fail    error
		code    uint32
		want    []byte
	}{
		{name: "read", offset: 512, length: 4096, want: data[512 : 512+4096]},
		{name: "all", length: uint32(len(data)), want: data},
		{name: "the last sector", offset: end - 512, length: 512, want: data[end-512:]},
		{name: "write", command: 1, length: 512, code: 1},
		{name: "trim", command: 4, length: 512, code: 1},
		{name: "nothing", length: 0, code: 22},
		{name: "behind the end", offset: end, length: 512, code: 22},
		{name: "over the end", offset: end - 512, length: 1024, code: 22},
		{name: "an offset that is negative as an int64", offset: 1 << 63, length: 512, code: 22},
		{name: "the largest offset", offset: ^uint64(0), length: 512, code: 22},
		{name: "the largest length", length: ^uint32(0), code: 22},
		{name: "the backend fails", length: 512, fail: broken, code: 5},
		{name: "the backend will not have it", length: 512, never: broken, code: 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k, done := serve(t.Context(), t, &image{data: data, never: tt.never, fail: tt.fail})
			k.ask(tt.command, 42, tt.offset, tt.length)
			if tt.command == commandWrite {
				if _, err := k.Write(make([]byte, tt.length)); err != nil {
					t.Fatal(err)
				}
			}
			want := reply{Handle: 42, Code: tt.code, Data: tt.want}
			if diff := cmp.Diff(want, k.reply(int(tt.length))); diff != "" {
				t.Errorf("the reply differs (-want +got):\n%s", diff)
			}
			k.ask(commandWrite, 43, 0, 0) // it goes on
			if diff := cmp.Diff(reply{Handle: 43, Code: errorPermission}, k.reply(0)); diff != "" {
				t.Errorf("the next reply differs (-want +got):\n%s", diff)
			}
			k.ask(commandClose, 0, 0, 0)
			if err := <-done; err != nil {
				t.Errorf("Serve() = %v after the kernel let go, want nil", err)
			}
		})
	}
}

// A request whose data are not there holds up none of those behind it, however many wait.
func TestServeOutOfOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		i := &image{data: pattern(1 << 20), gates: map[int64]chan struct{}{0: gate}}
		k, done := serve(t.Context(), t, i)
		const waiting = 128
		for n := range waiting {
			k.ask(commandRead, uint64(n), 0, 4096)
		}
		k.ask(commandRead, 1000, 8192, 512)
		if got, want := k.reply(512), (reply{Handle: 1000, Data: i.data[8192 : 8192+512]}); !cmp.Equal(got, want) {
			t.Errorf("the first reply is to %d, want to %d", got.Handle, want.Handle)
		}
		close(gate)
		seen := make(map[uint64]bool)
		for range waiting {
			r := k.reply(4096)
			if !bytes.Equal(r.Data, i.data[:4096]) {
				t.Errorf("the reply to %d has other bytes", r.Handle)
			}
			seen[r.Handle] = true
		}
		if len(seen) != waiting {
			t.Errorf("%d requests were answered, want %d", len(seen), waiting)
		}
		if err := k.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Errorf("Serve() = %v, want nil", err)
		}
	})
}

func TestServeEnds(t *testing.T) {
	gone := errors.New("gone")
	for _, tt := range []struct {
		name string
		end  func(k *kernel, cancel context.CancelCauseFunc)
		want error
	}{
		{"the context, while a request waits", func(_ *kernel, cancel context.CancelCauseFunc) { cancel(gone) }, gone},
		{"the kernel closes, while a request waits", func(k *kernel, _ context.CancelCauseFunc) { _ = k.Close() }, nil},
		{"the kernel is cut off within a request", func(k *kernel, _ context.CancelCauseFunc) {
			_, _ = k.Write([]byte{0x25, 0x60})
			_ = k.Close()
		}, io.ErrUnexpectedEOF},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				i := &image{data: pattern(4096), gates: map[int64]chan struct{}{0: make(chan struct{})}}
				k, done := serve(ctx, t, i)
				k.ask(commandRead, 1, 0, 512)
				synctest.Wait()
				tt.end(k, cancel)
				if err := <-done; !errors.Is(err, tt.want) || tt.want == nil && err != nil {
					t.Errorf("Serve() = %v, want %v", err, tt.want)
				}
			})
		})
	}
}

func TestServeRefusesOtherProtocols(t *testing.T) {
	k, done := serve(t.Context(), t, &image{data: pattern(4096)})
	_, _ = k.Write(bytes.Repeat([]byte("NBDMAGIC"), 4)) // it may be closed before all was written
	if err := <-done; err == nil {
		t.Error("Serve() = nil for what is no request, want an error")
	}
}

func FuzzServe(f *testing.F) {
	var b [requestSize]byte
	binary.BigEndian.PutUint32(b[:], requestMagic)
	binary.BigEndian.PutUint32(b[24:], 512)
	f.Add(b[:])
	f.Fuzz(func(t *testing.T, data []byte) {
		ours, theirs := net.Pipe()
		done := make(chan error, 1)
		i := &image{data: pattern(8192)}
		go func() { done <- Serve(t.Context(), ours, int64(len(i.data)), i) }()
		go func() { _, _ = io.Copy(io.Discard, theirs) }()
		_, _ = theirs.Write(data)
		_ = theirs.Close()
		<-done
	})
}
