package dhcp4

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/liveboot/liveboot/pkg/network"
)

func TestRenew(t *testing.T) {
	for _, rebind := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s, c := serve(t, friendly)
			defer s.stop()
			lease := leaseOf20s()
			time.Sleep(lease.Renew) // the bubble's time, which costs none
			got, err := c.Renew(bounded(t), eth0, lease, rebind)
			want := leaseOf20s()
			want.Since = start.Add(lease.Renew)
			if diff := cmp.Diff(want, got, comparable); err != nil || diff != "" {
				t.Errorf("Renew: %v (-want +got):\n%s", err, diff)
			}
			m := s.messages()[0]
			to := map[bool]string{false: "10.0.2.2", true: "255.255.255.255"}[rebind]
			// RFC 2131, section 4.3.6: neither the address asked for nor the server is named.
			if m.to.IP.String() != to || m.ClientIPAddr.String() != "10.0.2.15" || m.ServerIdentifier() != nil || m.RequestedIPAddress() != nil ||
				m.MessageType() != dhcpv4.MessageTypeRequest || m.NumSeconds != 0 {
				t.Errorf("Renew, rebind %v, sends to %v: %v", rebind, m.to, m.Summary())
			}
			if id := string(m.Options.Get(dhcpv4.OptionClientIdentifier)); id != "\x01\x52\x54\x00\x12\x34\x56" {
				t.Errorf("Renew says that it is %x", id)
			}
		})
	}
}

func TestRenewRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := serve(t, func(m *dhcpv4.DHCPv4) []*dhcpv4.DHCPv4 {
			return []*dhcpv4.DHCPv4{to(m, dhcpv4.MessageTypeNak, dhcpv4.WithOption(dhcpv4.OptMessage("moved")))}
		})
		defer s.stop()
		if _, err := c.Renew(bounded(t), eth0, leaseOf20s(), false); !errors.Is(err, network.ErrLost) || !strings.Contains(err.Error(), "moved") {
			t.Errorf("Renew = %v, want ErrLost and the server's words", err)
		}
	})
}

func TestRenewRepeats(t *testing.T) {
	minutes := func(n ...float64) []time.Duration {
		var list []time.Duration
		for _, m := range n {
			list = append(list, time.Duration(m*float64(time.Minute)))
		}
		return list
	}
	for _, tt := range []struct {
		name     string
		rebind   bool
		deadline time.Duration // 0: the lease's
		want     []time.Duration
	}{
		{"half of what is left, but at least a minute", false, 0, minutes(0, 4, 6, 7)},
		{"of any server, until the end", true, 0, minutes(0, 5, 7.5)},
		{"a short deadline", false, 3999 * time.Millisecond, []time.Duration{0, 1999500 * time.Microsecond, 2999500 * time.Microsecond}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, c := serve(t, silent)
				defer s.stop()
				ctx, cancel := context.WithCancel(t.Context())
				if tt.deadline != 0 {
					ctx, cancel = context.WithTimeout(t.Context(), tt.deadline)
				}
				defer cancel()
				time.AfterFunc(8*time.Minute-time.Second, cancel)
				lease := leaseOf20s()
				lease.Valid, lease.Rebind = 10*time.Minute, 8*time.Minute
				if _, err := c.Renew(ctx, eth0, lease, tt.rebind); !errors.Is(err, ctx.Err()) || err == nil {
					t.Errorf("Renew = %v, want %v", err, ctx.Err())
				}
				var got []time.Duration
				for _, m := range s.messages() {
					got = append(got, m.at)
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("sent at (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestDecline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := serve(t, silent)
		defer s.stop()
		if err := c.Decline(t.Context(), eth0, leaseOf20s()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]dhcpv4.MessageType{dhcpv4.MessageTypeDecline}, s.types()); diff != "" {
			t.Fatalf("sent (-want +got):\n%s", diff)
		}
		m := s.messages()[0]
		if !m.RequestedIPAddress().Equal(net.ParseIP("10.0.2.15")) || !m.ServerIdentifier().Equal(net.ParseIP("10.0.2.2")) || !m.ClientIPAddr.Equal(net.IPv4zero) {
			t.Errorf("Decline sends %v", m.Summary())
		}
	})
}
