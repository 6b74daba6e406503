package daemon

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/fetch"
	"github.com/liveboot/liveboot/pkg/fetch/fetchtest"
	"github.com/liveboot/liveboot/pkg/kernel/nbd"
	"github.com/liveboot/liveboot/pkg/needs"
	"github.com/liveboot/liveboot/pkg/stream"
)

// benchSize is that of the image in bytes.
const benchSize = 256 << 20

// serveImage serves an image by nginx, a process of its own, which is the same for all. place is a file in memory for it, which has nothing in
// it yet.
func serveImage(b *testing.B) (s fetch.Source, place ramFile) {
	b.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "bench")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	image := make([]byte, benchSize)
	_, _ = rand.NewChaCha8([32]byte{}).Read(image) // it always fills the slice
	if err := os.WriteFile(filepath.Join(dir, "image.iso"), image, 0o644); err != nil {
		b.Fatal(err)
	}
	address := fetchtest.ServeFolder(b, dir) + "/image.iso"
	fd, err := unix.MemfdCreate("place", unix.MFD_CLOEXEC)
	if err != nil {
		b.Fatal(err)
	}
	place = ramFile{os.NewFile(uintptr(fd), "place"), b}
	b.Cleanup(func() { place.Close() })
	place.empty()
	return fetch.Source{URLs: []fetch.URL{fetch.URL(address)}}, place
}

// ramFile is a Place in memory, as a RAM disk is.
type ramFile struct {
	*os.File
	b *testing.B
}

// empty gives its memory back.
func (r ramFile) empty() {
	if err := errors.Join(r.Truncate(0), r.Truncate(benchSize)); err != nil {
		r.b.Fatal(err)
	}
}

// device is a kernel that reads a streamed device.
type device struct {
	socket *os.File
	b      *testing.B
}

// newDevice serves an image as a device.
func newDevice(b *testing.B, s fetch.Source, place ramFile, chunk int64) (d *device, store *stream.Store, end func()) {
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

// download brings an image to its place as one that is not streamed is.
func download(b *testing.B, s fetch.Source, place ramFile) {
	image, err := fetch.Open(b.Context(), s, fetch.Environment{})
	if err != nil {
		b.Fatal(err)
	}
	buffer := make([]byte, 1<<20)
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

// curl brings it to a file, with curl.
func curl(b *testing.B, s fetch.Source, place ramFile) {
	out := fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), place.Fd())
	if err := exec.Command(needs.Program(b, "curl", "curl"), "-sf", "-o", out, string(s.URLs[0])).Run(); err != nil {
		b.Fatal(err)
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

// BenchmarkSequential reads a device of which nothing has come yet, and compares that with plain downloads: with curl, and with ours. They take
// turns. What is reported is how many times as fast the device is: the median of the rounds, each of which compares what ran within the
// same second, since a machine has other things to do, too.
func BenchmarkSequential(b *testing.B) {
	const rounds = 9
	for _, chunk := range []int64{128 << 10, 256 << 10, 512 << 10, 1 << 20} {
		b.Run(byteSize(chunk), func(b *testing.B) {
			s, place := serveImage(b)
			take := func(f func()) float64 {
				place.empty()
				began := time.Now()
				f()
				return time.Since(began).Seconds()
			}
			var curls, ours []float64
			b.SetBytes(benchSize)
			for b.Loop() {
				for range rounds {
					streamed := take(func() {
						d, _, end := newDevice(b, s, place, chunk)
						d.readAll()
						end()
					})
					curls = append(curls, take(func() { curl(b, s, place) })/streamed)
					ours = append(ours, take(func() { download(b, s, place) })/streamed)
				}
			}
			b.ReportMetric(median(curls), "x-curl-o")
			b.ReportMetric(median(ours), "x-download")
		})
	}
}

func median(of []float64) float64 {
	slices.Sort(of)
	return of[len(of)/2]
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
				b.StopTimer()
				place.empty()
				b.StartTimer()
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
