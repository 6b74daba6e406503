package dhcp4

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/network"
)

var eth0 = network.Link{Index: 2, Name: "eth0", MAC: net.HardwareAddr{0x52, 0x54, 0, 0x12, 0x34, 0x56}}

func leaseOf20s() network.Lease {
	addr := netip.MustParseAddr
	return network.Lease{
		Method: network.DHCP4, Address: netip.MustParsePrefix("10.0.2.15/24"), Server: addr("10.0.2.2"), BootServer: addr("10.0.2.4"),
		Valid: 20 * time.Second, Renew: 10 * time.Second, Rebind: 17500 * time.Millisecond, Since: start,
	}
}

func ignore(int) {}

// bounded ends what would go on for ever, be it in the time of a bubble.
func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestAcquire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := serve(t, friendly)
		defer s.stop()
		c.Firmware = Firmware{Arch: 7, Interface: [3]byte{1, 3, 0}, UUID: [16]byte{1: 0x11}}
		var attempts []int
		got, err := c.Acquire(bounded(t), eth0, func(n int) { attempts = append(attempts, n) })
		if diff := cmp.Diff(leaseOf20s(), got, comparable); err != nil || diff != "" {
			t.Errorf("Acquire: %v (-want +got):\n%s", err, diff)
		}
		if diff := cmp.Diff([]int{1}, attempts); diff != "" {
			t.Errorf("attempts (-want +got):\n%s", diff)
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("Acquire waited for %v, want it to answer at once", d)
		}
		want := []dhcpv4.MessageType{dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeRequest}
		if diff := cmp.Diff(want, s.types()); diff != "" {
			t.Fatalf("sent (-want +got):\n%s", diff)
		}
		for _, m := range s.messages() {
			checkMessage(t, m)
		}
		request := s.messages()[1]
		if !request.RequestedIPAddress().Equal(net.ParseIP("10.0.2.15")) || !request.ServerIdentifier().Equal(net.ParseIP("10.0.2.2")) {
			t.Errorf("REQUEST asks for another lease: %v", request.Summary())
		}
		if request.TransactionID != s.messages()[0].TransactionID {
			t.Error("REQUEST has another transaction than DISCOVER")
		}
	})
}

// TestAcquireEarlier: the address that a card had before is asked for again, and of another card's nothing is said.
func TestAcquireEarlier(t *testing.T) {
	other := network.Link{Index: 3, Name: "eth1", MAC: net.HardwareAddr{2, 0, 0, 0, 0, 9}}
	for _, tt := range []struct {
		name string
		link network.Link
		want net.IP
	}{{"the card", eth0, net.IPv4(10, 0, 2, 15)}, {"another card", other, nil}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, c := serve(t, friendly)
				defer s.stop()
				c.Earlier = map[string]netip.Addr{eth0.MAC.String(): netip.MustParseAddr("10.0.2.15")}
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				_, _ = c.Acquire(ctx, tt.link, ignore) // the server here knows eth0 only
				if got := s.messages()[0].RequestedIPAddress(); !got.Equal(tt.want) {
					t.Errorf("DISCOVER on %s asks for %v, want %v", tt.link.Name, got, tt.want)
				}
			})
		})
	}
}

// checkMessage looks for what DISCOVER and REQUEST have in common.
func checkMessage(t *testing.T, m message) {
	t.Helper()
	for code, want := range map[dhcpv4.OptionCode]string{
		dhcpv4.OptionClientIdentifier:                 "\x01\x52\x54\x00\x12\x34\x56",
		dhcpv4.OptionParameterRequestList:             "\x01\x79\x03\x06\x0c\x0f\x11\x1a\x2a\x3a\x3b\x77",
		dhcpv4.OptionMaximumDHCPMessageSize:           "\x05\xc0",
		dhcpv4.OptionClientSystemArchitectureType:     "\x00\x07",
		dhcpv4.OptionClientNetworkInterfaceIdentifier: "\x01\x03\x00",
		dhcpv4.OptionClientMachineIdentifier:          "\x00\x00\x11" + strings.Repeat("\x00", 14),
		dhcpv4.OptionClassIdentifier:                  "",
		dhcpv4.OptionUserClassInformation:             "",
	} {
		if got := string(m.Options.Get(code)); got != want {
			t.Errorf("%v has the option %v = %x, want %x", m.MessageType(), code, got, want)
		}
	}
	if m.IsBroadcast() || m.NumSeconds != 0 || m.ClientHWAddr.String() != eth0.MAC.String() || !m.to.IP.Equal(net.IPv4bcast) || m.to.Port != 67 {
		t.Errorf("%v to %v: %v", m.MessageType(), m.to, m.Summary())
	}
}

func TestAcquireRepeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := serve(t, silent)
		defer s.stop()
		ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
		defer cancel()
		attempts := 0
		_, err := c.Acquire(ctx, eth0, func(n int) { attempts = n })
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 60*time.Second {
			t.Errorf("Acquire = %v after %v, want the deadline's", err, time.Since(start))
		}
		sent := s.messages()
		if len(sent) != attempts || attempts < 6 {
			t.Fatalf("%d messages and %d attempts in a minute, want the same, and at least 6", len(sent), attempts)
		}
		want := []struct{ least, most time.Duration }{
			{750 * time.Millisecond, 1250 * time.Millisecond}, {1500 * time.Millisecond, 2500 * time.Millisecond}, {3 * time.Second, 5 * time.Second},
			{7 * time.Second, 9 * time.Second}, {15 * time.Second, 17 * time.Second},
		}
		for i, m := range sent {
			if m.TransactionID != sent[0].TransactionID {
				t.Errorf("DISCOVER %d begins a transaction", i+1)
			}
			if m.NumSeconds != uint16(m.at/time.Second) {
				t.Errorf("DISCOVER %d says %d seconds, want those of %v", i+1, m.NumSeconds, m.at)
			}
			if want := i+1 >= 4 && (i+1)%2 == 0; m.IsBroadcast() != want {
				t.Errorf("DISCOVER %d: broadcast %v, want %v", i+1, m.IsBroadcast(), want)
			}
			if i == 0 {
				continue
			}
			w := want[min(i, len(want))-1]
			if d := m.at - sent[i-1].at; d < w.least || d > w.most {
				t.Errorf("DISCOVER %d comes after %v, want %v to %v", i+1, d, w.least, w.most)
			}
		}
	})
}

func TestAcquireAgain(t *testing.T) {
	discover, request := dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeRequest
	nak := func(m *dhcpv4.DHCPv4, modifiers ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
		return to(m, dhcpv4.MessageTypeNak, append([]dhcpv4.Modifier{dhcpv4.WithYourIP(net.IPv4zero)}, modifiers...)...)
	}
	stranger := dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.ParseIP("10.0.2.99")))
	// times counts the messages of a kind that a server got.
	times := func(kind dhcpv4.MessageType, answer func(m *dhcpv4.DHCPv4, n int) []*dhcpv4.DHCPv4) reply {
		n := 0
		return func(m *dhcpv4.DHCPv4) []*dhcpv4.DHCPv4 {
			if m.MessageType() != kind {
				return friendly(m)
			}
			n++
			return answer(m, n)
		}
	}
	for _, tt := range []struct {
		name   string
		answer reply
		want   []dhcpv4.MessageType
		// least and most are how long it takes.
		least, most time.Duration
	}{
		{"the first DISCOVER is lost", times(discover, func(m *dhcpv4.DHCPv4, n int) []*dhcpv4.DHCPv4 {
			if n == 1 {
				return nil
			}
			return friendly(m)
		}), []dhcpv4.MessageType{discover, discover, request}, 750 * time.Millisecond, 1250 * time.Millisecond},
		{"the first REQUEST is lost", times(request, func(m *dhcpv4.DHCPv4, n int) []*dhcpv4.DHCPv4 {
			if n == 1 {
				return nil
			}
			return friendly(m)
		}), []dhcpv4.MessageType{discover, request, request}, 750 * time.Millisecond, 1250 * time.Millisecond},
		{"the server is gone after its offer", times(request, func(m *dhcpv4.DHCPv4, n int) []*dhcpv4.DHCPv4 {
			if n <= 3 {
				return nil
			}
			return friendly(m)
		}), []dhcpv4.MessageType{discover, request, request, request, discover, request}, 5 * time.Second, 9 * time.Second},
		{"a refusal", times(request, func(m *dhcpv4.DHCPv4, n int) []*dhcpv4.DHCPv4 {
			if n == 1 {
				return []*dhcpv4.DHCPv4{nak(m)}
			}
			return friendly(m)
		}), []dhcpv4.MessageType{discover, request, discover, request}, 0, 0},
		{"two refusals", times(request, func(m *dhcpv4.DHCPv4, n int) []*dhcpv4.DHCPv4 {
			if n <= 2 {
				return []*dhcpv4.DHCPv4{nak(m)}
			}
			return friendly(m)
		}), []dhcpv4.MessageType{discover, request, discover, request, discover, request}, 750 * time.Millisecond, 1250 * time.Millisecond},
		{"an acknowledgement that is none", times(request, func(m *dhcpv4.DHCPv4, n int) []*dhcpv4.DHCPv4 {
			if n == 1 {
				return []*dhcpv4.DHCPv4{to(m, dhcpv4.MessageTypeAck, dhcpv4.WithYourIP(net.IPv4zero))}
			}
			return friendly(m)
		}), []dhcpv4.MessageType{discover, request, discover, request}, 0, 0},
		{"a refusal of another server", times(request, func(m *dhcpv4.DHCPv4, _ int) []*dhcpv4.DHCPv4 {
			return append([]*dhcpv4.DHCPv4{nak(m, stranger)}, friendly(m)...)
		}), []dhcpv4.MessageType{discover, request}, 0, 0},
		{"offers that are of no use", times(discover, func(m *dhcpv4.DHCPv4, _ int) []*dhcpv4.DHCPv4 {
			question := to(m, dhcpv4.MessageTypeOffer, stranger)
			question.OpCode = dhcpv4.OpcodeBootRequest
			return append([]*dhcpv4.DHCPv4{
				to(m, dhcpv4.MessageTypeOffer, stranger, dhcpv4.WithYourIP(net.IPv4zero)), // a proxy DHCP server
				to(m, dhcpv4.MessageTypeOffer, dhcpv4.WithoutOption(dhcpv4.OptionServerIdentifier)),
				to(m, dhcpv4.MessageTypeOffer, stranger, dhcpv4.WithTransactionID(dhcpv4.TransactionID{1, 2, 3, 4})),
				to(m, dhcpv4.MessageTypeOffer, stranger, dhcpv4.WithHwAddr(net.HardwareAddr{2, 0, 0, 0, 0, 9})),
				to(m, dhcpv4.MessageTypeAck, stranger),
				question,
			}, friendly(m)...)
		}), []dhcpv4.MessageType{discover, request}, 0, 0},
		{"two offers", times(discover, func(m *dhcpv4.DHCPv4, _ int) []*dhcpv4.DHCPv4 {
			return append(friendly(m), to(m, dhcpv4.MessageTypeOffer, stranger, dhcpv4.WithYourIP(net.ParseIP("10.0.2.99"))))
		}), []dhcpv4.MessageType{discover, request}, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, c := serve(t, tt.answer)
				defer s.stop()
				got, err := c.Acquire(bounded(t), eth0, ignore)
				if err != nil || got.Address.String() != "10.0.2.15/24" || got.Server.String() != "10.0.2.2" {
					t.Errorf("Acquire = %v of %v, %v, want 10.0.2.15/24 of 10.0.2.2", got.Address, got.Server, err)
				}
				if diff := cmp.Diff(tt.want, s.types()); diff != "" {
					t.Errorf("sent (-want +got):\n%s", diff)
				}
				if d := time.Since(start); d < tt.least || d > tt.most {
					t.Errorf("Acquire took %v, want %v to %v", d, tt.least, tt.most)
				}
				xids := make(map[dhcpv4.TransactionID]bool)
				for i, m := range s.messages() {
					begins := m.MessageType() == discover && (i == 0 || s.messages()[i-1].MessageType() == request)
					if begins == xids[m.TransactionID] {
						t.Errorf("message %d, %v: the transaction is new %v, want %v", i, m.MessageType(), !xids[m.TransactionID], begins)
					}
					xids[m.TransactionID] = true
				}
			})
		})
	}
}

func TestAcquireSaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := serve(t, func(m *dhcpv4.DHCPv4) []*dhcpv4.DHCPv4 {
			if m.MessageType() == dhcpv4.MessageTypeRequest {
				return []*dhcpv4.DHCPv4{to(m, dhcpv4.MessageTypeNak, dhcpv4.WithOption(dhcpv4.OptMessage("no leases left")))}
			}
			return friendly(m)
		})
		defer s.stop()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		_, err := c.Acquire(ctx, eth0, ignore)
		if err == nil || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no leases left") || !strings.Contains(err.Error(), "eth0") {
			t.Errorf("Acquire = %v, want the link, the server's words and the deadline", err)
		}
		if n := len(s.messages()); n > 14 {
			t.Errorf("%d messages in 30 s to a server that refuses, want at most 14", n)
		}
	})
}

// failing is a connection on which errors come.
type failing struct {
	*end
	read, write error
	// writes is the number of the first that does not fail; 0 is none.
	reads, writes int
}

func (f *failing) ReadFrom(b []byte) (int, net.Addr, error) {
	if f.reads++; f.read != nil && f.reads == 1 {
		return 0, nil, f.read
	}
	return f.end.ReadFrom(b)
}

func (f *failing) WriteTo(b []byte, to net.Addr) (int, error) {
	if f.write != nil && f.writes != 1 {
		f.writes--
		return 0, f.write
	}
	return f.end.WriteTo(b, to)
}

func TestAcquireFails(t *testing.T) {
	broken := errors.New("broken")
	for _, tt := range []struct {
		name string
		conn failing
		want error
		took time.Duration
	}{
		{"the link was down", failing{read: unix.ENETDOWN}, nil, 0},
		{"nothing can be received", failing{read: broken}, broken, 0},
		{"the link needs a moment", failing{write: unix.ENOBUFS, writes: 3}, nil, 200 * time.Millisecond},
		{"nothing can be sent", failing{write: unix.ENXIO}, unix.ENXIO, 4900 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, c := serve(t, friendly)
				defer s.stop()
				open := c.openRaw
				c.openRaw = func(l network.Link) (net.PacketConn, error) {
					conn, err := open(l)
					tt.conn.end = conn.(*end)
					return &tt.conn, err
				}
				if _, err := c.Acquire(bounded(t), eth0, ignore); !errors.Is(err, tt.want) {
					t.Errorf("Acquire = %v, want %v", err, tt.want)
				}
				if took := time.Since(start); took != tt.took {
					t.Errorf("Acquire took %v, want %v", took, tt.took)
				}
			})
		})
	}
	c := Client{openRaw: func(network.Link) (net.PacketConn, error) { return nil, unix.ENODEV }}
	if _, err := c.Acquire(bounded(t), eth0, ignore); !errors.Is(err, unix.ENODEV) {
		t.Errorf("Acquire on no link = %v, want %v", err, unix.ENODEV)
	}
}
