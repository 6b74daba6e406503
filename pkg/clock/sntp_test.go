package clock

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var (
	built = time.Date(2026, time.November, 1, 0, 0, 0, 0, time.UTC)
	right = time.Date(2026, time.November, 22, 19, 0, 0, 250e6, time.UTC)
)

// stamp is a timestamp of RFC 5905, section 6.
func stamp(t time.Time) uint64 {
	seconds := uint64(t.Unix() + 2208988800) // between 1900 and 1970
	return seconds<<32 | uint64(t.Nanosecond())<<32/uint64(time.Second)
}

// reply is a good answer to a question, of a server that got it at the time now.
func reply(question []byte, now time.Time) []byte {
	packet := make([]byte, packetSize)
	packet[0] = version<<3 | modeServer
	packet[atStratum] = 2
	copy(packet[atReference:], []byte{192, 0, 2, 7})
	copy(packet[atOrigin:], question[atTransmit:])
	binary.BigEndian.PutUint64(packet[atReceive:], stamp(now))
	binary.BigEndian.PutUint64(packet[atTransmit:], stamp(now))
	return packet
}

// A server answers the question number n, counted from 1, with packets.
type server func(n int, question []byte) [][]byte

// dial connects to the server by a line in memory, which keeps packets apart, and on which time is a bubble's.
func (s server) dial(context.Context, string, string) (net.Conn, error) {
	near, far := net.Pipe()
	go func() {
		buffer := make([]byte, 1024)
		for n := 1; ; n++ {
			size, err := far.Read(buffer)
			if err != nil {
				return // closed
			}
			for _, packet := range s(n, buffer[:size]) {
				if _, err := far.Write(packet); err != nil {
					return // closed
				}
			}
		}
	}()
	return near, nil
}

// serve runs the server on the loopback, and returns its address.
func (s server) serve(t *testing.T) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		<-done
	})
	go func() {
		defer close(done)
		buffer := make([]byte, 1024)
		for n := 1; ; n++ {
			size, from, err := conn.ReadFromUDPAddrPort(buffer)
			if err != nil {
				return // closed
			}
			for _, packet := range s(n, buffer[:size]) {
				if _, err := conn.WriteToUDPAddrPort(packet, from); err != nil && !errors.Is(err, net.ErrClosed) {
					t.Errorf("answer the client: %v", err)
				}
			}
		}
	}()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// change is a good answer with one byte set.
func change(at int, value byte) server {
	return func(_ int, question []byte) [][]byte {
		packet := reply(question, right)
		packet[at] = value
		return [][]byte{packet}
	}
}

func TestQuery(t *testing.T) {
	good := func(_ int, question []byte) [][]byte { return [][]byte{reply(question, right)} }
	for _, tt := range []struct {
		name   string
		server server
		want   string // in the error; empty is the right time
	}{
		{"good", good, ""},
		{"extensions behind the packet", func(_ int, question []byte) [][]byte {
			return [][]byte{append(reply(question, right), make([]byte, 200)...)}
		}, ""},
		{"the first question is lost", func(n int, question []byte) [][]byte {
			if n == 1 {
				return nil
			}
			return good(n, question)
		}, ""},
		{"a stranger's packets come first", func(n int, question []byte) [][]byte {
			foreign := reply(question, right.Add(time.Hour))
			foreign[atOrigin]++
			return [][]byte{foreign, {1, 2, 3}, question, reply(question, right)}
		}, ""},
		{"wrong origin", func(_ int, question []byte) [][]byte {
			packet := reply(question, right)
			packet[atOrigin+7] ^= 1
			return [][]byte{packet}
		}, "wrong origin timestamp"},
		{"the answer to the question before", func() server {
			before := make([]byte, packetSize)
			return func(_ int, question []byte) [][]byte {
				packet := reply(before, right)
				copy(before, question)
				return [][]byte{packet}
			}
		}(), "wrong origin timestamp"},
		{"short", func(_ int, question []byte) [][]byte { return [][]byte{reply(question, right)[:47]} }, "47 bytes"},
		{"our question sent back", func(_ int, question []byte) [][]byte { return [][]byte{question} }, "mode 3"},
		{"silent", func(int, []byte) [][]byte { return nil }, "no answer to 2 questions"},
		{"kiss of death", func(_ int, question []byte) [][]byte {
			packet := reply(question, right)
			packet[atStratum] = 0
			copy(packet[atReference:], "RATE")
			return [][]byte{packet}
		}, `refuses to answer ("RATE")`},
		{"stratum 0 with a strange code", change(atStratum, 0), "refuses to answer"},
		{"stratum 15", change(atStratum, 15), ""},
		{"stratum 16", change(atStratum, 16), "not synchronised"},
		{"leap second announced", change(0, 1<<6|version<<3|modeServer), ""},
		{"leap indicator 3", change(0, 3<<6|version<<3|modeServer), "not synchronised"},
		{"symmetric mode", change(0, version<<3|2), "mode 2"},
		{"a dispersion of 15 s", change(atDispersion+1, 15), ""},
		{"a dispersion of 16 s", change(atDispersion+1, 16), "may be wrong by 16s"},
		{"a delay of 32 s", change(atDelay+1, 32), "may be wrong by 16s"},
		{"no receive timestamp", func(_ int, question []byte) [][]byte {
			packet := reply(question, right)
			clear(packet[atReceive:atTransmit])
			return [][]byte{packet}
		}, "not synchronised"},
		{"no transmit timestamp", func(_ int, question []byte) [][]byte {
			packet := reply(question, right)
			clear(packet[atTransmit:])
			return [][]byte{packet}
		}, "not synchronised"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var questions atomic.Int32
				answers := server(func(n int, question []byte) [][]byte {
					questions.Store(int32(n))
					if len(question) != packetSize || question[0] != 0x23 {
						t.Errorf("question = %x, want 48 bytes that begin with 23: version 4, mode 3", question)
					}
					return tt.server(n, question)
				})
				client := sntp{port: ntpPort, timeout: tryTime, tries: tries, pivot: built, dial: answers.dial}
				got, err := client.query(t.Context(), netip.MustParseAddr("192.0.2.1"))
				switch {
				case tt.want != "":
					if err == nil || !strings.Contains(err.Error(), tt.want) {
						t.Errorf("query = %v, %v, want an error with %q", got, err, tt.want)
					}
				case err != nil:
					t.Errorf("query: %v", err)
				case got.Sub(right).Abs() > time.Microsecond:
					t.Errorf("query = %v, want %v", got, right)
				}
				if n := questions.Load(); strings.Contains(tt.want, "refuses") && n > 1 {
					t.Errorf("the server refused, and was asked %d times", n)
				}
			})
		})
	}
}

// A server on a socket of the kernel's is asked.
func TestQueryUDP(t *testing.T) {
	good := server(func(_ int, question []byte) [][]byte { return [][]byte{reply(question, right)} })
	address := good.serve(t)
	client := sntp{port: address.Port(), timeout: time.Hour, tries: 1, pivot: built, dial: new(net.Dialer).DialContext}
	if got, err := client.query(t.Context(), address.Addr()); err != nil || got.Before(right.Add(-time.Microsecond)) || got.After(right.Add(time.Hour)) {
		t.Errorf("query = %v, %v, want %v and a little", got, err, right)
	}
}

// Nobody listens: the kernel says so, and nothing is waited for.
func TestQueryRefused(t *testing.T) {
	// A socket that hears only one other keeps the port for itself all the same.
	conn, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2), Port: ntpPort})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	address := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	client := sntp{port: address.Port(), timeout: time.Hour, tries: 2, pivot: built, dial: new(net.Dialer).DialContext}
	if got, err := client.query(t.Context(), address.Addr()); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("query = %v, %v, want connection refused", got, err)
	}
}

// The end of the context ends the waiting for an answer, also while foreign packets come.
func TestQueryEnds(t *testing.T) {
	why := errors.New("the boot goes on")
	for _, tt := range []struct {
		name   string
		answer func(question []byte) [][]byte
	}{
		{"silence", func([]byte) [][]byte { return nil }},
		{"foreign packets", func(question []byte) [][]byte { return [][]byte{question, question} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			address := server(func(_ int, question []byte) [][]byte {
				defer cancel(why)
				return tt.answer(question)
			}).serve(t)
			client := sntp{port: address.Port(), timeout: time.Hour, tries: 2, pivot: built, dial: new(net.Dialer).DialContext}
			if got, err := client.query(ctx, address.Addr()); !errors.Is(err, why) {
				t.Errorf("query = %v, %v, want %v", got, err, why)
			}
		})
	}
}

func TestAnswerTime(t *testing.T) {
	for _, tt := range []struct {
		name       string
		busy, trip time.Duration
		want       time.Duration // behind the transmit timestamp
	}{
		{"half of the way is the way back", 0, 80 * time.Millisecond, 40 * time.Millisecond},
		{"the server took its time", 60 * time.Millisecond, 80 * time.Millisecond, 10 * time.Millisecond},
		{"the server says it took longer than the whole", time.Hour, 80 * time.Millisecond, 0},
		{"the server's clock went back", -time.Hour, 80 * time.Millisecond, 40 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			received := stamp(right.Add(-tt.busy))
			a := answer{span(received, stamp(right)), stamp(right)}
			got := a.time(tt.trip, built).Sub(right)
			if diff := got - tt.want; diff < -time.Microsecond || diff > time.Microsecond {
				t.Errorf("time = %v behind the transmit timestamp, want %v", got, tt.want)
			}
		})
	}
}

func TestDate(t *testing.T) {
	day := func(year int) time.Time { return time.Date(year, time.March, 1, 12, 0, 0, 500e6, time.UTC) }
	for _, tt := range []struct {
		name        string
		pivot, want time.Time
	}{
		{"this era", built, day(2026)},
		{"an image of the first era in the second", built, day(2040)},
		{"an image of the second era", day(2041), day(2045)},
		{"before the pivot", day(2041), day(2030)},
		{"67 years later", built, day(2093)},
		{"before 1970", day(1960), day(1950)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := date(stamp(tt.want), tt.pivot); !got.Equal(tt.want) {
				t.Errorf("date(%x, %v) = %v, want %v", stamp(tt.want), tt.pivot, got, tt.want)
			}
		})
	}
}

// FuzzParseAnswer: whatever comes, there is no panic, and what is taken for an answer has our number in it and a time near the pivot.
func FuzzParseAnswer(f *testing.F) {
	question := newQuestion()
	f.Add(reply(question[:], right)[atReceive:], byte(2), byte(0x24))
	f.Add([]byte{}, byte(0), byte(0xff))
	f.Fuzz(func(t *testing.T, rest []byte, stratum, first byte) {
		packet := append(make([]byte, atReceive), rest...)
		packet[0], packet[atStratum] = first, stratum
		if _, err := parseAnswer(packet, question); err == nil {
			t.Errorf("parseAnswer(%x) takes it for an answer to another question", packet)
		}
		copy(packet[atOrigin:atReceive], question[atTransmit:])
		a, err := parseAnswer(packet, question)
		if err != nil {
			return
		}
		got := a.time(time.Second, built)
		if age := got.Sub(built); age < -believed || age > believed+time.Second {
			t.Errorf("parseAnswer(%x) says %v", packet, got)
		}
	})
}

func TestErrorOfSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silent := server(func(int, []byte) [][]byte { return nil })
		client := sntp{port: ntpPort, timeout: time.Millisecond, tries: 2, pivot: built, dial: silent.dial}
		want := "no answer to 2 questions in 2ms"
		if got, err := client.query(t.Context(), netip.MustParseAddr("192.0.2.1")); err == nil || err.Error() != want {
			t.Errorf("query = %v, %v, want %s", got, err, want)
		}
	})
}
