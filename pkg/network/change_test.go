package network

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestRelease: a link that was set up in vain is set down again.
func TestRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &kernel{events: []change0{
			{0, link(1, "eth0", false, false)}, {0, link(2, "eth1", false, false)}, {second, link(1, "eth0", true, true)}, {second, link(2, "eth1", true, true)},
		}}
		env := environment(k, &server{after: map[string]time.Duration{"eth0": 0, "eth1": second}})
		env.Reach = func(_ context.Context, l Link, _ Lease) error {
			if l.Name == "eth0" {
				return errors.New("silence")
			}
			return nil
		}
		n, err := Up(t.Context(), dhcp(), env)
		if err != nil {
			t.Fatal(err)
		}
		n.Close()
		if !slices.Contains(k.log, "ip link set eth0 down") || slices.Contains(k.log, "ip link set eth1 down") {
			t.Errorf("Up did %q, want eth0 to be set down, and only that", k.log)
		}
	})
}

// TestReplug: a card that is pulled out after it won takes its address with it, and gets one again when it is back.
func TestReplug(t *testing.T) {
	for _, asked := range []Config{dhcp(), dhcp("eth0")} {
		synctest.Test(t, func(t *testing.T) {
			k := &kernel{events: []change0{{0, link(1, "eth0", true, true)}}}
			n, err := Up(t.Context(), asked, environment(k, &server{after: map[string]time.Duration{"eth0": second}}))
			if err != nil {
				t.Fatal(err)
			}
			defer n.Close()
			k.extra <- Link{Index: 1, Name: "eth0", Gone: true}
			synctest.Wait()
			if got := n.Active(); len(got) != 0 || len(n.Links()) != 0 {
				t.Errorf("without the card the network is %+v, want nothing", got)
			}
			k.extra <- link(7, "eth0", true, true)
			<-time.After(2 * second)
			synctest.Wait()
			if got := n.Active(); len(got) != 1 || got[0].Link.Index != 7 || !got[0].Primary {
				t.Errorf("with the card back the network is %+v, want it as the primary link", got)
			}
			if n.Primary().Link.Index != 1 {
				t.Errorf("Primary() = %+v, want the link as it was at first", n.Primary())
			}
		})
	}
}

// TestKernelNames: the kernel calls each card eth0 while the ones before it have other names already; only the first is meant by that.
func TestKernelNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &kernel{events: []change0{
			{0, link(1, "eth0", false, false)}, {0, link(1, "enp1s0", true, true)}, {second, link(2, "eth0", false, false)}, {second, link(2, "enp2s0", true, true)},
		}}
		env := environment(k, &server{after: map[string]time.Duration{"enp1s0": 5 * second, "enp2s0": 0}})
		env.Name = func(l Link) (string, error) { return map[int]string{1: "enp1s0", 2: "enp2s0"}[l.Index], nil }
		n, err := Up(t.Context(), dhcp("eth0"), env)
		if err != nil {
			t.Fatal(err)
		}
		n.Close()
		if got := n.Active(); len(got) != 1 || got[0].Link.Name != "enp1s0" {
			t.Errorf("Up = %+v, want the first card only", got)
		}
	})
}

// flapping is a kernel whose cards lose their carrier for a moment when they get another MTU.
type flapping struct{ *kernel }

func (f flapping) Change(l Link, c Change) error {
	if c.MTU != 0 {
		f.extra <- link(l.Index, l.Name, true, false)
		f.extra <- link(l.Index, l.Name, true, true)
		<-time.After(time.Millisecond)
	}
	return f.kernel.Change(l, c)
}

// TestMTUTakesCarrier: the lease that brings the MTU survives that.
func TestMTUTakesCarrier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &kernel{events: []change0{{0, link(1, "eth0", true, true)}}}
		asked := 0
		env := environment(k, &server{after: map[string]time.Duration{"eth0": second}, lease: func(l Link) Lease {
			asked++
			lease := leaseOn(l)
			lease.MTU = 9000
			return lease
		}})
		env.Kernel = flapping{k}
		n, err := Up(t.Context(), dhcp(), env)
		if err != nil {
			t.Fatal(err)
		}
		n.Close()
		if asked != 1 {
			t.Errorf("Up asked for %d leases, want one", asked)
		}
	})
}

// TestLateCard: a card that appears while another one has no carrier gets its whole time, and so does one that was asked for and is missing.
func TestLateCard(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config Config
		at     time.Duration // the second card appears, and has carrier 8 seconds later
	}{
		{"another one", dhcp(), 55 * second},
		{"the one that was asked for", Config{Interfaces: dhcp("eth0", "eth1").Interfaces, Timeouts: Timeouts{Link: 180 * second}}, 150 * second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := &kernel{events: []change0{
					{0, link(1, "eth0", true, false)}, {tt.at, link(2, "eth1", true, false)}, {tt.at + 8*second, link(2, "eth1", true, true)},
				}}
				n, err := Up(t.Context(), tt.config, environment(k, &server{after: map[string]time.Duration{"eth1": second}}))
				if err != nil {
					t.Fatal(err)
				}
				n.Close()
			})
		})
	}
}
