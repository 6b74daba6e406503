package daemon

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/fetch"
	"github.com/liveboot/liveboot/pkg/kernel/nbd"
	"github.com/liveboot/liveboot/pkg/stream"
)

// benchSize is that of the image in bytes.
const benchSize = 256 << 20

// serveImage serves an image over HTTP. place is memory for it, in use already.
func serveImage(b *testing.B) (s fetch.Source, place ram) {
	b.Helper()
	image := make([]byte, benchSize)
	rand.NewChaCha8([32]byte{}).Read(image)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"one"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(image))
	}))
	b.Cleanup(server.Close)
	place = make(ram, benchSize)
	copy(place, image)
	return fetch.Source{URLs: []fetch.URL{fetch.URL(server.URL + "/image.iso")}}, place
}

// ram is a Place in memory.
type ram []byte

func (r ram) ReadAt(p []byte, offset int64) (int, error)  { return copy(p, r[offset:]), nil }
func (r ram) WriteAt(p []byte, offset int64) (int, error) { return copy(r[offset:], p), nil }
func (r ram) Sync() error                                 { return nil }

// device is a kernel that reads a streamed device.
type device struct {
	socket *os.File
	b      *testing.B
}

// newDevice serves an image as a device.
func newDevice(b *testing.B, s fetch.Source, place ram, chunk int64) (d *device, store *stream.Store, end func()) {
	b.Helper()
	image, err := fetch.OpenRanges(b.Context(), s, fetch.Environment{})
	if err != nil {
		b.Fatal(err)
	}
	store, err = stream.New(stream.Config{Size: image.Size, ChunkSize: chunk}, newSource(image, quietLine()), place)
	if err != nil {
		b.Fatal(err)
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan struct{})
	go func() { defer close(ran); store.Run(ctx) }()
	_ = unix.SetNonblock(fds[0], true)
	_ = unix.SetsockoptInt(fds[0], unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 1<<20) // as nbd.Attach does
	go nbd.Serve(ctx, os.NewFile(uintptr(fds[0]), ""), image.Size, store)
	d = &device{os.NewFile(uintptr(fds[1]), ""), b}
	return d, store, func() {
		cancel()
		<-ran
		if err := errors.Join(d.socket.Close(), image.Close(), store.Close()); err != nil {
			b.Fatal(err)
		}
	}
}

func (d *device) ask(offset int64, length int) {
	var r [28]byte
	binary.BigEndian.PutUint32(r[:], 0x25609513)
	binary.BigEndian.PutUint64(r[16:], uint64(offset))
	binary.BigEndian.PutUint32(r[24:], uint32(length))
	if _, err := d.socket.Write(r[:]); err != nil {
		d.b.Fatal(err)
	}
}

func (d *device) answer(p []byte) {
	if _, err := io.ReadFull(d.socket, p); err != nil {
		d.b.Fatal(err)
	}
}

// processors reports, when what it returns is called, how much time of processors an iteration took, those of the server and of the reader
// included: on a machine that does other things that tells more than the time.
func processors(b *testing.B) (report func()) {
	used := func() time.Duration {
		var u unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := used()
	return func() { b.ReportMetric(float64((used()-before).Milliseconds())/float64(b.N), "cpu-ms/op") }
}

// BenchmarkPlainDownload is what the others are compared with.
func BenchmarkPlainDownload(b *testing.B) {
	s, place := serveImage(b)
	b.SetBytes(benchSize)
	defer processors(b)()
	buffer := make([]byte, 1<<20)
	for b.Loop() {
		image, err := fetch.Open(b.Context(), s, fetch.Environment{})
		if err != nil {
			b.Fatal(err)
		}
		for at := range int64(benchSize / len(buffer)) {
			if _, err := io.ReadFull(image, buffer); err != nil {
				b.Fatal(err)
			}
			if _, err := place.WriteAt(buffer, at*int64(len(buffer))); err != nil {
				b.Fatal(err)
			}
		}
		_ = image.Close()
	}
}

// readAll reads a device from its beginning to its end as the kernel does, with requests of 128 KiB of which it has a few under way.
func (d *device) readAll() {
	const request, under = 128 << 10, 4
	p := make([]byte, 16+request)
	for at := int64(0); at < benchSize+under*request; at += request {
		if at < benchSize {
			d.ask(at, request)
		}
		if at >= under*request {
			d.answer(p)
		}
	}
}

// BenchmarkSequential reads a device of which nothing has come yet.
func BenchmarkSequential(b *testing.B) {
	for _, chunk := range []int64{128 << 10, 256 << 10, 512 << 10, 1 << 20} {
		b.Run(byteSize(chunk), func(b *testing.B) {
			s, place := serveImage(b)
			b.SetBytes(benchSize)
			defer processors(b)()
			for b.Loop() {
				d, _, end := newDevice(b, s, place, chunk)
				d.readAll()
				end()
			}
		})
	}
}

// BenchmarkSequentialFilled reads a device of which all is in its place.
func BenchmarkSequentialFilled(b *testing.B) {
	s, place := serveImage(b)
	d, store, end := newDevice(b, s, place, 0)
	defer end()
	if err := store.Fill(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(benchSize)
	defer processors(b)()
	for b.Loop() {
		d.readAll()
	}
}

// BenchmarkFill brings an image to its place with nobody reading.
func BenchmarkFill(b *testing.B) {
	for _, chunk := range []int64{128 << 10, 256 << 10, 512 << 10, 1 << 20} {
		b.Run(byteSize(chunk), func(b *testing.B) {
			s, place := serveImage(b)
			b.SetBytes(benchSize)
			defer processors(b)()
			for b.Loop() {
				_, store, end := newDevice(b, s, place, chunk)
				if err := store.Fill(b.Context()); err != nil {
					b.Fatal(err)
				}
				end()
			}
		})
	}
}

// BenchmarkRead4K reads 4 KiB of a chunk that is in its place, one read after the other.
func BenchmarkRead4K(b *testing.B) {
	s, place := serveImage(b)
	d, store, end := newDevice(b, s, place, 0)
	defer end()
	if err := store.Fill(b.Context()); err != nil {
		b.Fatal(err)
	}
	p := make([]byte, 16+4096)
	for b.Loop() {
		d.ask(rand.Int64N(benchSize/4096)*4096, 4096)
		d.answer(p)
	}
}

func byteSize(n int64) string { return strconv.FormatInt(n>>10, 10) + "KiB" }
