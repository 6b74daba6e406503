package integration

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/liveboot/liveboot/integration/streamlive"
	"github.com/liveboot/liveboot/pkg/needs"
	"github.com/liveboot/liveboot/pkg/network/nettest"
	"github.com/liveboot/liveboot/qemu"
)

// streamNetTime is how long a story of a streaming root and a network manager may take: some minutes under TCG, on a busy machine more.
const streamNetTime = 12 * time.Minute

// streamAtOnce is how long a read may take under TCG on a busy machine when nothing is in its way; half a second is usual. That the line is
// broken shows after 20 s.
const streamAtOnce = 15 * time.Second

// A live system keeps the link that its root comes by: its lease of half a minute is renewed again and again, and the network manager is started
// anew, but no address goes and none comes, and what is read of the root comes at once.
func TestStreamLease(t *testing.T) {
	onStreamLANs(t, func(t *testing.T, s *streamLAN, manager streamlive.Manager) {
		dhcp := s.dhcpd(30 * time.Second)
		m := s.boot("rd.liveboot.stream=lazy")
		m.do("systemctl start reader")
		awaitRenewals(dhcp, 6)
		m.do("systemctl restart " + string(manager))
		awaitRenewals(dhcp, 2)
		for message, want := range map[string]int{"DISCOVER": 1, "NAK": 0, "DECLINE": 0, "RELEASE": 0} {
			if got := dhcp.Count(`^DHCP` + message); got != want {
				t.Errorf("the server saw DHCP%s %d times, want %d", message, got, want)
			}
		}
		// Nobody renews the lease, and it runs out.
		m.do("systemctl stop " + string(manager) + "; sleep 45; systemctl start " + string(manager))
		m.readsOn()
		m.untouched()
		if longest := m.longestRead(); longest > streamAtOnce {
			t.Errorf("a read took %v, want %v at most", longest, streamAtOnce)
		}
	})
}

// The server of addresses is started anew and hands out others: the machine gets one, and its root comes there.
func TestStreamNewAddress(t *testing.T) {
	onStreamLANs(t, func(t *testing.T, s *streamLAN, manager streamlive.Manager) {
		dhcp := s.dnsmasq("10.9.0.100,10.9.0.120,2m")
		m := s.boot("rd.liveboot.stream=lazy")
		m.do("systemctl start reader")
		m.readsOn()
		dhcp.Stop()
		s.dnsmasq("10.9.0.200,10.9.0.220,2m").Wait(`DHCPACK\(lan\) 10\.9\.0\.2`)
		s.web.Wait(`^10\.9\.0\.2\d\d .* 206 `)
		m.readsOn()
		if addresses := m.do("ip -o -4 address show " + m.link); strings.Contains(addresses, m.address) {
			t.Errorf("the machine still has the address %s:\n%s", m.address, addresses)
		}
		t.Logf("the longest read took %v", m.longestRead())
	})
}

// The cable is out for a minute. The root waits, and goes on.
func TestStreamCable(t *testing.T) {
	onStreamLANs(t, func(t *testing.T, s *streamLAN, manager streamlive.Manager) {
		s.dnsmasq("10.9.0.100,10.9.0.120,2m")
		m := s.boot("rd.liveboot.stream=lazy")
		m.do("systemctl start reader")
		m.readsOn()
		if err := m.SetLink(m.ctx, 0, false); err != nil {
			t.Fatal(err)
		}
		m.see(regexp.MustCompile(`stream: nothing of the image has come for 1m`))
		if err := m.SetLink(m.ctx, 0, true); err != nil {
			t.Fatal(err)
		}
		m.see(regexp.MustCompile(`stream: the live system goes on after`))
		m.readsOn()
		if longest := m.longestRead(); longest < time.Minute {
			t.Errorf("no read took longer than %v, want one that waited for the cable", longest)
		}
	})
}

// Somebody has the network manager let go of the link, and take it again half a minute later. The root waits, and goes on.
func TestStreamDisconnect(t *testing.T) {
	onStreamLANs(t, func(t *testing.T, s *streamLAN, manager streamlive.Manager) {
		s.dnsmasq("10.9.0.100,10.9.0.120,2m")
		m := s.boot("rd.liveboot.stream=lazy")
		m.do("systemctl start reader")
		m.readsOn()
		command := "nmcli device disconnect LINK; sleep 30; nmcli device connect LINK"
		if manager == streamlive.Networkd {
			command = "networkctl down LINK; sleep 30; networkctl up LINK"
		}
		m.do(strings.ReplaceAll(command, "LINK", m.link))
		m.readsOn()
		if addresses := m.do("ip -o -4 address show " + m.link); !strings.Contains(addresses, m.address) {
			t.Errorf("the machine has not its address %s again:\n%s", m.address, addresses)
		}
		if longest := m.longestRead(); longest < 20*time.Second {
			t.Errorf("no read took longer than %v, want one that waited for the link", longest)
		}
	})
}

// The server is known by its name. It is away for a while, and when it is there again it has another address.
func TestStreamMovedServer(t *testing.T) {
	onStreamLANs(t, func(t *testing.T, s *streamLAN, manager streamlive.Manager) {
		s.host = "images.lab.example"
		const name = "--address=/images.lab.example/"
		names := s.dnsmasq("10.9.0.100,10.9.0.120,2m", "--port=53", name+"10.9.0.1")
		m := s.boot("rd.liveboot.stream=lazy")
		m.do("systemctl start reader")
		m.readsOn()
		names.Stop()
		s.web.Stop()
		m.see(regexp.MustCompile(`stream: nothing of the image has come for`))
		s.FarIP("address add 10.9.0.2/24 dev lan")
		s.dnsmasq("10.9.0.100,10.9.0.120,2m", "--port=53", name+"10.9.0.2")
		moved := s.Nginx(filepath.Dir(s.iso), "10.9.0.2:80")
		m.see(regexp.MustCompile(`stream: the live system goes on after`))
		m.readsOn()
		m.longestRead()
		if moved.Count(` 206 `) == 0 {
			t.Error("nothing of the image came from the new address")
		}
	})
}

// When all of the image has come, the network is the live system's alone: nothing that happens to it is any business of the root.
func TestStreamThenFree(t *testing.T) {
	onStreamLANs(t, func(t *testing.T, s *streamLAN, manager streamlive.Manager) {
		dhcp := s.dnsmasq("10.9.0.100,10.9.0.120,2m")
		m := s.boot("rd.liveboot.stream=on")
		m.see(regexp.MustCompile(`liveboot: the image is complete`))
		m.do("systemctl restart " + string(manager))
		m.do("ip link set " + m.link + " down")
		s.web.Stop()
		dhcp.Stop()
		m.do("systemctl start reader")
		for range 3 {
			m.do("echo 3 >/proc/sys/vm/drop_caches")
			m.readsOn()
		}
		if longest := m.longestRead(); longest > streamAtOnce {
			t.Errorf("a read took %v, want %v at most", longest, streamAtOnce)
		}
		m.neverSaid(regexp.MustCompile(`I/O error|SQUASHFS error|waits for a part of its image`))
	})
}

// onStreamLANs tells a story for each of the network managers.
func onStreamLANs(t *testing.T, story func(*testing.T, *streamLAN, streamlive.Manager)) {
	for _, manager := range []streamlive.Manager{streamlive.Networkd, streamlive.NetworkManager} {
		t.Run(string(manager), func(t *testing.T) {
			full(t)
			t.Parallel()
			story(t, newStreamLAN(t, manager), manager)
		})
	}
}

// awaitRenewals waits until ISC's DHCP server has renewed its lease so many times; each may take as long as a server's answers may.
func awaitRenewals(dhcp *nettest.Server, count int) {
	for range count {
		dhcp.WaitN(`^DHCPACK on`, dhcp.Count(`^DHCPACK on`)+1)
	}
}

// streamLAN is a network with a switch and a server of a live ISO, at 10.9.0.1, which is the router, too.
type streamLAN struct {
	*nettest.Net
	t   *testing.T
	tap *os.File
	iso string
	web *nettest.Server
	// host is the server's name or address.
	host string
}

func newStreamLAN(t *testing.T, manager streamlive.Manager) *streamLAN {
	t.Helper()
	notShort(t)
	iso, err := streamlive.ISO(context.WithoutCancel(t.Context()), manager, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	s := &streamLAN{Net: nettest.Far(t), t: t, iso: iso, host: "10.9.0.1"}
	s.tap = s.Tap("port0")
	s.Bridge("lan", "port0")
	s.FarIP("address add 10.9.0.1/24 dev lan")
	s.web = s.Nginx(filepath.Dir(iso), "10.9.0.1:80")
	return s
}

// dhcpd starts ISC's DHCP server, since dnsmasq gives no lease of less than two minutes.
func (s *streamLAN) dhcpd(lease time.Duration) *nettest.Server {
	s.t.Helper()
	dir := s.t.TempDir()
	config, leases, program := filepath.Join(dir, "dhcpd.conf"), filepath.Join(dir, "dhcpd.leases"), filepath.Join(dir, "dhcpd")
	text := fmt.Sprintf(`authoritative;
default-lease-time %[1]d; max-lease-time %[1]d;
subnet 10.9.0.0 netmask 255.255.255.0 {
	range 10.9.0.100 10.9.0.150;
	option routers 10.9.0.1;
}
`, lease/time.Second)
	for name, content := range map[string]string{config: text, leases: ""} {
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			s.t.Fatal(err)
		}
	}
	// The one in its place may read the folders of Debian's package only, where AppArmor is on.
	command(s.t, "cp", needs.Program(s.t, "dhcpd", "isc-dhcp-server"), program)
	return s.Start("Server starting service", program, "isc-dhcp-server", "-4", "-f", "-d", "--no-pid", "-cf", config, "-lf", leases, "lan")
}

// dnsmasq starts a server whose leases are renewed after 15 s, and at any server after 30 s: asked to renew an address that it does not have, a
// server says so to everybody, which the network managers hear only when they ask everybody.
func (s *streamLAN) dnsmasq(addresses string, more ...string) *nettest.Server {
	s.t.Helper()
	return s.Dnsmasq(append([]string{"--interface=lan", "--dhcp-range=" + addresses, "--dhcp-option=option:T1,15", "--dhcp-option=option:T2,30"}, more...)...)
}

// streamed is a machine with a streaming root, which does what it is told.
type streamed struct {
	*machine
	conn    net.Conn
	answers *bufio.Reader
	// link is the name of the card, address what the initramfs gave it, with the length of the prefix.
	link, address string
}

// boot starts a machine that gets its root from the server, and waits until its live system is up.
func (s *streamLAN) boot(words string) *streamed {
	s.t.Helper()
	socket := filepath.Join(s.t.TempDir(), "agent")
	l, err := net.Listen("unix", socket)
	if err != nil {
		s.t.Fatal(err)
	}
	defer l.Close()
	words += " ip=dhcp root=live:http://" + s.host + "/" + filepath.Base(s.iso)
	m := &streamed{machine: bootWithin(s.t, streamNetTime, words, onTaps(s.tap), func(c *qemu.Config) {
		c.Extra = []string{"-chardev", "socket,id=agent,path=" + socket, "-device", "isa-serial,chardev=agent,index=1"}
	})}
	if m.conn, err = l.Accept(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { m.conn.Close() })
	m.answers = bufio.NewReader(m.conn)
	network := m.see(configured(), anyFailure())
	m.link, m.address = network.Groups[1], network.Groups[2]
	m.see(said(handoff, ""), anyFailure())
	m.until("streamlive ready")
	return m
}

// until returns what the live system answers before a line that begins in this way, and the rest of that.
func (m *streamed) until(begin string) (text, rest string) {
	m.t.Helper()
	if deadline, ok := m.ctx.Deadline(); ok {
		_ = m.conn.SetDeadline(deadline) // of a socket that is open
	}
	var lines strings.Builder
	for {
		line, err := m.answers.ReadString('\n')
		if err != nil {
			m.t.Fatalf("wait for %q from the live system: %v; it said\n%s%s", begin, err, lines.String(), line)
		}
		line = strings.TrimRight(line, "\r\n")
		if rest, ok := strings.CutPrefix(line, begin); ok {
			return lines.String(), strings.TrimSpace(rest)
		}
		lines.WriteString(line + "\n")
	}
}

// do has the live system do something, a line of a shell, and returns what that prints.
func (m *streamed) do(command string) string {
	m.t.Helper()
	if _, err := m.conn.Write([]byte(command + "\n")); err != nil {
		m.t.Fatal(err)
	}
	text, status := m.until("streamlive done")
	if status != "0" {
		m.t.Errorf("the live system's command ended with %s:\n%s", status, text)
	}
	return text
}

// readsOn waits until five more files were read, of those that nobody read before.
func (m *streamed) readsOn() {
	m.t.Helper()
	m.do("count() { cat " + streamlive.Reads + " 2>/dev/null | wc -l; }; had=$(count); while [ $(count) -lt $((had + 5)) ]; do sleep 1; done")
}

// longestRead compares what was read with what it should be, and returns the longest time that a read took.
func (m *streamed) longestRead() (longest time.Duration) {
	m.t.Helper()
	for line := range strings.Lines(m.do("cat " + streamlive.Reads)) {
		var before, after float64
		var name, sum string
		if _, err := fmt.Sscan(line, &before, &after, &name, &sum); err != nil {
			m.t.Errorf("the live system reports of a read: %q: %v", line, err)
			continue
		}
		if want, err := streamlive.Digest(name); err != nil || sum != want {
			m.t.Errorf("of %s/%s the live system read %s, want %s, %v", streamlive.Noise, name, sum, want, err)
		}
		longest = max(longest, time.Duration((after-before)*float64(time.Second)))
	}
	return longest
}

// untouched fails the test if, since before the network manager's start, the link was down, or had another address than the initramfs gave it, or
// none, or the way out was gone.
func (m *streamed) untouched() {
	m.t.Helper()
	changes := m.do("cat " + streamlive.Changes)
	if !strings.Contains(changes, " inet "+m.address) {
		m.t.Errorf("no renewal shows in the changes of the network:\n%s", changes)
	}
	unwanted := regexp.MustCompile(`Deleted (\d+: ` + m.link + ` +inet |default via )|\d+: ` + m.link + `: .* state DOWN`)
	address := regexp.MustCompile(`\d+: ` + m.link + ` +inet (\S+)`)
	for line := range strings.Lines(changes) {
		if found := address.FindStringSubmatch(line); unwanted.MatchString(line) || found != nil && found[1] != m.address {
			m.t.Errorf("the network was touched: %s", line)
		}
	}
}
