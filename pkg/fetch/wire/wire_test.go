package wire

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"testing"
)

func TestSame(t *testing.T) {
	for _, tt := range []struct {
		name string
		a, b Validator
		want bool
	}{
		{"tags", Validator{ETag: `"x"`}, Validator{ETag: `"x"`}, true},
		{"other tags", Validator{ETag: `"x"`}, Validator{ETag: `"y"`}, false},
		{"other tags, same date", Validator{`"x"`, "today"}, Validator{`"y"`, "today"}, false},
		{"same tag, other date", Validator{`"x"`, "today"}, Validator{`"x"`, "now"}, true},
		{"dates", Validator{Modified: "today"}, Validator{Modified: "today"}, true},
		{"date, and both", Validator{Modified: "today"}, Validator{`"x"`, "today"}, true},
		{"tag and date", Validator{ETag: `"x"`}, Validator{Modified: "today"}, false},
		{"none", Validator{}, Validator{}, false},
	} {
		if got := tt.a.Same(tt.b); got != tt.want || tt.b.Same(tt.a) != tt.want {
			t.Errorf("%s: Same = %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestDialer(t *testing.T) {
	listener, err := Dialer{IPVersion: 4}.Listen(t.Context(), "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for _, tt := range []struct {
		name   string
		dialer Dialer
		from   string // empty: an error
	}{
		{"any", Dialer{}, "127.0.0.1"},
		{"from an address", Dialer{Interface: "127.0.0.77"}, "127.0.0.77"},
		{"from an interface", Dialer{Interface: "lo"}, "127.0.0.1"},
		{"IPv6 only", Dialer{IPVersion: 6}, ""},
		{"no such interface", Dialer{Interface: "nope0"}, ""},
	} {
		conn, err := tt.dialer.DialContext(t.Context(), "tcp", listener.Addr().String())
		if (err == nil) != (tt.from != "") {
			t.Errorf("%s: dial = %v", tt.name, err)
		}
		var link *InterfaceError
		if errors.As(err, &link) != (tt.name == "no such interface") {
			t.Errorf("%s: dial = %v, an InterfaceError only where there is none", tt.name, err)
		}
		if err != nil {
			continue
		}
		if from := conn.LocalAddr().(*net.TCPAddr).IP.String(); from != tt.from {
			t.Errorf("%s: came from %s, want %s", tt.name, from, tt.from)
		}
		conn.Close()
	}
}

func TestListenPort(t *testing.T) {
	for _, from := range []string{"", "127.0.0.78", "lo"} {
		listener, err := Dialer{Interface: from}.ListenPort(t.Context(), 0)
		if err != nil {
			t.Errorf("ListenPort on %q: %v", from, err)
			continue
		}
		host := "127.0.0.1"
		if from == "127.0.0.78" {
			host = from
		}
		port := strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
		if conn, err := net.Dial("tcp4", net.JoinHostPort(host, port)); err != nil {
			t.Errorf("connect to ListenPort on %q: %v", from, err)
		} else {
			conn.Close()
		}
		listener.Close()
	}
}

func TestListenPacket(t *testing.T) {
	for _, remote := range []string{"127.0.0.1", "::1"} {
		conn, err := Dialer{}.ListenPacket(t.Context(), netip.MustParseAddr(remote))
		if err != nil {
			t.Fatal(err)
		}
		port := uint16(conn.LocalAddr().(*net.UDPAddr).Port)
		if _, err := conn.WriteToUDPAddrPort([]byte("x"), netip.AddrPortFrom(netip.MustParseAddr(remote), port)); err != nil {
			t.Errorf("send to %s: %v", remote, err)
		}
		conn.Close()
	}
}

func TestResolve(t *testing.T) {
	for _, tt := range []struct {
		dialer Dialer
		host   string
		want   string // empty: an error
	}{
		{Dialer{}, "192.0.2.1", "192.0.2.1"},
		{Dialer{IPVersion: 4}, "192.0.2.1", "192.0.2.1"},
		{Dialer{IPVersion: 6}, "192.0.2.1", ""},
		{Dialer{IPVersion: 6}, "2001:db8::1", "2001:db8::1"},
	} {
		got, err := tt.dialer.Resolve(t.Context(), tt.host)
		if (err == nil) != (tt.want != "") || err == nil && got[0].Unmap().String() != tt.want {
			t.Errorf("Resolve(%s) by IPv%d = %v, %v, want %s", tt.host, tt.dialer.IPVersion, got, err, tt.want)
		}
	}
}
