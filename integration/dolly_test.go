package integration

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/liveboot/liveboot/integration/kiwi"
	"github.com/liveboot/liveboot/integration/liveiso"
	"github.com/liveboot/liveboot/pkg/fetch/dolly/ring"
	"github.com/liveboot/liveboot/pkg/fetch/dolly/server"
	"github.com/liveboot/liveboot/pkg/network/nettest"
	"github.com/liveboot/liveboot/qemu"
)

// nodeLostTime leaves time for a minute in which nobody answers, and for a second ring.
const nodeLostTime = 2 * bootTime

// A ringHall is a network of machines that wait for a ring, and of the server.
type ringHall struct {
	*nettest.Net
	hosts []string
	cards []qemu.NIC
}

// newRingHall makes the network for n machines, with a DHCP server that gives each the address in hosts.
func newRingHall(t *testing.T, n int) *ringHall {
	t.Helper()
	notShort(t)
	h := &ringHall{Net: nettest.Far(t)}
	dhcp := []string{"--interface=lan", "--dhcp-range=192.0.2.100,192.0.2.200,255.255.255.0,1h", "--dhcp-option=3"}
	var ports []string
	for i := range n {
		card := qemu.NIC{MAC: net.HardwareAddr{2, 0, 0, 0, 0, byte(i + 1)}, Tap: h.Tap(fmt.Sprintf("card%d", i+1))}
		host := fmt.Sprintf("192.0.2.%d", 11+i)
		h.cards, h.hosts = append(h.cards, card), append(h.hosts, host)
		ports = append(ports, fmt.Sprintf("card%d", i+1))
		dhcp = append(dhcp, fmt.Sprintf("--dhcp-host=%v,%s", card.MAC, host))
	}
	h.Bridge("lan", ports...)
	h.FarIP("address add 192.0.2.1/24 dev lan")
	h.Dnsmasq(dhcp...)
	return h
}

// one is the test as one of its machines sees it, so that each has a log of its own.
type one struct {
	testing.TB
	number int
}

// Name has the machine's number.
func (o one) Name() string { return fmt.Sprintf("%s-%d", o.TB.Name(), o.number) }

// boot starts all machines, and returns when they wait for the ring.
func (h *ringHall) boot(t *testing.T, limit time.Duration, words string, memoryMiB int) []*machine {
	t.Helper()
	var machines []*machine
	for i, card := range h.cards {
		machines = append(machines, bootWithin(one{t, i + 1}, limit, "ip=dhcp "+words, func(c *qemu.Config) {
			c.NICs, c.MemoryMiB = []qemu.NIC{card}, memoryMiB
		}))
	}
	for _, m := range machines {
		m.see(waits(), anyFailure())
	}
	return machines
}

// serve sends an image to all machines.
func (h *ringHall) serve(t *testing.T, s server.Server, iso string) {
	t.Helper()
	image, err := os.Open(iso)
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	if got, err := h.send(t, s, image); err != nil || !slices.Equal(got.Complete, h.hosts) {
		t.Errorf("Send = %+v, %v, want the image at %v", got, err, h.hosts)
	}
}

func (h *ringHall) send(t *testing.T, s server.Server, image io.Reader) (server.Result, error) {
	s.Hosts = h.hosts
	s.Report = func(e server.Event) { t.Logf("server: %v", e) }
	s.Dial = func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		h.Far(func() error {
			conn, err = new(net.Dialer).DialContext(ctx, network, address)
			return nil
		})
		return conn, err
	}
	return s.Send(t.Context(), image, "live.iso")
}

// waits is what a machine says that waits for a ring.
func waits() *regexp.Regexp { return said(fetching, `waiting for the dolly server to connect`) }

// Three machines boot from one ring, over which the image is sent once.
func TestDolly(t *testing.T) {
	for _, tt := range []struct {
		name    string
		server  server.Server
		options string
	}{
		{"0.7x with a password", server.Server{Password: "hush"}, " rd.kiwi.live.dolly_options=-v,-P,hush,--from=192.0.2.0/24"},
		{"0.6x", server.Server{Dialect: ring.Dialect06, Name: "server"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.server.Password == "" {
				full(t)
			}
			h := newRingHall(t, 3)
			iso := liveISO(t, liveiso.Config{Layout: liveiso.Squashfs})
			machines := h.boot(t, bootTime, "root=live:dolly://192.0.2.1/"+tt.options, 640)
			h.serve(t, tt.server, iso)
			for i, m := range machines {
				checkLive(t, m.facts(), liveiso.Squashfs)
				m.hasSaid(said(fetching, fmt.Sprintf(`node %d of 3, %s, in the ring of dolly`, i+1, regexp.QuoteMeta(h.hosts[i]))))
				if i < 2 {
					m.hasSaid(said(fetching, `passing everything on to `+regexp.QuoteMeta(h.hosts[i+1])))
				}
				m.exits("guest-shutdown")
			}
		})
	}
}

// A machine is switched off in the middle of the image: the one before it boots, and the one behind it waits for another ring, and boots from that.
func TestDollyNodeLost(t *testing.T) {
	full(t)
	h := newRingHall(t, 3)
	iso := liveISO(t, liveiso.Config{Layout: liveiso.Squashfs, PadMiB: 256})
	machines := h.boot(t, nodeLostTime, "root=live:dolly:// rd.kiwi.live.dolly_options=-r,3", 1024)
	// The server sends half of the image, and the rest when the machine is off.
	off := make(chan struct{})
	served := make(chan server.Result, 1)
	go func() {
		image, err := os.Open(iso)
		if err != nil {
			t.Error(err)
			return
		}
		defer image.Close()
		got, err := h.send(t, server.Server{}, io.MultiReader(io.LimitReader(image, 128<<20), awaiting{off}, image))
		if err != nil {
			t.Error(err)
		}
		served <- got
	}()
	machines[1].see(said(fetching, `passing everything on to `))
	machines[1].see(said(target, ``))
	if err := machines[1].Kill(); err != nil {
		t.Fatal(err)
	}
	close(off)
	machines[0].see(regexp.MustCompile(`the next node, 192\.0\.2\.12, is gone after \d+ bytes`))
	checkLive(t, machines[0].facts(), liveiso.Squashfs)
	machines[2].see(regexp.MustCompile(`node 2, 192\.0\.2\.12 is gone after \d+ bytes`))
	if got := <-served; !slices.Equal(got.Lost, h.hosts[1:]) || !slices.Equal(got.Complete, h.hosts[:1]) {
		t.Errorf("Send = %+v, want %v lost", got, h.hosts[1:])
	}
	machines[2].see(waits())
	h.hosts = h.hosts[2:]
	h.serve(t, server.Server{}, iso)
	checkLive(t, machines[2].facts(), liveiso.Squashfs)
}

// awaiting gives nothing, until its channel is closed.
type awaiting struct{ until chan struct{} }

func (a awaiting) Read([]byte) (int, error) {
	<-a.until
	return 0, io.EOF
}

// A real live ISO comes by a ring of one.
func TestDollyKIWI(t *testing.T) {
	full(t)
	iso, err := kiwi.ISO(context.WithoutCancel(t.Context()), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	h := newRingHall(t, 1)
	m := bootWithin(t, kiwiTime, "ip=dhcp livetest.poweroff root=live:dolly://192.0.2.1/", func(c *qemu.Config) {
		c.NICs, c.MemoryMiB = h.cards, 2048
	})
	m.see(waits(), anyFailure())
	h.serve(t, server.Server{}, iso)
	m.see(said(handoff, ""), anyFailure())
	m.see(regexp.MustCompile(regexp.QuoteMeta(kiwi.End)))
	m.exits("guest-shutdown")
}
