package dolly_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/dolly"
	"github.com/liveboot/liveboot/pkg/fetch/dolly/server"
	"github.com/liveboot/liveboot/pkg/fetch/wire"
)

// patience is how long a test waits for what must come, on a machine that may have no time for it.
const patience = 2 * time.Minute

// labs gives each lab a network of its own on the loopback interface.
var labs atomic.Int32

// A lab has machines with an address of the loopback interface each.
type lab struct {
	t      *testing.T
	prefix string
}

func newLab(t *testing.T) *lab {
	n := labs.Add(1)
	return &lab{t, fmt.Sprintf("127.%d.%d.", 80+n/200, 1+n%200)}
}

// host is the address of the machine i, the server's being 0.
func (l *lab) host(i int) string { return l.prefix + strconv.Itoa(i+1) }

func (l *lab) hosts(n int) []string {
	var hosts []string
	for i := range n {
		hosts = append(hosts, l.host(i+1))
	}
	return hosts
}

// dial connects from machine i.
func (l *lab) dial(i int) func(context.Context, string, string) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(l.host(i))}}
	return d.DialContext
}

func (l *lab) options(i int) dolly.Options {
	return dolly.Options{
		Dial: l.dial(i),
		Listen: func(ctx context.Context, port int) (net.Listener, error) {
			return new(net.ListenConfig).Listen(ctx, "tcp4", net.JoinHostPort(l.host(i), strconv.Itoa(port)))
		},
		Resolve: func(context.Context, string) ([]netip.Addr, error) { return nil, fmt.Errorf("there are no names here") },
		Identity: func() (dolly.Identity, error) {
			return dolly.Identity{Addresses: []netip.Addr{netip.MustParseAddr(l.host(i))}, Name: fmt.Sprintf("machine%d", i)}, nil
		},
		Next: patience, Confirm: patience, Remind: time.Hour,
	}
}

// A machine is one that gets the image, once or several times.
type machine struct {
	cancel context.CancelFunc
	// after is told the number of bytes after each block; it may block, and its error breaks the machine off.
	after func(n int64) error
	block int
	// forget keeps no more of the image than its size.
	forget bool

	mutex   sync.Mutex
	changed chan struct{}
	events  []dolly.Event
	got     bytes.Buffer
	sum     int64
	done    chan struct{}
	err     error
}

// start starts machine i, which reads one image.
func (l *lab) start(i int, change func(*dolly.Options, *machine)) *machine {
	l.t.Helper()
	ctx, cancel := context.WithCancel(l.t.Context())
	m := &machine{cancel: cancel, done: make(chan struct{}), changed: make(chan struct{}), block: 1 << 20}
	o := l.options(i)
	o.Report = m.report
	if change != nil {
		change(&o, m)
	}
	go func() {
		defer close(m.done)
		m.err = m.run(ctx, o)
	}()
	l.t.Cleanup(func() {
		cancel()
		<-m.done
	})
	m.await(l.t, func(e dolly.Event) bool { _, ok := e.(dolly.Waiting); return ok })
	return m
}

func (m *machine) run(ctx context.Context, o dolly.Options) error {
	body, err := dolly.New("dolly://ring/", o).Open(ctx, wire.Position{})
	if err != nil {
		return err
	}
	defer body.Close()
	for p := make([]byte, m.block); ; {
		n, err := body.Read(p)
		m.mutex.Lock()
		if !m.forget {
			m.got.Write(p[:n])
		}
		m.sum += int64(n)
		sum := m.sum
		m.mutex.Unlock()
		if err == io.EOF {
			return nil
		}
		if err == nil && m.after != nil {
			err = m.after(sum)
		}
		if err != nil {
			return err
		}
	}
}

func (m *machine) report(e dolly.Event) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.events = append(m.events, e)
	close(m.changed)
	m.changed = make(chan struct{})
}

// await waits for an event.
func (m *machine) await(t *testing.T, is func(dolly.Event) bool) dolly.Event {
	t.Helper()
	for limit := time.After(patience); ; {
		m.mutex.Lock()
		i, changed := slices.IndexFunc(m.events, is), m.changed
		var e dolly.Event
		if i >= 0 {
			e = m.events[i]
		}
		m.mutex.Unlock()
		if i >= 0 {
			return e
		}
		select {
		case <-changed:
		case <-m.done:
			t.Fatalf("the machine ended with %v, after %v", m.err, m.told())
		case <-limit:
			t.Fatalf("the event did not come; there were %v", m.told())
		}
	}
}

// received is how many bytes came.
func (m *machine) received() int64 {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return m.sum
}

func (m *machine) told() []dolly.Event {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return slices.Clone(m.events)
}

// end waits for the end.
func (m *machine) end(t *testing.T) error {
	t.Helper()
	select {
	case <-m.done:
		return m.err
	case <-time.After(patience):
		t.Fatalf("the machine does not end; it told %v", m.told())
		return nil
	}
}

// whole checks that the machine has the image.
func (m *machine) whole(t *testing.T, name string, image []byte) {
	t.Helper()
	if err := m.end(t); err != nil {
		t.Errorf("%s: %v; it told %v", name, err, m.told())
	} else if !bytes.Equal(m.got.Bytes(), image) {
		t.Errorf("%s: got %d bytes, want the %d of the image", name, m.got.Len(), len(image))
	}
}

func noise(n int) []byte {
	data := make([]byte, n)
	random := rand.NewChaCha8([32]byte{1})
	random.Read(data)
	return data
}

// A sent is what a server's Send returned.
type sent struct {
	server.Result
	err error
}

// serve sends an image from machine 0.
func (l *lab) serve(s server.Server, image io.Reader) chan sent {
	if s.Dial == nil {
		s.Dial = l.dial(0)
	}
	if s.Wait == 0 {
		s.Wait = patience
	}
	done := make(chan sent, 1)
	go func() {
		result, err := s.Send(l.t.Context(), image, "image.iso")
		done <- sent{result, err}
	}()
	return done
}
