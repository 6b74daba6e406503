package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/liveboot/liveboot/integration/netlive"
	"github.com/liveboot/liveboot/pkg/network/nettest"
	"github.com/liveboot/liveboot/qemu"
)

// handoverTime is how long the live system may take to its report and the renewal of its lease: one to two minutes under TCG, on a busy machine more.
const handoverTime = 12 * time.Minute

// A real system, with one network manager or another, is booted over the network and keeps it: the link, its name, the address, the
// resolver. The server sees one DISCOVER, that of the initramfs, and the lease is renewed by the live system.
func TestHandover(t *testing.T) {
	for _, tt := range []struct {
		name    string
		manager netlive.Manager
		words   string
		taps    int
		// link that has the address, as an expression.
		link string
	}{
		{"networkd", netlive.Networkd, "ip=dhcp", 1, `en\w+`},
		{"NetworkManager", netlive.NetworkManager, "ip=dhcp", 1, `en\w+`},
		{"networkd ifname", netlive.Networkd, "ifname=boot0:0e:00:00:00:00:01 ip=boot0:dhcp", 1, `boot0`},
		{"networkd bond", netlive.Networkd, "bond=bond0:0e-00-00-00-00-01,0e-00-00-00-00-02:mode=active-backup,miimon=100 ip=bond0:dhcp", 2, `bond0`},
		{"NetworkManager bond", netlive.NetworkManager, "bond=bond0:0e-00-00-00-00-01,0e-00-00-00-00-02:mode=active-backup,miimon=100 ip=bond0:dhcp", 2, `bond0`},
		{"NetworkManager bridge", netlive.NetworkManager, "bridge=br0:0e-00-00-00-00-01 ip=br0:dhcp", 1, `br0`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			full(t)
			t.Parallel()
			iso, err := netlive.ISO(context.WithoutCancel(t.Context()), tt.manager, t.Output())
			if err != nil {
				t.Fatal(err)
			}
			n := nettest.Far(t)
			dhcp, taps := handoverLAN(t, n, iso, tt.taps)
			m := bootWithin(t, handoverTime, tt.words+" root=live:http://10.9.0.1/"+filepath.Base(iso), onTaps(taps...))
			up := m.see(configured(), anyFailure())
			link, address := up.Groups[1], up.Groups[2]
			if !regexp.MustCompile("^" + tt.link + "$").MatchString(link) {
				t.Errorf("the address is on %s, want %s", link, tt.link)
			}
			m.see(said(handoff, ""), anyFailure())
			m.see(regexp.MustCompile(netlive.End))
			acks := dhcp.Count(`DHCPACK\(lan\)`)
			checkHandover(t, handoverReport(m.Lines()), link, address)
			dhcp.WaitN(`DHCPACK\(lan\)`, acks+1)
			for message, want := range map[string]int{"DISCOVER": 1, "NAK": 0, "DECLINE": 0, "RELEASE": 0} {
				if got := dhcp.Count(`DHCP` + message + `\(lan\)`); got != want {
					t.Errorf("the server saw DHCP%s %d times, want %d", message, got, want)
				}
			}
		})
	}
}

// handoverLAN is a network with a switch, a server of the ISO, and one for addresses and names. Its leases last an hour, but are renewed after 30 s.
func handoverLAN(t *testing.T, n *nettest.Net, iso string, ports int) (*nettest.Server, []*os.File) {
	t.Helper()
	var taps []*os.File
	var names []string
	for i := range ports {
		names = append(names, fmt.Sprintf("port%d", i))
		taps = append(taps, n.Tap(names[i]))
	}
	n.Bridge("lan", names...)
	n.FarIP("address add 10.9.0.1/24 dev lan")
	n.Nginx(filepath.Dir(iso), "10.9.0.1:80")
	return n.Dnsmasq("--interface=lan", "--dhcp-range=10.9.0.100,10.9.0.150,1h", "--dhcp-option=option:T1,30", "--dhcp-option=option:domain-search,lab.example",
		"--dhcp-host=0e:00:00:00:00:01,node7", "--port=53", "--address=/"+netlive.Host+"/10.9.0.1"), taps
}

// handoverReport is what the live system reported, by the name of the report.
func handoverReport(lines []qemu.Line) map[string]string {
	report := map[string]string{}
	for _, l := range lines {
		if _, rest, ok := strings.Cut(l.Text, netlive.Line); ok {
			name, value, _ := strings.Cut(rest, ": ")
			report[name] += value + "\n"
		}
	}
	return report
}

// checkHandover compares the report with what the initramfs made.
func checkHandover(t *testing.T, report map[string]string, link, address string) {
	t.Helper()
	gateway := `10\.9\.0\.1`
	for _, want := range []struct{ name, re string }{
		{"state", `^running\n$`},
		{"failed", `^$`},
		{"hostname", `^node7\n$`},
		{"resolv", `(?m)^nameserver \S`},
		{"resolv", `(?m)^search lab\.example`},
		{"lookup", `(?m)^10\.9\.0\.1 `},
		{"routes", `(?m)^default via ` + gateway + ` dev ` + link + ` `},
	} {
		if got := report[want.name]; !regexp.MustCompile(want.re).MatchString(got) {
			t.Errorf("the live system says of %s\n%swant a match of %s", want.name, got, want.re)
		}
	}
	if n := strings.Count("\n"+report["routes"], "\ndefault "); n != 1 {
		t.Errorf("the live system has %d default routes, want 1:\n%s", n, report["routes"])
	}
	var links []struct {
		Name      string `json:"ifname"`
		Addresses []struct {
			Family, Local string
			Length        int `json:"prefixlen"`
		} `json:"addr_info"`
	}
	if err := json.Unmarshal([]byte(report["addresses"]), &links); err != nil {
		t.Fatalf("read the addresses of the live system: %v\n%s", err, report["addresses"])
	}
	var got []string
	for _, l := range links {
		for _, a := range l.Addresses {
			if a.Family == "inet" && l.Name != "lo" {
				got = append(got, fmt.Sprintf("%s %s/%d", l.Name, a.Local, a.Length))
			}
		}
	}
	if want := []string{link + " " + address}; !slices.Equal(got, want) {
		t.Errorf("the live system has %q, want %q", got, want)
	}
	if t.Failed() {
		t.Logf("the network manager said:\n%s", report["journal"])
	}
}
