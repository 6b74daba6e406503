package dolly_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/dolly"
	"github.com/liveboot/liveboot/pkg/fetch/dolly/ring"
	"github.com/liveboot/liveboot/pkg/fetch/dolly/server"
	"github.com/liveboot/liveboot/pkg/fetch/wire"
)

// connect connects to a port of machine i, from machine from.
func (l *lab) connect(from, i, port int) net.Conn {
	l.t.Helper()
	conn, err := l.dial(from)(l.t.Context(), "tcp4", net.JoinHostPort(l.host(i), strconv.Itoa(port)))
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { conn.Close() })
	return conn
}

// TestDisturbed lets all kinds of others connect first: the ring that comes then is joined all the same, and people are told whose was not.
func TestDisturbed(t *testing.T) {
	const config = "infile a\noutfile b\n"
	for _, tt := range []struct {
		name     string
		password string
		from     string // machine 9's ring is not to be joined
		say      string // on the control connection, from machine 9
		want     string // in a Refused; empty: nothing is told
	}{
		{name: "half open"},
		{name: "port scanner that says nothing and leaves", say: "leave"},
		{name: "web browser", say: "GET / HTTP/1.1\r\nHost: x\r\n\r\n", want: "does not speak dolly's protocol"},
		{name: "TLS", say: "\x16\x03\x01\x00\xff", want: "does not speak dolly's protocol"},
		{name: "folders", say: "\x00\x01\x00\x00\x00" + config, want: "-D"},
		{name: "other hosts", say: "\x00\x00\x00\x00\x00" + config + "192.0.2.1\nnode7\nendconfig\n", want: "192.0.2.1, node7, has none of the names of this machine"},
		{name: "no hosts", say: "\x00\x00\x00\x00\x00" + config + "endconfig\n", want: "names no hosts"},
		{name: "escape sequences", say: "\x00\x00\x00\x00\x00" + config + "\x1b[2J\nendconfig\n", want: `"\x1b[2J"`},
		{name: "endless", say: "\x00\x00\x00\x00\x00" + config + strings.Repeat("a.example\n", 500), want: "within 4096 bytes"},
		{name: "asks for a password", say: "\x01", want: "give it with -P"},
		{name: "no password", password: "secret", say: "\x00\x00\x00\x00\x00", want: "it has no password"},
		{name: "old dialect has no password", password: "secret", say: config, want: "which has no password"},
		{name: "rejects our password", password: "secret", say: "\x01" + strings.Repeat("n", 32) + "AUTH_FAILED:x\x00", want: "its password is another one"},
		{name: "endless answer to our password", password: "secret", say: "\x01" + strings.Repeat("n", 32) + strings.Repeat("x", 1000), want: "has no end"},
		{name: "address that may not", from: "127.0.0.0/8", say: "\x00", want: ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			m := l.start(1, func(o *dolly.Options, _ *machine) {
				o.Password = tt.password
				if tt.from != "" {
					o.From = []netip.Prefix{netip.MustParsePrefix(tt.from)}
				}
			})
			var kept []net.Conn
			for range 3 {
				kept = append(kept, l.connect(9, 1, ring.DataPort))
				control := l.connect(9, 1, ring.ControlPort)
				if tt.say == "leave" {
					control.Close()
					continue
				}
				if _, err := io.WriteString(control, tt.say); err != nil {
					t.Fatal(err)
				}
				kept = append(kept, control)
			}
			if tt.want != "" {
				m.await(t, func(e dolly.Event) bool {
					refused, ok := e.(dolly.Refused)
					return ok && refused.From == l.host(9) && strings.Contains(refused.String(), tt.want) && e.Problem()
				})
			}
			image := noise(1 << 20)
			done := l.serve(server.Server{Hosts: l.hosts(1), Password: tt.password}, bytes.NewReader(image))
			m.whole(t, "node", image)
			if got := <-done; got.err != nil {
				t.Error(got.err)
			}
			for _, c := range kept {
				c.Close()
			}
		})
	}
}

// TestFrom refuses a ring of somebody whose address is not among those that may.
func TestFrom(t *testing.T) {
	l := newLab(t)
	m := l.start(1, func(o *dolly.Options, _ *machine) {
		o.From = []netip.Prefix{netip.MustParsePrefix(l.host(0) + "/32")}
	})
	conn := l.connect(9, 1, ring.ControlPort)
	if _, err := conn.Read(make([]byte, 1)); err != io.EOF && !errors.Is(err, net.ErrClosed) && !isReset(err) {
		t.Errorf("a connection from elsewhere: %v, want its end", err)
	}
	m.await(t, func(e dolly.Event) bool { _, ok := e.(dolly.Refused); return ok })
	image := noise(1000)
	done := l.serve(server.Server{Hosts: l.hosts(1)}, bytes.NewReader(image))
	m.whole(t, "node", image)
	<-done
}

func isReset(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && strings.Contains(err.Error(), "reset")
}

// TestManyConnections opens more than are kept: the ring is joined all the same.
func TestManyConnections(t *testing.T) {
	l := newLab(t)
	m := l.start(1, nil)
	for i := range 200 {
		l.connect(5+i%40, 1, []int{ring.DataPort, ring.ControlPort}[i%2])
	}
	image := noise(1000)
	done := l.serve(server.Server{Hosts: l.hosts(1)}, bytes.NewReader(image))
	m.whole(t, "node", image)
	if got := <-done; got.err != nil {
		t.Error(got.err)
	}
}

// TestWait gives up when nobody comes, and says whose ring was refused.
func TestWait(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	o := l.options(1)
	o.Wait = 3 * time.Second
	o.Report = func(e dolly.Event) {
		if _, ok := e.(dolly.Waiting); ok {
			io.WriteString(l.connect(9, 1, ring.ControlPort), "HELO\r\n")
		}
	}
	_, err := dolly.New("dolly://ring/", o).Open(t.Context(), wire.Position{})
	var wait *dolly.WaitError
	if !errors.As(err, &wait) || !wait.Permanent() || wait.Last == nil || wait.Last.From != l.host(9) {
		t.Errorf("Open = %v, want a WaitError that names %s", err, l.host(9))
	}
}

// TestSilentRing gives a ring up that was joined, and does not begin.
func TestSilentRing(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	m := l.start(1, func(o *dolly.Options, _ *machine) { o.Wait, o.Next = 4*time.Second, 100*time.Millisecond })
	l.serve(server.Server{Hosts: l.hosts(1)}, newGated(t, []byte("x")))
	m.await(t, func(e dolly.Event) bool { _, ok := e.(dolly.Joined); return ok })
	var wait *dolly.WaitError
	if err := m.end(t); !errors.As(err, &wait) || !strings.Contains(err.Error(), "the dolly server "+l.host(0)+" has sent nothing") {
		t.Errorf("ended with %v, want a WaitError that names the server", err)
	}
	// One that has begun may take its time.
	source := newGated(t, []byte("xy"))
	source.limit <- 1
	begun := l.start(2, func(o *dolly.Options, _ *machine) {
		o.Wait, o.Next, o.Remind = 4*time.Second, 100*time.Millisecond, 5*time.Second
	})
	l.serve(server.Server{Hosts: l.hosts(2)[1:]}, source)
	begun.await(t, func(e dolly.Event) bool { s, ok := e.(dolly.Stuck); return ok && s.Received == 1 })
	close(source.limit)
	begun.whole(t, "node", []byte("xy"))
}

// TestCancel ends the waiting, at every step of it, and leaves nothing open.
func TestCancel(t *testing.T) {
	for _, step := range []string{"waiting", "next node", "first byte"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			m := l.start(1, nil)
			switch step {
			case "next node":
				l.serve(server.Server{Hosts: l.hosts(2)}, strings.NewReader("x"))
				m.await(t, func(e dolly.Event) bool { _, ok := e.(dolly.Trying); return ok })
			case "first byte":
				l.serve(server.Server{Hosts: l.hosts(1)}, newGated(t, []byte("x")))
				m.await(t, func(e dolly.Event) bool { _, ok := e.(dolly.Joined); return ok })
			}
			m.cancel()
			if err := m.end(t); !errors.Is(err, context.Canceled) {
				t.Errorf("ended with %v, want %v", err, context.Canceled)
			}
			for _, port := range []int{ring.DataPort, ring.ControlPort} {
				if conn, err := l.dial(0)(t.Context(), "tcp4", net.JoinHostPort(l.host(1), strconv.Itoa(port))); err == nil {
					conn.Close()
					t.Errorf("port %d is still open", port)
				}
			}
		})
	}
}

// TestTotals sends sizes that are not that of the image.
func TestTotals(t *testing.T) {
	for _, tt := range []struct {
		name  string
		bytes int
		total int64
		want  string // in the error; empty: the image is whole
	}{
		{"right", 1000, 1000, ""},
		{"more was sent than announced", 1000, 999, "sent 1000 bytes, and says that there are 999"},
		{"less was sent than announced", 1000, 1001, "is gone after 1000 of 1001 bytes"},
		{"noise", 1000, 1 << 60, "no size of a file"},
		{"none", 1000, -1, "is gone after 1000 bytes: it closed the connection"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			arrived := make(chan struct{})
			m := l.start(1, func(_ *dolly.Options, m *machine) {
				m.after = func(n int64) error {
					if n == int64(tt.bytes) {
						close(arrived)
					}
					return nil
				}
			})
			c, err := ring.Connect(t.Context(), l.dial(0), l.host(1), 1, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			in := ring.Introduction{Config: ring.Config{Dialect: ring.Dialect07, Infile: "a", Outfile: "b", Hosts: l.hosts(1), Fanout: 1}}
			if in.Text, err = in.Config.Text(); err != nil {
				t.Fatal(err)
			}
			if err := c.Introduce(t.Context(), in, ""); err != nil {
				t.Fatal(err)
			}
			image := noise(tt.bytes)
			if _, err := c.Data.Write(image); err != nil {
				t.Fatal(err)
			}
			<-arrived
			if tt.total >= 0 {
				if err := ring.PutTotal(c.Control, tt.total); err != nil {
					t.Fatal(err)
				}
			}
			if tt.want == "" {
				m.whole(t, "node", image)
				return
			}
			c.Data.(*net.TCPConn).CloseWrite()
			c.Control.(*net.TCPConn).CloseWrite()
			if err := m.end(t); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("ended with %v, want %q in it", err, tt.want)
			}
		})
	}
}
