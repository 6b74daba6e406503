package integration

import (
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/liveboot/liveboot/integration/webserver"
	"github.com/liveboot/liveboot/pkg/network/nettest"
)

// hurried makes nginx end a connection after a few requests, so that the streaming process makes new ones when the initramfs is long gone.
const hurried = "keepalive_requests 4"

// The image comes over HTTPS from a server that an authority of the site vouches for. Its certificate was a file of the initramfs, and new
// connections are made after that.
func TestStreamedHTTPS(t *testing.T) {
	full(t)
	t.Parallel()
	image := made(t, obedientSmall)
	n := nettest.Far(t)
	tap := n.Tap("lan")
	n.FarIP("address add 10.3.0.1/24 dev lan")
	n.Dnsmasq("--interface=lan", "--dhcp-range=10.3.0.100,10.3.0.110,1h")
	config := webserver.Config(t, filepath.Dir(image.file), netip.MustParseAddrPort("10.3.0.1:443"), trusted(t), hurried)
	n.Start(`using the ".*" event method`, "nginx", "nginx-light", "-c", config, "-e", "stderr")
	m := boot(t, "root=live:nbd:https://10.3.0.1/"+filepath.Base(image.file)+obedientWords, onTaps(tap))
	m.lives()
	m.arrives()
	m.reads(image)
	m.readsAll(image)
	m.ends()
}

// The server has a name, and those who know its address are gone when the live system runs: the address is kept.
func TestStreamedName(t *testing.T) {
	full(t)
	t.Parallel()
	image := made(t, obedientSmall)
	n := nettest.Far(t)
	tap := n.Tap("lan")
	n.FarIP("address add 10.3.0.1/24 dev lan")
	dns := n.Dnsmasq("--interface=lan", "--dhcp-range=10.3.0.100,10.3.0.110,1h", "--port=53", "--address=/images.example/10.3.0.1")
	config := webserver.Config(t, filepath.Dir(image.file), netip.MustParseAddrPort("10.3.0.1:80"), nil, hurried)
	n.Start(`using the ".*" event method`, "nginx", "nginx-light", "-c", config, "-e", "stderr")
	m := boot(t, "root=live:nbd:http://images.example/"+filepath.Base(image.file)+obedientWords, onTaps(tap))
	m.lives()
	dns.Stop()
	m.arrives()
	m.reads(image)
	m.ends()
}
