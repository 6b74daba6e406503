package dhcp4

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/network"
	"github.com/liveboot/liveboot/pkg/network/nettest"
)

// cable makes eth0, which is up, with the link "lan" of the far side at its other end, which has the address 10.9.0.1.
func cable(t *testing.T, n *nettest.Net) network.Link {
	t.Helper()
	n.Veth("eth0", "lan")
	n.FarIP("address add 10.9.0.1/24 dev lan")
	n.IP("link set eth0 up")
	for !strings.Contains(n.FarIP("link show lan"), "state UP") {
		// Until its kernel has seen the carrier the far side drops what it sends. Each look takes a while.
	}
	i, err := net.InterfaceByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	return network.Link{Index: i.Index, Name: i.Name, MAC: i.HardwareAddr}
}

func TestDnsmasq(t *testing.T) {
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		link := cable(t, n)
		server := n.Dnsmasq("--interface=lan", "--dhcp-range=10.9.0.100,10.9.0.100,255.255.255.0,120",
			"--dhcp-option=option:router,10.9.0.1", "--dhcp-option=option:classless-static-route,192.0.2.0/24,0.0.0.0,0.0.0.0/0,192.0.2.1",
			"--dhcp-option=option:dns-server,10.9.0.53,10.9.0.54", "--dhcp-option=option:domain-search,a.example,b.example",
			"--dhcp-option=option:ntp-server,10.9.0.123", "--dhcp-option=option:mtu,1400", "--dhcp-option=option:T1,50", "--dhcp-option=option:T2,100",
			"--dhcp-host=id:01:"+link.MAC.String()+",client", "--dhcp-match=set:uefi,option:client-arch,7", "--dhcp-option=tag:uefi,option:root-path,uefi",
		)
		c := Client{Firmware: Firmware{Arch: 7, Interface: [3]byte{1, 3, 0}}}
		addr := netip.MustParseAddr
		begin := time.Now()
		lease, err := c.Acquire(bounded(t), link, ignore)
		t.Logf("Acquire took %v", time.Since(begin))
		want := network.Lease{
			Method: network.DHCP4, Address: netip.MustParsePrefix("10.9.0.100/24"), Server: addr("10.9.0.1"), BootServer: addr("10.9.0.1"),
			Routes: []network.Route{
				{Destination: netip.MustParsePrefix("192.0.2.0/24")}, {Destination: netip.MustParsePrefix("0.0.0.0/0"), Gateway: addr("192.0.2.1")},
			},
			MTU: 1400, Resolvers: []netip.Addr{addr("10.9.0.53"), addr("10.9.0.54")}, Search: []string{"a.example", "b.example"}, Hostname: "client",
			NTP: []netip.Addr{addr("10.9.0.123")}, RootPath: "uefi", Valid: 120 * time.Second,
		}
		// dnsmasq takes up to a sixteenth of the lease's time off T1 and T2.
		variable := cmpopts.IgnoreFields(network.Lease{}, "Since", "Renew", "Rebind")
		if diff := cmp.Diff(want, lease, comparable, variable); err != nil || diff != "" {
			t.Fatalf("Acquire: %v (-want +got):\n%s", err, diff)
		}
		if lease.Since.Before(begin) {
			t.Errorf("Acquire: since %v, want its begin %v at the earliest", lease.Since, begin)
		}
		server.Wait(`DHCPACK`) // behind all that was said before
		acquired := server.Count(`DHCPDISCOVER`)

		n.IP("address add 10.9.0.100/24 dev eth0")
		for i, rebind := range []bool{false, true} {
			renewed, err := c.Renew(bounded(t), link, lease, rebind)
			if diff := cmp.Diff(want, renewed, comparable, variable); err != nil || diff != "" {
				t.Errorf("Renew, rebind %v: %v (-want +got):\n%s", rebind, err, diff)
			}
			if renewed.Renew < 42*time.Second || renewed.Renew > 50*time.Second || renewed.Rebind < 92*time.Second || renewed.Rebind > 100*time.Second {
				t.Errorf("Renew: %v and %v, want the server's 50 s and 100 s", renewed.Renew, renewed.Rebind)
			}
			if !renewed.Since.After(lease.Since) {
				t.Errorf("Renew, rebind %v: since %v, want later than %v", rebind, renewed.Since, lease.Since)
			}
			server.WaitN(`DHCPREQUEST\(lan\) 10.9.0.100`, 2+i)
		}
		if renewed := server.Count(`DHCPDISCOVER`); renewed != acquired {
			t.Errorf("the server saw %d DISCOVERs more, want none to renew", renewed-acquired)
		}
		server.Stop()
		n.Dnsmasq("--interface=lan", "--dhcp-range=10.9.0.200,10.9.0.201,255.255.255.0,120")
		for _, rebind := range []bool{false, true} {
			if _, err := c.Renew(bounded(t), link, lease, rebind); !errors.Is(err, network.ErrLost) {
				t.Errorf("Renew of what the server no longer has, rebind %v: %v, want ErrLost", rebind, err)
			}
		}
	})
}

func TestDnsmasqDecline(t *testing.T) {
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		link := cable(t, n)
		server := n.Dnsmasq("--interface=lan", "--dhcp-range=10.9.0.100,10.9.0.101,255.255.255.0,120")
		var c Client
		first, err := c.Acquire(bounded(t), link, ignore)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Decline(bounded(t), link, first); err != nil {
			t.Fatal(err)
		}
		server.Wait(`DHCPDECLINE\(lan\) ` + first.Address.Addr().String())
		second, err := c.Acquire(bounded(t), link, ignore)
		if err != nil || second.Address == first.Address {
			t.Errorf("Acquire after Decline = %v, %v, want another address than %v", second.Address, err, first.Address)
		}
	})
}

// Answers that are priority-tagged (VLAN 0) are for us, as IEEE 802.1Q has it; those of another VLAN are not.
func TestTags(t *testing.T) {
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		link := cable(t, n)
		n.Far(func() error {
			i, err := net.InterfaceByName("lan")
			if err != nil {
				return err
			}
			conn, err := packet.Listen(i, packet.Raw, unix.ETH_P_IP, nil)
			if err == nil {
				go answerTagged(conn, i.HardwareAddr)
			}
			return err
		})
		lease, err := Client{}.Acquire(bounded(t), link, ignore)
		if err != nil || lease.Address.String() != "10.0.2.15/24" {
			t.Errorf("Acquire = %v, %v, want the address from VLAN 0, 10.0.2.15/24", lease.Address, err)
		}
	})
}

// answerTagged answers from VLAN 7 first.
func answerTagged(conn *packet.Conn, mac net.HardwareAddr) {
	b := make([]byte, 2000)
	for {
		n, _, err := conn.ReadFrom(b)
		if err != nil {
			return
		}
		const headers = 14 + 20 + 8
		m, err := dhcpv4.FromBytes(b[min(headers, n):n])
		if err != nil {
			continue
		}
		for _, answer := range friendly(m) {
			for _, vlan := range []uint16{7, 0} {
				answer.YourIPAddr = net.IPv4(10, 0, 2, 15+byte(vlan))
				frame := slices.Concat(m.ClientHWAddr, mac, []byte{0x81, 0x00}, binary.BigEndian.AppendUint16(nil, 5<<13|vlan), []byte{0x08, 0x00})
				frame = append(frame, ip4(string(answer.ToBytes()), func([]byte) {})...)
				if _, err := conn.WriteTo(frame, &packet.Addr{HardwareAddr: m.ClientHWAddr}); err != nil {
					return
				}
			}
		}
	}
}
