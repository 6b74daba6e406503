package integration

import (
	"testing"

	"github.com/liveboot/liveboot/integration/liveiso"
	"github.com/liveboot/liveboot/pkg/network/nettest"
	"github.com/liveboot/liveboot/qemu"
)

// exported is a network on which vblade(8) offers a file by ATA over Ethernet, as e0.1, and a machine's card in it.
func exported(t *testing.T, file string, options ...string) func(*qemu.Config) {
	t.Helper()
	n := nettest.Far(t)
	tap := n.Tap("lan")
	n.Start(`e0\.1`, "vblade", "vblade", append(options, "0", "1", "lan", file)...)
	return onTaps(tap)
}

// The ISO is a disk behind the network, to which the live system's root stays attached. No address is needed.
func TestAoE(t *testing.T) {
	full(t)
	t.Parallel()
	m := boot(t, "root=live:AOEINTERFACE=e0.1", exported(t, smallISO(t), "-r"))
	f := m.facts()
	checkPersistent(t, f, lies{iso: "/dev/etherd/e0.1"}, "")
	for _, l := range f.Links {
		if l.Name != "lo" && l.OperState == "down" {
			t.Errorf("link %+v of the live system, want one that is up: the root is behind it", l)
		}
	}
	m.exits("guest-shutdown")
}

// What the live system writes is kept on the disk behind the network.
func TestAoEPersistent(t *testing.T) {
	full(t)
	t.Parallel()
	plugged := exported(t, copied(t, liveISO(t, liveiso.Config{Layout: liveiso.Squashfs, Table: liveiso.GPT})))
	words := "root=live:AOEINTERFACE=e0.1 rd.live.overlay.persistent "
	want := lies{"/dev/etherd/e0.1p1", "/dev/etherd/e0.1p3", "ext4"}
	first := boot(t, words+keep("first"), named("first"), plugged)
	checkPersistent(t, first.facts(), want, "")
	first.exits("guest-shutdown")
	second := boot(t, words, named("second"), plugged)
	checkPersistent(t, second.facts(), want, "first\n")
	second.exits("guest-shutdown")
}

// The network has another disk than the one that is asked for.
func TestAoENotThere(t *testing.T) {
	full(t)
	t.Parallel()
	m := boot(t, "root=live:AOEINTERFACE=e1.2", exported(t, smallISO(t), "-r"))
	m.fails(target, `/dev/etherd/e1\.2.*/dev/etherd/e0\.1 `)
}
