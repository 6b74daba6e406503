package boot

import (
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/liveboot/liveboot/pkg/fetch"
	"github.com/liveboot/liveboot/pkg/network"
	"github.com/liveboot/liveboot/pkg/network/reach"
	"github.com/liveboot/liveboot/pkg/plan"
)

func TestEndpoints(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   fetch.Source
		want []reach.Endpoint
	}{
		{"default ports", fetch.Source{URLs: []fetch.URL{"http://a/i", "https://[2001:db8::1]/i"}}, []reach.Endpoint{{Host: "a", Port: 80}, {Host: "2001:db8::1", Port: 443}}},
		{"named ports", fetch.Source{URLs: []fetch.URL{"http://u:p@a:8080/i", "https://[2001:db8::1]:8443/i"}}, []reach.Endpoint{{Host: "a", Port: 8080}, {Host: "2001:db8::1", Port: 8443}}},
		{"other protocols", fetch.Source{URLs: []fetch.URL{"ftp://a/i", "tftp://b/x/i"}}, []reach.Endpoint{
			{Host: "a", Port: 21}, {Host: "b", Port: 69, Request: []byte("\x00\x01x/i\x00octet\x00"), Farewell: []byte("\x00\x05\x00\x00never mind\x00")},
		}},
		{"by a proxy", fetch.Source{URLs: []fetch.URL{"http://a/i"}, Options: fetch.Options{Proxy: "http://p:3128"}}, []reach.Endpoint{{Host: "p", Port: 3128}}},
	} {
		if diff := cmp.Diff(tt.want, endpoints(tt.in)); diff != "" {
			t.Errorf("endpoints(%s) (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestLocated(t *testing.T) {
	server := netip.MustParseAddr("192.0.2.9")
	for _, tt := range []struct {
		name  string
		in    plan.Plan
		lease network.Lease
		want  []fetch.URL
		err   string
	}{
		{"on the line", plan.Plan{Image: fetch.Source{URLs: []fetch.URL{"http://a/i"}}}, network.Lease{BootServer: server}, []fetch.URL{"http://a/i"}, ""},
		{"the boot server's", plan.Plan{Paths: []string{"/i.iso"}}, network.Lease{BootServer: server}, []fetch.URL{"http://192.0.2.9/i.iso"}, ""},
		{"an IPv6 boot server's", plan.Plan{Paths: []string{"/i.iso"}}, network.Lease{BootServer: netip.MustParseAddr("2001:db8::9")}, []fetch.URL{"http://[2001:db8::9]/i.iso"}, ""},
		{"the root path's server", plan.Plan{Paths: []string{"/i.iso"}}, network.Lease{RootPath: "live:ftp://b:2121/other", BootServer: server}, []fetch.URL{"ftp://b:2121/i.iso"}, ""},
		{"the root path", plan.Plan{Paths: []string{""}}, network.Lease{RootPath: "live:https://b/x.iso"}, []fetch.URL{"https://b/x.iso"}, ""},
		{"the root path names a ring", plan.Plan{Paths: []string{""}}, network.Lease{RootPath: "live:dolly://"}, []fetch.URL{"dolly://"}, ""},
		{"no server", plan.Plan{Paths: []string{"/i.iso"}}, network.Lease{RootPath: "192.0.2.1:/srv/nfs"}, nil, "DHCP gives neither a root path"},
		{"nothing", plan.Plan{Paths: []string{""}}, network.Lease{BootServer: server}, nil, "the root path of DHCP (option 17) is"},
		{"a root path with a password", plan.Plan{Paths: []string{""}}, network.Lease{RootPath: "nfs://u:secret@b/x"}, nil, "u:xxxxx@b"},
	} {
		got, err := located(tt.in, tt.lease)
		if diff := cmp.Diff(tt.want, got); diff != "" || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("located(%s): error %v, want %q; URLs (-want +got):\n%s", tt.name, err, tt.err, diff)
		}
	}
}

func TestNamer(t *testing.T) {
	card := func(name string) network.Link {
		return network.Link{Name: name, MAC: net.HardwareAddr{2, 0, 0, 0, 0, name[3] - '0'}}
	}
	for _, tt := range []struct {
		name   string
		naming network.Naming
		want   []string // of eth0 and eth1
	}{
		{"the kernel's", network.Naming{Kernel: true}, []string{"eth0", "eth1"}},
		{"one rule", network.Naming{Kernel: true, Rules: []network.NameRule{{Name: "lan", MAC: "02:00:00:00:00:01"}}}, []string{"eth0", "lan"}},
		{"only the first is lan0", network.Naming{Kernel: true, Lan0: true}, []string{"lan0", "eth1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sys := fstest.MapFS{
				"devices/pci0/uevent": {}, "devices/pci0/driver": {Data: []byte("../../bus/pci/drivers/x"), Mode: fs.ModeSymlink}, "bus/pci/drivers/x/uevent": {},
			}
			for i, name := range []string{"eth0", "eth1"} {
				folder := "devices/pci0/net/" + name + "/"
				sys["class/net/"+name] = &fstest.MapFile{Data: []byte("../../" + strings.TrimSuffix(folder, "/")), Mode: fs.ModeSymlink}
				for file, content := range map[string]string{
					"type": "1", "ifindex": string('2' + rune(i)), "iflink": string('2' + rune(i)), "dev_id": "0x0", "dev_port": "0", "name_assign_type": "1", "addr_assign_type": "0",
					"address": card(name).MAC.String(), "uevent": "INTERFACE=" + name,
				} {
					sys[folder+file] = &fstest.MapFile{Data: []byte(content + "\n")}
				}
				sys[folder+"device"] = &fstest.MapFile{Data: []byte("../.."), Mode: fs.ModeSymlink}
			}
			name, err := namer(tt.naming, sys)
			if err != nil {
				t.Fatal(err)
			}
			for i, kernel := range []string{"eth0", "eth1"} {
				if got, err := name(card(kernel)); got != tt.want[i] || err != nil {
					t.Errorf("the name of %s is %q, %v, want %q", kernel, got, err, tt.want[i])
				}
			}
		})
	}
}

// TestClock: a clock before the date of the image is set from the web server, and only such a one.
func TestClock(t *testing.T) {
	built := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name  string
		clock time.Time
		set   bool
	}{
		{"no battery", time.Unix(0, 0), true},
		{"may be right", built.Add(time.Hour), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t)
			m.clock = tt.clock
			m.write("etc/liveboot/image.json", []byte(`{"version":"v1","date":"2026-01-01T00:00:00Z"}`), 0o644)
			if err := m.boot(""); err != nil {
				t.Fatal(err)
			}
			log := strings.Join(m.lines, "\n")
			if strings.Contains(log, "date -s 20") != tt.set || strings.Contains(log, "# warning: the clock was set from 1970-01-01") != tt.set {
				t.Errorf("the clock was set: want %v:\n%s", tt.set, log)
			}
		})
	}
}

// TestHandOver: the network managers' files are below /run, and the root has what it lacked.
func TestHandOver(t *testing.T) {
	m := newMachine(t)
	if err := m.boot("hostname=lab7"); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		file string
		mode fs.FileMode
		want string
	}{
		{"run/liveboot/network.json", 0o644, `"10.0.2.15/24"`},
		{"run/systemd/network/*.network", 0o644, "DHCP="},
		{"run/NetworkManager/system-connections/*.nmconnection", 0o600, "method=auto"},
		{"sysroot/etc/resolv.conf", 0o644, "nameserver 10.0.2.3\n"},
		{"sysroot/etc/hostname", 0o644, "lab7\n"},
	} {
		files, err := filepath.Glob(m.path(tt.file))
		if err != nil || len(files) != 1 {
			t.Errorf("files %s: %v, %v, want one", tt.file, files, err)
			continue
		}
		info, err := os.Stat(files[0])
		if err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(files[0])
		if err != nil || info.Mode().Perm() != tt.mode || !strings.Contains(string(content), tt.want) {
			t.Errorf("%s (%v) is %q, %v, want mode %v and %q", files[0], info.Mode(), content, err, tt.mode, tt.want)
		}
	}
}
