package dhcp6

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"

	"github.com/liveboot/liveboot/pkg/network"
)

func TestAcquire(t *testing.T) {
	advertise, reply := dhcpv6.MessageTypeAdvertise, dhcpv6.MessageTypeReply
	rapid := &dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionRapidCommit}
	for _, tt := range []struct {
		name    string
		serve   serve
		want    netip.Addr
		sent    string
		at      time.Duration
		wantErr string
	}{
		{"offer and reply", serving(ours), ours, "SOLICIT REQUEST", collect, ""},
		{"rapid commit", func(_ time.Duration, m *dhcpv6.Message) []*dhcpv6.Message {
			return []*dhcpv6.Message{answerTo(m, reply, from1, rapid, given(ours))}
		}, ours, "SOLICIT", 0, ""},
		{"a commitment that was not asked for", func(at time.Duration, m *dhcpv6.Message) []*dhcpv6.Message {
			if m.MessageType == dhcpv6.MessageTypeSolicit {
				return []*dhcpv6.Message{answerTo(m, reply, from1, given(others)), answerTo(m, advertise, from1, given(ours))}
			}
			return serving(ours)(at, m)
		}, ours, "SOLICIT REQUEST", collect, ""},
		{"the server with the higher preference", func(at time.Duration, m *dhcpv6.Message) []*dhcpv6.Message {
			if m.MessageType == dhcpv6.MessageTypeSolicit {
				return []*dhcpv6.Message{
					answerTo(m, advertise, from2, given(others), preference(1)), answerTo(m, advertise, from1, given(ours), preference(9)),
					answerTo(m, advertise, from2, given(others), preference(2)),
				}
			}
			return only(from1, serving(ours))(at, m)
		}, ours, "SOLICIT REQUEST", collect, ""},
		{"the highest preference", func(at time.Duration, m *dhcpv6.Message) []*dhcpv6.Message {
			if m.MessageType == dhcpv6.MessageTypeSolicit {
				return []*dhcpv6.Message{answerTo(m, advertise, from1, given(ours), preference(255))}
			}
			return serving(ours)(at, m)
		}, ours, "SOLICIT REQUEST", 0, ""},
		{"a server without addresses beside one that has some", func(at time.Duration, m *dhcpv6.Message) []*dhcpv6.Message {
			if m.MessageType == dhcpv6.MessageTypeSolicit {
				return slices.Concat(refusing(iana.StatusNoAddrsAvail)(at, m), serving(ours)(at, m))
			}
			return serving(ours)(at, m)
		}, ours, "SOLICIT REQUEST", collect, ""},
		{"what is not for us", func(at time.Duration, m *dhcpv6.Message) []*dhcpv6.Message {
			strange := serving(others)(at, m)[0]
			strange.TransactionID[0]++
			foreign := serving(others)(at, m)[0]
			foreign.UpdateOption(dhcpv6.OptClientID(from2))
			anonymous := serving(others)(at, m)[0]
			anonymous.Options.Del(dhcpv6.OptionServerID)
			return append([]*dhcpv6.Message{strange, foreign, anonymous}, serving(ours)(at, m)...)
		}, ours, "SOLICIT REQUEST", collect, ""},
		{"a reply that is lost", func(at time.Duration, m *dhcpv6.Message) []*dhcpv6.Message {
			if m.MessageType == dhcpv6.MessageTypeRequest && at < 100*time.Millisecond {
				return nil
			}
			return serving(ours)(at, m)
		}, ours, "SOLICIT REQUEST REQUEST", -1, ""},
		{"no address",
			refusing(iana.StatusNoAddrsAvail), netip.Addr{}, "SOLICIT SOLICIT SOLICIT SOLICIT", -1,
			"dhcp6 on eth0: the server fe80::1%eth0 answers NoAddrsAvail"},
		{"an offer that is taken back", func(at time.Duration, m *dhcpv6.Message) []*dhcpv6.Message {
			if m.MessageType == dhcpv6.MessageTypeRequest {
				return refusing(iana.StatusNoAddrsAvail)(at, m)
			}
			return serving(ours)(at, m)
		}, netip.Addr{}, "SOLICIT REQUEST SOLICIT REQUEST SOLICIT REQUEST SOLICIT REQUEST", -1,
			"dhcp6 on eth0: the server fe80::1%eth0 answers NoAddrsAvail"},
		{"silence", func(time.Duration, *dhcpv6.Message) []*dhcpv6.Message { return nil }, netip.Addr{},
			"SOLICIT SOLICIT SOLICIT SOLICIT SOLICIT SOLICIT", 20 * time.Second, "dhcp6 on eth0: no answer to 6 SOLICIT: context deadline exceeded"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWire(tt.serve)
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				attempts := 0
				lease, err := w.client().Acquire(ctx, eth0, func(n int) {
					if attempts++; n != attempts {
						t.Errorf("attempt %d after attempt %d", n, attempts-1)
					}
				})
				if text := errorText(err); text != tt.wantErr || lease.Address.Addr() != tt.want {
					t.Errorf("Acquire = %v, %q, want %v, %q", lease.Address, text, tt.want, tt.wantErr)
				}
				if got := w.names(); got != tt.sent {
					t.Errorf("Acquire sent %s, want %s", got, tt.sent)
				}
				if want := strings.Count(tt.sent, "SOLICIT"); attempts != want {
					t.Errorf("Acquire counted %d attempts, want %d", attempts, want)
				}
				if at := time.Since(epoch); tt.at >= 0 && at != tt.at {
					t.Errorf("Acquire took %v, want %v", at, tt.at)
				}
			})
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// The messages of one transaction are the same but for the time that passed, and follow each other ever more slowly.
func TestRetransmission(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(func(time.Duration, *dhcpv6.Message) []*dhcpv6.Message { return nil })
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := w.client().Acquire(ctx, eth0, func(int) {}); err == nil {
			t.Fatal("Acquire got a lease from nobody")
		}
		last, wait := time.Duration(0), firstWait
		for i, s := range w.sent {
			if i == 0 && s.at != 0 {
				t.Errorf("the first message was sent after %v, want at once", s.at)
			}
			if got := s.m.Options.ElapsedTime(); (got - s.at).Abs() > 10*time.Millisecond {
				t.Errorf("message %d, after %v, says %v", i+1, s.at, got)
			}
			if s.m.TransactionID != w.sent[0].m.TransactionID {
				t.Errorf("message %d has a transaction of its own", i+1)
			}
			if i > 0 {
				// A tenth more or less each time adds up.
				if got := s.at - last; got < wait*6/10 || got > wait*15/10 {
					t.Errorf("message %d came %v after the one before, want about %v", i+1, got, wait)
				}
				wait = min(2*wait, longWait)
			}
			last = s.at
		}
	})
}

// A link that cannot send yet is tried again, one whose address somebody else has is not.
func TestAcquireWithoutLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(serving(ours))
		w.writeErr = errors.New("network is down")
		lease, err := w.client().Acquire(t.Context(), eth0, func(int) {})
		if err != nil || lease.Address.Addr() != ours {
			t.Errorf("Acquire = %v, %v, want %v", lease.Address, err, ours)
		}
		if at, want := time.Since(epoch), pause+collect; at != want {
			t.Errorf("Acquire took %v, want %v", at, want)
		}
	})
	client := newWire(serving(ours)).client()
	client.LinkLocal = at{&network.DuplicateError{Address: ours}}
	if _, err := client.Acquire(t.Context(), eth0, func(int) {}); !errors.As(err, new(*network.DuplicateError)) {
		t.Errorf("Acquire: %v, want a *network.DuplicateError", err)
	}
}

func TestRenew(t *testing.T) {
	lease := network.Lease{
		Method: network.DHCP6, Address: netip.PrefixFrom(ours, 128),
		Message: answerTo(solicitation(eth0), dhcpv6.MessageTypeReply, from1, given(ours)).ToBytes(),
	}
	unknown := func(then serve) serve {
		return func(at time.Duration, m *dhcpv6.Message) []*dhcpv6.Message {
			if m.MessageType == dhcpv6.MessageTypeRequest {
				return then(at, m)
			}
			return refusing(iana.StatusNoBinding)(at, m)
		}
	}
	const lost = "the server takes the address back"
	for _, tt := range []struct {
		name     string
		rebind   bool
		serve    serve
		sent     string
		wantErr  string
		wantLost bool
	}{
		{"renewed", false, only(from1, serving(ours)), "RENEW", "", false},
		{"rebound", true, serving(ours), "REBIND", "", false},
		{"by another server than was asked", false, func(_ time.Duration, m *dhcpv6.Message) []*dhcpv6.Message {
			return []*dhcpv6.Message{answerTo(m, dhcpv6.MessageTypeReply, from2, given(ours))}
		}, "RENEW RENEW RENEW", "renew 2001:db8::100 by dhcp6 on eth0: no answer to 3 RENEW: context deadline exceeded", false},
		{"taken back", false, refusing(iana.StatusNotOnLink), "RENEW",
			"renew 2001:db8::100 by dhcp6 on eth0: the server fe80::1%eth0 answers NotOnLink: " + lost, true},
		{"other address", true, serving(others), "REBIND",
			"renew 2001:db8::100 by dhcp6 on eth0: the server fe80::1%eth0 gives 2001:db8::100 no more time: " + lost, true},
		{"a server that fails is not the last word", false, func(at time.Duration, m *dhcpv6.Message) []*dhcpv6.Message {
			if at == 0 {
				return refusing(iana.StatusUnspecFail)(at, m)
			}
			return serving(ours)(at, m)
		}, "RENEW RENEW", "", false},
		{"unknown, and given anew", false, unknown(only(from1, serving(ours))), "RENEW REQUEST", "", false},
		{"unknown, and another given", true, unknown(serving(others)), "REBIND REQUEST",
			"renew 2001:db8::100 by dhcp6 on eth0: the server fe80::1%eth0 gives 2001:db8::200 instead: " + lost, true},
		{"unknown, and refused", false, unknown(refusing(iana.StatusNoAddrsAvail)), "RENEW REQUEST",
			"renew 2001:db8::100 by dhcp6 on eth0: the server fe80::1%eth0 answers NoAddrsAvail: " + lost, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWire(tt.serve)
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				got, err := w.client().Renew(ctx, eth0, lease, tt.rebind)
				if text := errorText(err); text != tt.wantErr || errors.Is(err, network.ErrLost) != tt.wantLost {
					t.Errorf("Renew: %q, lost %v, want %q, %v", text, errors.Is(err, network.ErrLost), tt.wantErr, tt.wantLost)
				}
				if err == nil && (got.Address != lease.Address || got.Valid != 2*time.Hour) {
					t.Errorf("Renew = %v for %v, want %v for 2h", got.Address, got.Valid, lease.Address)
				}
				if got := w.names(); got != tt.sent {
					t.Errorf("Renew sent %s, want %s", got, tt.sent)
				}
				for _, s := range w.sent {
					if ia := s.m.Options.OneIANA(); ia == nil || !ia.Options.OneAddress().IPv6Addr.Equal(ours.AsSlice()) {
						t.Errorf("%v is not for %v", s.m.MessageType, ours)
					}
					if has := s.m.Options.ServerID() != nil; has != (s.m.MessageType != dhcpv6.MessageTypeRebind) {
						t.Errorf("%v names a server: %v", s.m.MessageType, has)
					}
				}
			})
		})
	}
}

func TestDecline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		last := answerTo(solicitation(eth0), dhcpv6.MessageTypeReply, from1, given(ours))
		lease := network.Lease{Address: netip.PrefixFrom(ours, 128), Message: last.ToBytes()}
		w := newWire(only(from1, serving()))
		if err := w.client().Decline(t.Context(), eth0, lease); err != nil || w.names() != "DECLINE" {
			t.Errorf("Decline: %v after %s, want none after DECLINE", err, w.names())
		}
		w = newWire(func(time.Duration, *dhcpv6.Message) []*dhcpv6.Message { return nil })
		err := w.client().Decline(t.Context(), eth0, lease)
		if want := "decline 2001:db8::100 by dhcp6 on eth0: no answer to 4 DECLINE"; errorText(err) != want {
			t.Errorf("Decline: %v, want %q", err, want)
		}
		for _, m := range [][]byte{nil, solicitation(eth0).ToBytes()} {
			lease.Message = m
			if err := w.client().Decline(t.Context(), eth0, lease); err == nil {
				t.Errorf("Decline of a lease by the message %x went well", m)
			}
		}
	})
}

func TestInform(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(func(at time.Duration, m *dhcpv6.Message) []*dhcpv6.Message {
			if at == 0 {
				return []*dhcpv6.Message{answerTo(m, dhcpv6.MessageTypeReply, from1, status(iana.StatusUnspecFail, ""))}
			}
			return []*dhcpv6.Message{answerTo(m, dhcpv6.MessageTypeReply, from1, dhcpv6.OptDNS(net.ParseIP("2001:db8::53")))}
		})
		lease, err := w.client().Inform(t.Context(), eth0)
		want := []netip.Addr{netip.MustParseAddr("2001:db8::53")}
		if err != nil || !slices.Equal(lease.Resolvers, want) || lease.Address.IsValid() {
			t.Errorf("Inform = %+v, %v, want the resolvers %v alone", lease, err, want)
		}
		if got, want := w.names(), "INFORMATION-REQUEST INFORMATION-REQUEST"; got != want {
			t.Errorf("Inform sent %s, want %s", got, want)
		}
		if w.sent[0].m.Options.OneIANA() != nil {
			t.Error("Inform asked for an address")
		}
	})
}
