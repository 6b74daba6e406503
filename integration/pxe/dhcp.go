package pxe

import (
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"

	"github.com/liveboot/liveboot/pkg/needs"
	"github.com/liveboot/liveboot/pkg/network/nettest"
)

// otherAddress is that of the machine with the other DHCP server.
const otherAddress = "192.0.2.2"

// other is another machine of the network, whose card is eth0.
func (s *Site) other() *nettest.Net {
	s.t.Helper()
	other := s.Elsewhere()
	var namespace *os.File
	other.Far(func() (err error) {
		namespace, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	defer namespace.Close()
	s.FarIP("link add other-port type veth peer name other-card")
	s.FarIP(fmt.Sprintf("link set other-card netns /proc/%d/fd/%d name eth0", os.Getpid(), namespace.Fd()))
	s.FarIP("link set other-port master lan up")
	other.FarIP("address add " + otherAddress + "/24 dev eth0")
	other.FarIP("link set eth0 up")
	return other
}

// kea starts Kea's DHCPv4 server on the other machine.
func (s *Site) kea(example string) *nettest.Server {
	s.t.Helper()
	kea := s.unconfined(needs.Program(s.t, "kea-dhcp4", "kea-dhcp4-server"))
	// Debian's start script makes the folder. What Kea keeps goes where nobody else's is.
	if err := os.MkdirAll("/var/lib/kea", 0o755); err != nil {
		s.t.Fatal(err)
	}
	const private = `mount --bind "$0" /var/lib/kea && export KEA_PIDFILE_DIR="$0" KEA_LOCKFILE_DIR="$0" && exec "$@"`
	return s.other().Start("DHCP4_STARTED", "unshare", "util-linux", "--mount", "sh", "-c", private, s.t.TempDir(), kea, "-c", s.file(example))
}

// dhcpd starts ISC's DHCP server; with other.conf on the other machine.
func (s *Site) dhcpd(example string) *nettest.Server {
	s.t.Helper()
	machine, card := s.Net, "lan"
	if path.Base(example) == "other.conf" {
		machine, card = s.other(), "eth0"
	}
	leases := s.config("dhcpd.leases", "") // it wants to find the file
	dhcpd := s.unconfined(needs.Program(s.t, "dhcpd", "isc-dhcp-server"))
	return machine.Start("Server starting service", dhcpd, "isc-dhcp-server",
		"-4", "-f", "-d", "--no-pid", "-cf", s.file(example), "-lf", leases, card)
}

// unconfined is a copy of a program. The one in its place may read the folders of Debian's package only, where AppArmor is on, and not the examples.
func (s *Site) unconfined(program string) string {
	s.t.Helper()
	file := s.state(filepath.Base(program))
	// Not written here: another test may start a program at this moment, which would have the file open for a while, and that forbids to run it.
	if out, err := exec.CommandContext(s.t.Context(), "cp", program, file).CombinedOutput(); err != nil {
		s.t.Fatalf("copy %s: %v\n%s", program, err, out)
	}
	return file
}
