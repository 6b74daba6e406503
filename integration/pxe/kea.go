package pxe

import (
	"fmt"
	"os"

	"github.com/liveboot/liveboot/pkg/needs"
	"github.com/liveboot/liveboot/pkg/network/nettest"
)

// keaAddress is that of the machine with the other DHCP server.
const keaAddress = "192.0.2.2"

// Kea starts Kea's DHCPv4 server with the example's configuration on another machine of the network, whose card is eth0.
func (s *Site) Kea() *nettest.Server {
	s.t.Helper()
	kea := needs.Program(s.t, "kea-dhcp4", "kea-dhcp4-server")
	other := s.Elsewhere()
	var namespace *os.File
	other.Far(func() (err error) {
		namespace, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	defer namespace.Close()
	s.FarIP("link add kea-port type veth peer name kea-card")
	s.FarIP(fmt.Sprintf("link set kea-card netns /proc/%d/fd/%d name eth0", os.Getpid(), namespace.Fd()))
	s.FarIP("link set kea-port master lan up")
	other.FarIP("address add " + keaAddress + "/24 dev eth0")
	other.FarIP("link set eth0 up")
	// Debian's start script makes the folder. What Kea keeps goes where nobody else's is.
	if err := os.MkdirAll("/var/lib/kea", 0o755); err != nil {
		s.t.Fatal(err)
	}
	const private = `mount --bind "$0" /var/lib/kea && export KEA_PIDFILE_DIR="$0" KEA_LOCKFILE_DIR="$0" && exec "$@"`
	return other.Start("DHCP4_STARTED", "unshare", "util-linux", "--mount", "sh", "-c", private, s.t.TempDir(), kea, "-c", s.Example("kea/kea-dhcp4.conf"))
}
