package dolly_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/dolly"
	"github.com/liveboot/liveboot/pkg/fetch/dolly/server"
	"github.com/liveboot/liveboot/pkg/fetch/wire"
)

const (
	benchSize   = 512 << 20
	benchRounds = 7
)

// BenchmarkRelay compares a node that reads the image, and passes it on, with a proxy that only passes it on, and for which the kernel moves the
// bytes without a copy (splice(2)). Both stand between the same sender (sendfile(2)) and the same receiver, in turns. What is reported is how
// many times as fast the node is, the median of the rounds, and how fast a processor alone could relay: the bytes for each second that
// the processors worked, for sender, node and receiver together.
//
//	go test -run '^$' -bench Relay ./pkg/fetch/dolly
func BenchmarkRelay(b *testing.B) {
	file := benchFile(b)
	var ratio, rate, worked []float64
	b.SetBytes(benchSize)
	for b.Loop() {
		for range benchRounds {
			proxy := took(func() { spliced(b, file) })
			began := cpu(b)
			node := took(func() { relayed(b, file) })
			ratio, rate = append(ratio, proxy/node), append(rate, benchSize/node/(1<<20))
			worked = append(worked, benchSize/(cpu(b)-began).Seconds()/(1<<20))
		}
	}
	for _, m := range []struct {
		of   []float64
		name string
	}{{ratio, "x-splice"}, {rate, "MiB/s"}, {worked, "MiB/cpu-s"}} {
		slices.Sort(m.of)
		b.ReportMetric(m.of[len(m.of)/2], m.name)
	}
}

func took(f func()) float64 {
	began := time.Now()
	f()
	return time.Since(began).Seconds()
}

// cpu is the time that processors worked for this process.
func cpu(t testing.TB) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func benchFile(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "dolly")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	name := filepath.Join(dir, "image")
	if err := os.WriteFile(name, noise(benchSize), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// drain reads a connection to its end, or n bytes.
func drain(conn io.Reader, n int64) (int64, error) {
	var sum int64
	for p := make([]byte, 1<<20); sum < n; {
		m, err := conn.Read(p)
		if sum += int64(m); err != nil {
			return sum, err
		}
	}
	return sum, nil
}

// spliced sends a file through the proxy.
func spliced(t testing.TB, file string) {
	t.Helper()
	listen := func() net.Listener {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		return l
	}
	proxy, sink := listen(), listen()
	done := make(chan int64, 1)
	go func() {
		conn, err := sink.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		n, _ := drain(conn, benchSize)
		done <- n
	}()
	go func() {
		in, err := proxy.Accept()
		if err != nil {
			return
		}
		defer in.Close()
		out, err := net.Dial("tcp4", sink.Addr().String())
		if err != nil {
			return
		}
		defer out.Close()
		_, _ = io.Copy(out, in) // what is missing, the other end tells
	}()
	image, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	conn, err := net.Dial("tcp4", proxy.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(conn, image)
	conn.Close()
	if n := <-done; n != benchSize || err != nil {
		t.Fatalf("the proxy passed %d bytes on, %v, want %d", n, err, benchSize)
	}
}

// relayed sends a file through a node to another one, which is last.
func relayed(t testing.TB, file string) {
	t.Helper()
	l := &lab{prefix: fmt.Sprintf("127.%d.%d.", 70+labs.Add(1)/200, 1+labs.Load()%200)}
	waiting := make(chan struct{}, 2)
	read := make(chan error, 2)
	for i := 1; i <= 2; i++ {
		go func() {
			o := l.options(i)
			o.Report = func(e dolly.Event) {
				if _, ok := e.(dolly.Waiting); ok {
					waiting <- struct{}{}
				}
			}
			body, err := dolly.New("", o).Open(t.Context(), wire.Position{})
			if err == nil {
				_, err = drain(body, benchSize+1)
				body.Close()
			}
			read <- err
		}()
	}
	<-waiting
	<-waiting
	image, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	got, err := server.Server{Hosts: l.hosts(2), Dial: l.dial(0)}.Send(t.Context(), image, "image")
	if err != nil || got.Bytes != benchSize || len(got.Complete) != 2 {
		t.Fatalf("Send = %+v, %v", got, err)
	}
	for range 2 {
		if err := <-read; err != io.EOF {
			t.Fatal(err)
		}
	}
}

// endless is a source that costs nothing.
type endless struct{ left int64 }

func (e *endless) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), e.left)
	e.left -= n
	return int(n), nil
}

// TestRelayAllocates counts what a ring of two allocates for each block, and what it keeps: nothing.
func TestRelayAllocates(t *testing.T) {
	const blocks = 512
	l := newLab(t)
	p := make([]byte, 1<<20)
	var before, after runtime.MemStats
	done := make(chan error, 2)
	ready := make(chan struct{}, 2)
	for i := 1; i <= 2; i++ {
		go func() {
			o := l.options(i)
			o.Report = func(e dolly.Event) {
				if _, ok := e.(dolly.Waiting); ok {
					ready <- struct{}{}
				}
			}
			done <- func() error {
				body, err := dolly.New("", o).Open(t.Context(), wire.Position{})
				if err != nil {
					return err
				}
				defer body.Close()
				if i == 2 {
					_, err := drain(body, blocks<<20)
					return err
				}
				for n := 0; n < blocks; n++ {
					if n == blocks/4 {
						runtime.ReadMemStats(&before)
					}
					if n == 3*blocks/4 {
						runtime.ReadMemStats(&after)
					}
					if _, err := io.ReadFull(body, p); err != nil {
						return err
					}
				}
				_, err = body.Read(p)
				if err == io.EOF {
					return nil
				}
				return fmt.Errorf("read behind the end: %v", err)
			}()
		}()
	}
	<-ready
	<-ready
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := (server.Server{Hosts: l.hosts(2), Dial: l.dial(0)}).Send(ctx, &endless{blocks << 20}, "image"); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if n := after.Mallocs - before.Mallocs; n > blocks/8 {
		t.Errorf("relaying %d MiB allocated %d times, want next to nothing", blocks/2, n)
	}
}
