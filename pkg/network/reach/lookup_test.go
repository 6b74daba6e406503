package reach

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/liveboot/liveboot/pkg/network"
)

// zone is what a nameserver of a test knows.
type zone struct {
	addresses map[string][]string // by name
	rcode     dnsmessage.RCode    // instead of an answer
	truncate  bool                // what goes by UDP
	silent    bool
}

// serve answers by UDP and TCP, on one port of the loopback.
func serve(t *testing.T, z zone) uint16 {
	t.Helper()
	packets, streams := listenBoth(t)
	t.Cleanup(func() { packets.Close(); streams.Close() })
	go func() {
		buffer := make([]byte, 512)
		for {
			n, from, err := packets.ReadFrom(buffer)
			if err != nil {
				return
			}
			if !z.silent {
				packets.WriteTo([]byte{0, 0, 1}, from) // a stray packet
				packets.WriteTo(z.answer(buffer[:n], z.truncate), from)
			}
		}
	}()
	go func() {
		for {
			conn, err := streams.Accept()
			if err != nil {
				return
			}
			length := make([]byte, 2)
			io.ReadFull(conn, length)
			question := make([]byte, binary.BigEndian.Uint16(length))
			io.ReadFull(conn, question)
			answer := z.answer(question, false)
			conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
			conn.Close()
		}
	}()
	return uint16(packets.LocalAddr().(*net.UDPAddr).Port)
}

// listenBoth listens on one port for both. One that is free for datagrams may be in use for connections.
func listenBoth(t *testing.T) (net.PacketConn, net.Listener) {
	t.Helper()
	for {
		packets, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		streams, err := net.Listen("tcp", packets.LocalAddr().String())
		if err == nil {
			return packets, streams
		}
		packets.Close()
		if !errors.Is(err, syscall.EADDRINUSE) {
			t.Fatal(err)
		}
	}
}

func (z zone) answer(question []byte, truncate bool) []byte {
	var m dnsmessage.Message
	if err := m.Unpack(question); err != nil {
		return nil
	}
	m.Response, m.RCode, m.Truncated = true, z.rcode, truncate
	q := m.Questions[0]
	addresses, known := z.addresses[q.Name.String()]
	if !known && m.RCode == dnsmessage.RCodeSuccess {
		m.RCode = dnsmessage.RCodeNameError
	}
	alias := dnsmessage.MustNewName("alias.example.")
	if known && !truncate {
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class}, Body: &dnsmessage.CNAMEResource{CNAME: alias}})
		for _, text := range addresses {
			a := netip.MustParseAddr(text)
			header := dnsmessage.ResourceHeader{Name: alias, Class: q.Class}
			switch {
			case a.Is4() && q.Type == dnsmessage.TypeA:
				m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: a.As4()}})
			case a.Is6() && q.Type == dnsmessage.TypeAAAA:
				m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
			}
		}
	}
	packed, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return packed
}

func TestLookup(t *testing.T) {
	both := map[string][]string{"server.example.": {"192.0.2.1", "2001:db8::1"}, "bare.example.": nil}
	for _, tt := range []struct {
		name string
		zone zone
		ask  string
		want []string
		err  string
	}{
		{"both kinds, behind an alias", zone{addresses: both}, "server.example.", []string{"192.0.2.1", "2001:db8::1"}, ""},
		{"by TCP", zone{addresses: both, truncate: true}, "server.example.", []string{"192.0.2.1", "2001:db8::1"}, ""},
		{"no such name", zone{addresses: both}, "other.example.", nil, "no such host: other.example"},
		{"a name without an address", zone{addresses: both}, "bare.example.", nil, "no such host: bare.example"},
		{"the server fails", zone{rcode: dnsmessage.RCodeServerFailure}, "server.example.", nil, "the resolver 127.0.0.1: it answers ServerFailure"},
		{"the server is silent", zone{silent: true}, "server.example.", nil, "the resolver 127.0.0.1: i/o timeout"},
		{"no name", zone{}, strings.Repeat("x", 300) + ".", nil, "is no name of a host"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx := t.Context()
			if tt.zone.silent { // else it is asked until it answers
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, answerTime+answerTime/2)
				defer cancel()
			}
			r := resolver{&net.Dialer{}, []netip.Addr{netip.MustParseAddr("127.0.0.1")}, serve(t, tt.zone)}
			got, err := r.lookup(ctx, tt.ask)
			var texts []string
			for _, a := range got {
				texts = append(texts, a.String())
			}
			if diff := cmp.Diff(tt.want, texts); diff != "" || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("lookup = %v, want an error with %q; addresses (-want +got):\n%s", err, tt.err, diff)
			}
		})
	}
}

// TestLookupNextServer: a server that is silent is left for the next one.
func TestLookupNextServer(t *testing.T) {
	port := serve(t, zone{addresses: map[string][]string{"server.example.": {"192.0.2.1"}}})
	r := resolver{&net.Dialer{}, []netip.Addr{netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.0.0.1")}, port}
	got, err := r.lookup(t.Context(), "server.example.")
	if err != nil || len(got) != 1 {
		t.Errorf("lookup = %v, %v, want the second server's answer", got, err)
	}
}

// FuzzUnpack: whatever a server sends, there is no panic, and only addresses of the kind that was asked for.
func FuzzUnpack(f *testing.F) {
	question, err := pack(7, "server.example.", dnsmessage.TypeA)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(zone{addresses: map[string][]string{"server.example.": {"192.0.2.1"}}}.answer(question, false))
	f.Add(zone{rcode: dnsmessage.RCodeRefused}.answer(question, true))
	f.Fuzz(func(t *testing.T, message []byte) {
		addresses, _, _ := unpack(message, 7, dnsmessage.TypeA)
		for _, a := range addresses {
			if !a.Is4() {
				t.Errorf("unpack(%x) = %v, want IPv4 addresses only", message, addresses)
			}
		}
	})
}

func TestNames(t *testing.T) {
	for _, tt := range []struct {
		name, host string
		search     []string
		want       []string
	}{
		{"short", "server", []string{"a.example", "b.example."}, []string{"server.a.example.", "server.b.example.", "server."}},
		{"with a domain", "server.lab", []string{"a.example"}, []string{"server.lab.", "server.lab.a.example."}},
		{"complete", "server.lab.", []string{"a.example"}, []string{"server.lab."}},
	} {
		if diff := cmp.Diff(tt.want, names(tt.host, tt.search)); diff != "" {
			t.Errorf("names(%s) (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestUsable(t *testing.T) {
	four, six := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	for _, tt := range []struct {
		name  string
		lease string
		want  []netip.Addr
	}{
		{"over IPv4", "192.0.2.5/24", []netip.Addr{four}},
		{"over IPv6", "2001:db8::5/64", []netip.Addr{six}},
	} {
		got := usable([]netip.Addr{four, six}, network.Lease{Address: netip.MustParsePrefix(tt.lease)})
		if diff := cmp.Diff(tt.want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			t.Errorf("usable(%s) (-want +got):\n%s", tt.name, diff)
		}
	}
}
