package rtnl

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/liveboot/liveboot/pkg/network"
	"github.com/liveboot/liveboot/pkg/network/nettest"
)

func TestWatch(t *testing.T) {
	t.Parallel()
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		n.Veth("eth0", "lan0")
		n.IP("link add m0 link eth0 type macvlan")
		n.IP("link add ifb0 type ifb")
		n.IP("tuntap add tap0 mode tap")
		var s System
		ctx, cancel := context.WithCancel(t.Context())
		links, err := s.Watch(ctx)
		if err != nil {
			t.Fatal(err)
		}
		l := <-links
		if l.Name != "eth0" || l.Kind != "" || l.MTU != 1500 || len(l.MAC) != 6 || l.Up || l.Carrier || l.Gone || l.Master != 0 || l.KernelName != "" {
			t.Errorf("the first link is %+v, want eth0 that is down", l)
		}
		n.IP("link set eth0 up")
		await(t, links, func(l network.Link) bool { return l.Up && l.Carrier })
		n.Unplug("eth0")
		await(t, links, func(l network.Link) bool { return l.Up && !l.Carrier })
		n.IP("link set eth0 mtu 1400")
		await(t, links, func(l network.Link) bool { return l.MTU == 1400 })
		n.Veth("eth1", "lan1")
		await(t, links, func(l network.Link) bool { return l.Name == "eth1" })
		n.IP("link add br0 type bridge")
		bridge := await(t, links, func(l network.Link) bool { return l.Name == "br0" && l.Kind == "bridge" })
		n.IP("link set eth1 master br0")
		await(t, links, func(l network.Link) bool { return l.Name == "eth1" && l.Master == bridge.Index })
		// A port that leaves its bridge is not gone, though the bridge says so.
		n.IP("link set eth1 nomaster")
		await(t, links, func(l network.Link) bool {
			if l.Name == "eth1" && l.Gone {
				t.Error("eth1 is said to be gone when it left its bridge")
			}
			return l.Name == "eth1" && l.Master == 0
		})
		n.IP("link delete eth1")
		await(t, links, func(l network.Link) bool {
			if l.Name == "eth1" && !l.Gone && l.Master != 0 {
				t.Errorf("eth1 is %+v after it left its bridge", l)
			}
			return l.Name == "eth1" && l.Gone
		})
		cancel()
		for l := range links {
			if l.Name != "eth0" && l.Name != "br0" && l.Name != "eth1" {
				t.Errorf("Watch sends %+v, which is no card", l)
			}
		}
	})
}

func TestWatchLeavesOut(t *testing.T) {
	t.Parallel()
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		n.Veth("eth0", "lan0")
		n.IP("link add m0 link eth0 type macvlan")
		n.IP("link add ifb0 type ifb")
		n.IP("tuntap add tap0 mode tap")
		n.IP("tuntap add tun0 mode tun")
		links, err := list()
		if err != nil {
			t.Fatal(err)
		}
		if len(links) != 1 || links[0].Name != "eth0" {
			t.Errorf("list() = %+v, want eth0 alone", links)
		}
	})
}

// Whoever does not listen for a while gets the state as it is then, however much the kernel had to drop.
func TestWatchOverflow(t *testing.T) {
	t.Parallel()
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		n.Veth("eth0", "lan0")
		n.Veth("eth1", "lan1")
		var s System
		links := watch(t, &s)
		<-links
		var batch strings.Builder
		for i := range 3000 {
			fmt.Fprintf(&batch, "link set eth0 mtu %d\n", 1000+i%400)
		}
		batch.WriteString("link delete eth1\nlink set eth0 mtu 1442\nlink set eth0 up\n")
		n.IPBatch(batch.String())
		last := map[string]network.Link{}
		received := 0
		await(t, links, func(l network.Link) bool {
			received++
			last[l.Name] = l
			return last["eth1"].Gone && last["eth0"].MTU == 1442 && last["eth0"].Carrier
		})
		if received > 2500 {
			t.Errorf("%d changes were received, so none was lost and this test shows nothing", received)
		}
	})
}
