package dolly

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/dolly/ring"
)

func TestPlace(t *testing.T) {
	me := Identity{Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8::7")}, Name: "node7.example.org"}
	names := map[string]string{"storage7": "192.0.2.7", "seven": "198.51.100.7", "node9": "192.0.2.9"}
	resolve := func(_ context.Context, host string) ([]netip.Addr, error) {
		if a, ok := names[host]; ok {
			return []netip.Addr{netip.MustParseAddr(a)}, nil
		}
		return nil, errors.New("no such host")
	}
	for _, tt := range []struct {
		name   string
		hosts  string
		hyphen bool
		want   int // -1: not there
	}{
		{"the address that was connected to", "192.0.2.7 198.51.100.7", false, 1},
		{"another address", "192.0.2.1 192.0.2.7", false, 1},
		{"name", "node1 node7", false, 1},
		{"name with its domain", "node7.example.com node7.example.org", false, 1},
		{"name in capitals", "NODE7", false, 0},
		{"what a name stands for", "node9 storage7", false, 1},
		{"what a name stands for, by the address that was connected to", "node9 seven", false, 1},
		{"interface behind a hyphen", "node1-giga node7-giga", false, 1},
		{"hyphen as a part of the name", "node1-giga node7-giga", true, -1},
		{"a name that begins as ours", "node77", false, -1},
		{"nobody", "192.0.2.1 node1", false, -1},
	} {
		c := ring.Config{Hosts: strings.Fields(tt.hosts), HyphenNormal: tt.hyphen}
		got, err := place(t.Context(), c, netip.MustParseAddr("198.51.100.7"), me, resolve)
		if err != nil {
			got = -1
		}
		var unnamed *NotNamedError
		if got != tt.want || errors.As(err, &unnamed) != (tt.want < 0) {
			t.Errorf("%s: place = %d, %v, want %d", tt.name, got, err, tt.want)
		}
	}
}

func TestParentName(t *testing.T) {
	for _, tt := range []struct {
		hosts   string
		place   int
		address string
		want    string
	}{
		{"192.0.2.1 192.0.2.2 192.0.2.3", 2, "192.0.2.1", "node 1, 192.0.2.1"}, // the one between was left out
		{"192.0.2.1 192.0.2.2", 0, "192.0.2.9", "the dolly server 192.0.2.9"},
		{"node1 node2 node3", 2, "192.0.2.1", "the node before, 192.0.2.1"},
	} {
		c := call{Introduction: ring.Introduction{Config: ring.Config{Hosts: strings.Fields(tt.hosts), Fanout: 1}}, place: tt.place}
		if got := parentName(c, tt.address); got != tt.want {
			t.Errorf("parentName(%s at %d, %s) = %q, want %q", tt.hosts, tt.place, tt.address, got, tt.want)
		}
	}
}

// cutting is a connection that takes a part of what is written, and then no more for a while.
type cutting struct {
	net.Conn
	got []byte
}

func (c *cutting) Write(p []byte) (int, error) {
	if len(c.got) > 0 {
		c.got = append(c.got, p...)
		return len(p), nil
	}
	c.got = append(c.got, p[:5]...)
	return 5, os.ErrDeadlineExceeded
}

func (*cutting) SetWriteDeadline(time.Time) error { return nil }

// TestCutLine: behind half a line nothing is sent, which would be taken for its end.
func TestCutLine(t *testing.T) {
	conn := new(cutting)
	n := newNode(t.Context(), nil, new(File), call{Introduction: ring.Introduction{Config: ring.Config{Hosts: []string{"a"}, Fanout: 1}}, control: named{conn}})
	n.up("Client a configured\n")
	n.up("Client b lost.\n")
	if string(conn.got) != "Clien" {
		t.Errorf("up sent %q, want no more than what the first line began with", conn.got)
	}
}

// named is a connection with an address.
type named struct{ *cutting }

func (named) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)} }

func TestEvents(t *testing.T) {
	broken := errors.New("no route")
	for _, tt := range []struct {
		event   Event
		want    string
		problem bool
	}{
		{Waiting{}, "waiting for the dolly server to connect on ports 9998 and 9997", false},
		{Waiting{For: 61 * time.Second}, "waiting for the dolly server to connect on ports 9998 and 9997, for 1m1s now", false},
		{Refused{"192.0.2.9", broken}, "not in the ring of 192.0.2.9: no route", true},
		{Joined{"node7", 7, 16, "node 6, node6", "0.7x"}, "node 7 of 16, node7, in the ring of dolly 0.7x, behind node 6, node6", false},
		{Trying{"node8", broken}, "the next node, node8, is not there yet: no route", true},
		{Linked{"node8"}, "passing everything on to node8", false},
		{Skipped{"node8", broken}, "the node node8 is left out: no route", true},
		{Lost{"node8", 5, 0, broken}, "the next node, node8, is gone after 5 bytes: no route; going on without it", true},
		{Lost{"node8", 5, 2, broken}, "the next node, node8, is gone after 5 bytes: no route; going on without it and the 2 behind it", true},
		{Stuck{"node8", true, 5, time.Minute}, "node8 takes nothing since 1m0s, at byte 5", true},
		{Stuck{"node 6, node6", false, 5, time.Minute}, "node 6, node6 sends nothing since 1m0s, at byte 5", true},
		{Unconfirmed{"node8", broken}, "the next node, node8, has not said that it has everything: no route", true},
		{Said{"\x1b[2Jx"}, `said in the ring: "\x1b[2Jx"`, false},
	} {
		if tt.event.String() != tt.want || tt.event.Problem() != tt.problem {
			t.Errorf("%T: %q, problem %v, want %q, %v", tt.event, tt.event, tt.event.Problem(), tt.want, tt.problem)
		}
	}
}
