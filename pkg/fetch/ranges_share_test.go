package fetch

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/fetchtest"
)

// TestRangesMirrors: a mirror takes over if it has the same file, and only then.
func TestRangesMirrors(t *testing.T) {
	const first, length = 300_000, 200_000
	cut := fetchtest.Answer{Break: fetchtest.Reset, At: first + length/2}
	gone := fetchtest.Answer{Status: 404}
	for _, tt := range []struct {
		name   string
		first  []fetchtest.Answer // after the first
		second fetchtest.File
		want   string // events
		err    string
	}{
		{"same file", []fetchtest.Answer{cut, gone, gone}, strong, "GaveUp TookOver", ""},
		{"another file", []fetchtest.Answer{cut, gone, gone}, changed, "GaveUp", "404"},
		{"another size", []fetchtest.Answer{cut, gone, gone}, longer, "GaveUp", "404"},
		{"nothing to compare", []fetchtest.Answer{cut, gone, gone}, dated, "GaveUp", "404"},
		{"back in time", []fetchtest.Answer{cut, {Status: 500}, {Status: 500}}, changed, "Resumed", ""},
		{"changed, the second has it", []fetchtest.Answer{{File: &changed}}, strong, "GaveUp TookOver", ""},
		{"changed, the second too", []fetchtest.Answer{{File: &changed}}, changed, "GaveUp", "has changed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in(t, func(t *testing.T, network *fetchtest.Network) {
				network.Server("first", strong, append([]fetchtest.Answer{{}}, tt.first...)...)
				network.Server("second", tt.second)
				var c events
				r, err := openRanges(t, network, source("http://first/image", "http://second/image"), &c)
				if err != nil {
					t.Fatal(err)
				}
				p := make([]byte, length)
				n, err := r.ReadAt(p, first)
				switch {
				case tt.err == "":
					if err != nil || !bytes.Equal(p, image[first:first+length]) || r.Received() != openSize+length {
						t.Errorf("ReadAt = %d, %v, %d bytes travelled, want all of it once", n, err, r.Received())
					}
				case err == nil || !strings.Contains(err.Error(), tt.err) || !bytes.Equal(p[:n], image[first:first+n]):
					t.Errorf("ReadAt = %d, %v, want an error with %q", n, err, tt.err)
				}
				if got := c.kinds(); got != tt.want {
					t.Errorf("events %v, want %s", c.all, tt.want)
				}
				for _, e := range c.all {
					if e.String() == "" {
						t.Errorf("%T.String() is empty", e)
					}
				}
			})
		})
	}
}

// TestRangesOpenMirrors: of several mirrors the first is opened that has parts.
func TestRangesOpenMirrors(t *testing.T) {
	for _, tt := range []struct {
		name  string
		first fetchtest.Answer
		want  string
	}{
		{"right", fetchtest.Answer{}, "http://first/image"},
		{"not there", fetchtest.Answer{Status: 404}, "http://second/image"},
		{"no ranges", fetchtest.Answer{NoRanges: true}, "http://second/image"},
		{"breaks at once", fetchtest.Answer{Break: fetchtest.Reset, At: 50}, "http://second/image"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in(t, func(t *testing.T, network *fetchtest.Network) {
				network.Server("first", strong, tt.first, tt.first, tt.first)
				network.Server("second", changed)
				r, err := openRanges(t, network, source("tftp://zero/image", "http://first/image", "http://second/image"), &events{})
				if err != nil || string(r.URL) != tt.want {
					t.Fatalf("OpenRanges = %+v, %v, want %s", r, err, tt.want)
				}
				data := map[bool][]byte{true: image, false: changed.Data}[tt.want == "http://first/image"]
				checkRead(t, r, data, 0, len(data))
			})
		})
	}
}

// TestRangesDownAtFirst: the server is waited for.
func TestRangesDownAtFirst(t *testing.T) {
	in(t, func(t *testing.T, network *fetchtest.Network) {
		time.AfterFunc(2*time.Minute, func() { network.Server("h", strong) })
		r, err := openRanges(t, network, source("http://h/image"), &events{})
		if err != nil {
			t.Fatal(err)
		}
		checkRead(t, r, image, 5, 500_000)
	})
}

// TestRangesOutage: while nothing is heard of a server one reading asks for all, and tells of it; when the server is back all go on.
func TestRangesOutage(t *testing.T) {
	in(t, func(t *testing.T, network *fetchtest.Network) {
		network.Server("h", strong)
		var mutex sync.Mutex
		down, dials := false, 0
		dial := func(ctx context.Context, kind, address string) (net.Conn, error) {
			mutex.Lock()
			defer mutex.Unlock()
			if dials++; down {
				return nil, &net.OpError{Op: "dial", Err: syscall.EHOSTUNREACH}
			}
			return network.Dial(ctx, kind, address)
		}
		var c events
		r, err := OpenRanges(t.Context(), source("http://h/image"), Environment{connect: dial, Report: c.report, Roots: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		mutex.Lock()
		r.places[0].hangUp()
		down, dials = true, 0
		mutex.Unlock()
		var group sync.WaitGroup
		for i := range 100 {
			group.Go(func() { checkRead(t, r, image, openSize+10_000*i, 10_000) })
		}
		time.Sleep(time.Hour) // of the bubble's time
		mutex.Lock()
		down = false
		c.mutex.Lock()
		rounds := len(c.waits())
		c.mutex.Unlock()
		if dials > rounds+100*3600/30 || rounds < 100 || rounds > 500 {
			t.Errorf("%d attempts, %d waits told of within an hour, want not much more than one at a time", dials, rounds)
		}
		mutex.Unlock()
		began := time.Now()
		group.Wait()
		if took := time.Since(began); took > 2*DefaultMaxDelay {
			t.Errorf("going on took %v", took)
		}
		if got := c.kinds(); got != "Resumed" {
			t.Errorf("events %s, want Resumed", got)
		}
	})
}

// TestRangesNewAddress: when the machine has another address, its connections are silent, and each that is tried takes its time: only one is.
func TestRangesNewAddress(t *testing.T) {
	in(t, func(t *testing.T, network *fetchtest.Network) {
		network.Server("h", strong)
		silent := make(chan struct{})
		dial := func(ctx context.Context, kind, address string) (net.Conn, error) {
			c, err := network.Dial(ctx, kind, address)
			select {
			case <-silent:
				return c, err
			default:
				return &mute{c, silent}, err
			}
		}
		r, err := OpenRanges(t.Context(), source("http://h/image"), Environment{connect: dial, Roots: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		var group sync.WaitGroup
		for i := range DefaultRanges {
			group.Go(func() { checkRead(t, r, image, openSize+10_000*i, 10_000) })
		}
		group.Wait()
		time.Sleep(time.Minute) // of the bubble's time
		close(silent)
		began := time.Now()
		checkRead(t, r, image, openSize+500_000, 10_000)
		if took, most := time.Since(began), DefaultStall+DefaultStall/2; took > most {
			t.Errorf("going on from another address took %v, want %v at most", took, most)
		}
	})
}

// mute is a connection of which nothing is heard any more from some moment on.
type mute struct {
	net.Conn
	silent chan struct{}
}

func (m *mute) Write(b []byte) (int, error) {
	select {
	case <-m.silent:
		return len(b), nil
	default:
		return m.Conn.Write(b)
	}
}

// TestRangesBelated: an attempt that fails at an outage's end, when another one has had an answer already, does not make a second outage of it.
func TestRangesBelated(t *testing.T) {
	in(t, func(t *testing.T, network *fetchtest.Network) {
		network.Server("h", strong)
		r, err := openRanges(t, network, source("http://h/image"), &events{})
		if err != nil {
			t.Fatal(err)
		}
		late, stop := r.reading(t.Context())
		defer stop()
		late.answers = r.answers // its attempt begins
		checkRead(t, r, image, openSize, 10_000)
		for i, want := range []bool{false, true, true} {
			if got := r.speak(late); got != want {
				t.Errorf("speak after failure %d = %t, want %t", i+1, got, want)
			}
		}
	})
}

// TestRangesOwnTrouble: what goes wrong with one part does not delay the others.
func TestRangesOwnTrouble(t *testing.T) {
	for _, a := range []fetchtest.Answer{
		{Status: 500}, {Break: fetchtest.Reset, At: 300_000}, {Break: fetchtest.Silence, At: 300_000}, {Pause: time.Hour}, // without a word before
	} {
		in(t, func(t *testing.T, network *fetchtest.Network) {
			server := network.Server("h", strong)
			server.Bad = map[int]fetchtest.Answer{300_000: a}
			r, err := openRanges(t, network, source("http://h/image"), &events{})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancelCause(t.Context())
			var group sync.WaitGroup
			group.Go(func() {
				if n, err := r.ReadAtContext(ctx, make([]byte, 10), 300_000); err == nil {
					t.Errorf("ReadAt of the bad part = %d, nil", n)
				}
			})
			for i := range 200 {
				time.Sleep(5 * time.Second)
				if i%50 == 49 {
					time.Sleep(5 * time.Minute)
				}
				began := time.Now()
				checkRead(t, r, image, 500_000, 100_000)
				if took := time.Since(began); took > 0 {
					t.Fatalf("a read of another part took %v", took)
				}
			}
			cancel(errors.New("enough"))
			group.Wait()
			if n := len(server.Requests()); n > 200+2*2200/15 {
				t.Errorf("%d requests, want few of the bad part", n)
			}
		})
	}
}

// TestRangesEnd: reads end with their context, with that of the whole, and with Close, and nothing is left of them.
func TestRangesEnd(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(cancelRead, cancelAll context.CancelFunc, r *Ranges)
		want error
	}{
		{"read", func(read, _ context.CancelFunc, _ *Ranges) { read() }, context.Canceled},
		{"all", func(_, all context.CancelFunc, _ *Ranges) { all() }, context.Canceled},
		{"closed", func(_, _ context.CancelFunc, r *Ranges) { r.Close() }, errRangesClosed},
	} {
		for name, a := range map[string]fetchtest.Answer{"silence": {Break: fetchtest.Silence, At: 300_005}, "wait": {Status: 503, Header: map[string]string{"Retry-After": "100"}}} {
			t.Run(tt.name+" "+name, func(t *testing.T) {
				in(t, func(t *testing.T, network *fetchtest.Network) {
					network.Server("h", strong, fetchtest.Answer{}, a)
					all, cancelAll := context.WithCancel(t.Context())
					defer cancelAll()
					r, err := OpenRanges(all, source("http://h/image"), Environment{connect: network.Dial, Roots: t.TempDir()})
					if err != nil {
						t.Fatal(err)
					}
					defer r.Close()
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					done := make(chan error)
					p := make([]byte, 10)
					go func() {
						n, err := r.ReadAtContext(ctx, p, 300_000)
						if !bytes.Equal(p[:n], image[300_000:300_000+n]) {
							t.Errorf("%d wrong bytes", n)
						}
						done <- err
					}()
					time.Sleep(time.Second)
					began := time.Now()
					go tt.end(cancel, cancelAll, r)
					if err := <-done; !errors.Is(err, tt.want) || time.Since(began) > 0 {
						t.Errorf("ReadAt = %v after %v, want %v at once", err, time.Since(began), tt.want)
					}
					synctest.Wait()
					_, err = r.ReadAt(p, 300_000)
					if (err == nil) != (tt.name == "read") {
						t.Errorf("ReadAt after it = %v", err)
					}
				})
			})
		}
	}
}

// TestRangesTriedAgain: that a file was not there once does not end anything.
func TestRangesTriedAgain(t *testing.T) {
	in(t, func(t *testing.T, network *fetchtest.Network) {
		network.Server("h", strong, fetchtest.Answer{}, fetchtest.Answer{Status: 404})
		r, err := openRanges(t, network, source("http://h/image"), &events{})
		if err != nil {
			t.Fatal(err)
		}
		var all *SourceError
		if _, err := r.ReadAt(make([]byte, 10), 300_000); !errors.As(err, &all) {
			t.Errorf("ReadAt = %v, want a SourceError", err)
		}
		checkRead(t, r, image, 300_000, 10)
	})
}
