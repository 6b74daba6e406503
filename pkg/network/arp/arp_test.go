package arp

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/network"
)

var (
	ours    = net.HardwareAddr{0x52, 0x54, 0, 0, 0, 1}
	theirs  = net.HardwareAddr{0x52, 0x54, 0, 0, 0, 2}
	address = netip.MustParseAddr("10.0.2.15")
	other   = netip.MustParseAddr("10.0.2.2")
	eth0    = network.Link{Index: 2, Name: "eth0", MAC: ours}
	start   = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // when a bubble of testing/synctest begins
)

// A wire is a connection to a link on which others speak at given times after the first message.
type wire struct {
	net.PacketConn
	others []utterance
	fail   error         // of the first read
	slow   time.Duration // that sending takes

	mu     sync.Mutex
	sent   []sent
	in     chan []byte
	closed chan struct{}
}

type utterance struct {
	at time.Duration
	b  []byte
}

type sent struct {
	At       time.Duration
	From, To string
}

func (w *wire) prober() Prober {
	w.in, w.closed = make(chan []byte), make(chan struct{})
	return Prober{open: func(network.Link, netip.Addr) (net.PacketConn, error) { return w, nil }}
}

func (w *wire) ReadFrom(b []byte) (int, net.Addr, error) {
	if err := w.fail; err != nil {
		w.fail = nil
		return 0, nil, err
	}
	select {
	case m := <-w.in:
		return copy(b, m), nil, nil
	case <-w.closed:
		return 0, nil, net.ErrClosed
	}
}

func (w *wire) WriteTo(b []byte, _ net.Addr) (int, error) {
	m, err := parse(b)
	if err != nil {
		return 0, err
	}
	time.Sleep(w.slow)
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.sent) == 0 {
		for _, o := range w.others {
			time.AfterFunc(o.at, func() {
				select {
				case w.in <- o.b:
				case <-w.closed:
				}
			})
		}
	}
	w.sent = append(w.sent, sent{time.Since(start), m.from.String(), m.to.String()})
	return len(b), nil
}

func (w *wire) Close() error { close(w.closed); return nil }

// says makes a message of somebody's.
func says(operation uint16, sender net.HardwareAddr, from, to netip.Addr) []byte {
	return message{operation, sender, from, make(net.HardwareAddr, 6), to}.marshal()
}

func TestProbe(t *testing.T) {
	const soon = 5 * time.Millisecond
	none := netip.IPv4Unspecified()
	for _, tt := range []struct {
		name  string
		heard []byte // 5 ms after the probe
		taken bool
	}{
		{"silence", nil, false},
		{"a reply", says(reply, theirs, address, none), true},
		{"a reply, padded", append(says(reply, theirs, address, none), make([]byte, 18)...), true},
		{"an announcement", says(request, theirs, address, address), true},
		{"a question of the address's owner", says(request, theirs, address, other), true},
		{"somebody else's probe", says(request, theirs, none, address), true},
		{"our own probe, which comes back", says(request, ours, none, address), false},
		{"our own address, from before", says(reply, ours, address, none), false},
		{"somebody asks for the address", says(request, theirs, other, address), false},
		{"another address", says(reply, theirs, other, none), false},
		{"somebody probes another address", says(request, theirs, none, other), false},
		{"a reply to nobody", says(reply, theirs, none, address), false},
		{"another operation", says(8, theirs, address, none), false},
		{"too short", says(reply, theirs, address, none)[:27], false},
		{"another kind of link", append([]byte{0, 32}, says(reply, theirs, address, none)[2:]...), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &wire{}
				if tt.heard != nil {
					w.others = []utterance{{soon, tt.heard}}
				}
				err := w.prober().Probe(t.Context(), eth0, address)
				var duplicate *network.DuplicateError
				switch {
				case !tt.taken && err != nil:
					t.Errorf("Probe = %v, want nil", err)
				case tt.taken && (!errors.As(err, &duplicate) || duplicate.Address != address || duplicate.Owner.String() != theirs.String()):
					t.Errorf("Probe = %v, want a duplicate of %v", err, theirs)
				}
				want := patience
				if tt.taken {
					want = soon
				}
				if took := time.Since(start); took != want {
					t.Errorf("Probe took %v, want %v", took, want)
				}
				if diff := cmp.Diff([]sent{{0, "0.0.0.0", "10.0.2.15"}}, w.sent); diff != "" {
					t.Errorf("sent (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestProbeEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := (&wire{}).prober().Probe(ctx, eth0, address); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Probe = %v, want that of its context", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w := &wire{fail: unix.ENETDOWN, others: []utterance{{time.Millisecond, says(reply, theirs, address, other)}}}
		if err := w.prober().Probe(t.Context(), eth0, address); err == nil {
			t.Error("Probe on a link that was down = nil, want a duplicate")
		}
	})
	synctest.Test(t, func(t *testing.T) {
		if err := (&wire{fail: unix.EIO}).prober().Probe(t.Context(), eth0, address); !errors.Is(err, unix.EIO) {
			t.Errorf("Probe = %v, want %v", err, unix.EIO)
		}
	})
	// A machine that has no time to send its question waits for the answer all the same.
	synctest.Test(t, func(t *testing.T) {
		w := &wire{slow: 2 * patience, others: []utterance{{time.Millisecond, says(reply, theirs, address, other)}}}
		var duplicate *network.DuplicateError
		if err := w.prober().Probe(t.Context(), eth0, address); !errors.As(err, &duplicate) {
			t.Errorf("Probe that is sent late = %v, want a duplicate", err)
		}
	})
	for name, try := range map[string]func(Prober) error{
		"IPv6":   func(p Prober) error { return p.Probe(t.Context(), eth0, netip.MustParseAddr("2001:db8::1")) },
		"no MAC": func(p Prober) error { return p.Probe(t.Context(), network.Link{Name: "tun0"}, address) },
		"no link": func(Prober) error {
			return Prober{}.Probe(t.Context(), network.Link{Index: 1 << 30, MAC: ours}, address)
		},
		"no watch": func(Prober) error {
			return Prober{}.Watch(t.Context(), network.Link{Index: 1 << 30, MAC: ours}, address)
		},
	} {
		var duplicate *network.DuplicateError
		if err := try((&wire{}).prober()); err == nil || errors.As(err, &duplicate) {
			t.Errorf("%s: %v, want an error that is no duplicate", name, err)
		}
	}
}

func TestWatch(t *testing.T) {
	claim := says(request, theirs, address, address)
	announced := func(at ...time.Duration) []sent {
		var list []sent
		for _, d := range at {
			list = append(list, sent{d, "10.0.2.15", "10.0.2.15"})
		}
		return list
	}
	const limit = time.Minute
	for _, tt := range []struct {
		name  string
		heard []utterance
		want  []sent
		taken time.Duration // 0: never
	}{
		{"silence", nil, announced(0), 0},
		{"one claim is contradicted", []utterance{{time.Second, claim}}, announced(0, time.Second), 0},
		{"two claims win", []utterance{{time.Second, claim}, {3 * time.Second, claim}}, announced(0, time.Second), 3 * time.Second},
		{"claims far apart", []utterance{{time.Second, claim}, {12 * time.Second, claim}}, announced(0, time.Second, 12*time.Second), 0},
		{
			"questions and probes are answered by the kernel",
			[]utterance{{1, says(request, theirs, other, address)}, {2, says(request, theirs, netip.IPv4Unspecified(), address)}, {3, says(request, ours, address, address)}},
			announced(0), 0,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &wire{others: tt.heard}
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				defer cancel()
				err := w.prober().Watch(ctx, eth0, address)
				var duplicate *network.DuplicateError
				took := time.Since(start)
				switch {
				case tt.taken == 0 && (!errors.Is(err, context.DeadlineExceeded) || took != limit):
					t.Errorf("Watch = %v after %v, want the end of its context", err, took)
				case tt.taken != 0 && (!errors.As(err, &duplicate) || took != tt.taken || !slices.Equal(duplicate.Owner, theirs)):
					t.Errorf("Watch = %v after %v, want a duplicate of %v after %v", err, took, theirs, tt.taken)
				}
				if diff := cmp.Diff(tt.want, w.sent); diff != "" {
					t.Errorf("sent (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// FuzzParse: no panic, and what is read can be written again.
func FuzzParse(f *testing.F) {
	f.Add(says(reply, theirs, address, other))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := parse(b); err == nil && !slices.Equal(m.marshal(), b[:size]) {
			t.Errorf("parse(%x) = %+v", b, m)
		}
	})
}
