package integration

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/liveboot/liveboot/integration/liveiso"
	"github.com/liveboot/liveboot/integration/webserver"
	"github.com/liveboot/liveboot/pkg/needs"
	"github.com/liveboot/liveboot/pkg/network/nettest"
)

// slowly makes nginx send an ISO of some 3 MB for half a minute.
const slowly = "limit_rate 100k"

// outage is how long what was cut stays cut.
const outage = 20 * time.Second

// wait lets the time pass for which something is out of order.
func wait(t *testing.T, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	<-ctx.Done()
}

// The web server is killed in the middle, and is back after a while: the download goes on where it stopped.
func TestServerRestart(t *testing.T) {
	full(t)
	t.Parallel()
	iso := liveISO(t, liveiso.Config{Layout: liveiso.Squashfs})
	n := nettest.Far(t)
	tap := n.Tap("lan")
	n.FarIP("address add 10.3.0.1/24 dev lan")
	n.Dnsmasq("--interface=lan", "--dhcp-range=10.3.0.100,10.3.0.110,1h")
	config := webserver.Config(t, filepath.Dir(iso), netip.MustParseAddrPort("10.3.0.1:80"), nil, slowly)
	start := func() *nettest.Server {
		return n.Start(`using the ".*" event method`, "nginx", "nginx-light", "-c", config, "-e", "stderr")
	}
	server := start()
	m := boot(t, "root=live:http://10.3.0.1/"+filepath.Base(iso), onTaps(tap))
	m.see(progressed(), anyFailure())
	server.Stop()
	m.see(warned(`fetch: trying again`), anyFailure())
	wait(t, outage)
	start()
	m.see(warned(`fetch: resumed at byte [1-9]\d* of `), anyFailure())
	checkLive(t, m.facts(), liveiso.Squashfs)
}

// The cable is pulled in the middle, and put back.
func TestCablePulled(t *testing.T) {
	full(t)
	t.Parallel()
	iso := liveISO(t, liveiso.Config{Layout: liveiso.Squashfs})
	n := nettest.Far(t)
	tap := n.Tap("lan")
	n.FarIP("address add 10.3.0.1/24 dev lan")
	dhcp := n.Dnsmasq("--interface=lan", "--dhcp-range=10.3.0.100,10.3.0.110,1h")
	config := webserver.Config(t, filepath.Dir(iso), netip.MustParseAddrPort("10.3.0.1:80"), nil, slowly)
	n.Start(`using the ".*" event method`, "nginx", "nginx-light", "-c", config, "-e", "stderr")
	m := boot(t, "root=live:http://10.3.0.1/"+filepath.Base(iso), onTaps(tap))
	m.see(progressed(), anyFailure())
	if err := m.SetLink(m.ctx, 0, false); err != nil {
		t.Fatal(err)
	}
	wait(t, outage+10*time.Second)
	if err := m.SetLink(m.ctx, 0, true); err != nil {
		t.Fatal(err)
	}
	checkLive(t, m.facts(), liveiso.Squashfs)
	if got := dhcp.Count(`DHCPDISCOVER\(lan\)`); got != 1 {
		t.Errorf("the server saw %d times DHCPDISCOVER, want 1: the address is kept", got)
	}
}

// What is wrong on the server is refused: a file that is cut off, one with another digest than stands beside it.
func TestWrongFile(t *testing.T) {
	for _, tt := range []struct {
		name, cause string
		files       func(iso []byte) map[string][]byte
	}{
		{"truncated", "truncated", func(iso []byte) map[string][]byte { return map[string][]byte{"x.iso": iso[:len(iso)/2]} }},
		{"wrong digest", "is not the expected one", func(iso []byte) map[string][]byte {
			return map[string][]byte{"x.iso": iso, "x.iso.sha256": fmt.Appendf(nil, "%x  x.iso\n", sha256.Sum256([]byte("another")))}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			full(t)
			t.Parallel()
			iso, err := os.ReadFile(liveISO(t, liveiso.Config{Layout: liveiso.Squashfs}))
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			for name, content := range tt.files(bytes.Clone(iso)) {
				if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			m := boot(t, "root=live:"+webserver.Nginx(t, dir, nil)+"/x.iso")
			m.fails(fetching, tt.cause)
			m.neverSaid(said(live, ""))
		})
	}
}

// An image must be signed by the key on the kernel command line: one that is boots, one that somebody else signed does not.
func TestSigned(t *testing.T) {
	for _, tt := range []struct {
		name string
		good bool
	}{{"by the key", true}, {"by another", false}} {
		t.Run(tt.name, func(t *testing.T) {
			full(t)
			t.Parallel()
			program := needs.Program(t, "minisign", "minisign")
			iso, err := os.ReadFile(liveISO(t, liveiso.Config{Layout: liveiso.Squashfs}))
			if err != nil {
				t.Fatal(err)
			}
			keys, dir := t.TempDir(), t.TempDir()
			minisign := func(args ...string) {
				t.Helper()
				if out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput(); err != nil {
					t.Fatalf("minisign %q: %v: %s", args, err, out)
				}
			}
			for _, name := range []string{"site", "other"} {
				minisign("-G", "-W", "-p", filepath.Join(keys, name+".pub"), "-s", filepath.Join(keys, name))
			}
			sum := filepath.Join(dir, "x.iso.sha256")
			if err := errors.Join(os.WriteFile(filepath.Join(dir, "x.iso"), iso, 0o644), os.WriteFile(sum, fmt.Appendf(nil, "%x  x.iso\n", sha256.Sum256(iso)), 0o644)); err != nil {
				t.Fatal(err)
			}
			signer := "site"
			if !tt.good {
				signer = "other"
			}
			minisign("-S", "-s", filepath.Join(keys, signer), "-m", sum)
			public, err := os.ReadFile(filepath.Join(keys, "site.pub"))
			if err != nil {
				t.Fatal(err)
			}
			key := strings.Split(string(public), "\n")[1]
			m := boot(t, "rd.liveboot.key="+key+" root=live:"+webserver.Nginx(t, dir, nil)+"/x.iso")
			if tt.good {
				checkLive(t, m.facts(), liveiso.Squashfs)
				return
			}
			m.fails(fetching, "signature")
			m.neverSaid(said(live, ""))
		})
	}
}
