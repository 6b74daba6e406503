// Package pxe is the boot server of the documented set-ups, in a network of its own, for the machines of the tests: real programs run
// with the very files of docs/examples, at the addresses and in the folders that those name. The folders are there for these programs
// only, in mount namespaces of their own.
package pxe

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/liveboot/liveboot/pkg/needs"
	"github.com/liveboot/liveboot/pkg/network/nettest"
)

// Address is the server's, in all examples: one of those that RFC 5737 keeps for documentation.
const Address = "192.0.2.1"

// startTime is how long a server may take until it answers.
const startTime = 30 * time.Second

// Site is a network with a boot server and the cable for one machine.
type Site struct {
	*nettest.Net
	// Tap is for the machine's card.
	Tap *os.File

	t        testing.TB
	srv      string // is /srv for the servers
	examples string // a copy of the folder with the examples
	state    string // for what a server keeps
}

// New makes the network. examples is the folder docs/examples.
func New(t *testing.T, examples string) *Site {
	t.Helper()
	needs.Program(t, "unshare", "util-linux")
	s := &Site{Net: nettest.Far(t), t: t, srv: t.TempDir(), examples: filepath.Join(t.TempDir(), "examples"), state: t.TempDir()}
	// A checkout below /srv could not be seen otherwise.
	if err := os.CopyFS(s.examples, os.DirFS(examples)); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(s.srv, "ftp"), 0o755); err != nil { // Debian's package vsftpd makes it, the user ftp is at home there
		t.Fatal(err)
	}
	s.Tap = s.Net.Tap("port")
	s.Bridge("lan", "port")
	s.FarIP("address add " + Address + "/24 dev lan")
	return s
}

// Example is the file of an example.
func (s *Site) Example(name string) string { return filepath.Join(s.examples, name) }

// Path is a file of the server, named by its path below /srv/tftpboot.
func (s *Site) Path(name string) string { return filepath.Join(s.srv, "tftpboot", name) }

// Put copies a file to a path below /srv/tftpboot. All may read it.
func (s *Site) Put(file, path string) {
	s.t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	s.Write(content, path)
}

// Write makes a file below /srv/tftpboot.
func (s *Site) Write(content []byte, path string) {
	s.t.Helper()
	file := s.Path(path)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(file, content, 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// source is a file that a script takes, and Debian's package of it.
type source struct{ file, debian string }

// sources are what the scripts need, by example.
func sources() map[string][]source {
	return map[string][]source{
		"pxelinux": {{"/usr/lib/PXELINUX/pxelinux.0", "pxelinux"}, {"/usr/lib/syslinux/modules/bios/ldlinux.c32", "syslinux-common"}},
		"grub": {
			{"/usr/bin/grub-mknetdir", "grub-common"}, {"/usr/lib/grub/i386-pc", "grub-pc-bin"}, {"/usr/lib/grub/x86_64-efi", "grub-efi-amd64-bin"},
		},
		"secureboot": {
			{"/usr/lib/shim/shimx64.efi.signed", "shim-signed"}, {"/usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed", "grub-efi-amd64-signed"},
		},
		"ipxe": {{"/usr/lib/ipxe/ipxe.efi", "ipxe"}, {"/usr/bin/cpio", "cpio"}},
	}
}

// Install runs the script install.sh of an example, as a person does.
func (s *Site) Install(example string) {
	s.t.Helper()
	for _, need := range sources()[example] {
		_, err := os.Stat(need.file)
		needs.That(s.t, err == nil, need.file+" (Debian: "+need.debian+")")
	}
	words := s.inside("sh", s.Example(example+"/install.sh"))
	out, err := exec.CommandContext(s.t.Context(), words[0], words[1:]...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("install %s: %v\n%s", example, err, out)
	}
}

// inside is a command where /srv is the site's.
func (s *Site) inside(words ...string) []string {
	return append([]string{"unshare", "--mount", "sh", "-c", `mount --bind "$0" /srv && echo started && exec "$@"`, s.srv}, words...)
}

// serve starts a program of Debian's package of that name with the site's /srv, and waits until a line of its output matches ready.
func (s *Site) serve(ready, program, debian string, args ...string) *nettest.Server {
	s.t.Helper()
	words := s.inside(append([]string{needs.Program(s.t, program, debian)}, args...)...)
	return s.Start(ready, words[0], "util-linux", words[1:]...)
}

// Dnsmasq starts dnsmasq with the configuration docs/examples/dnsmasq/<example>.
func (s *Site) Dnsmasq(example string) *nettest.Server {
	s.t.Helper()
	return s.serve("started, version", "dnsmasq", "dnsmasq-base", "--conf-file="+s.Example("dnsmasq/"+example),
		"--keep-in-foreground", "--log-facility=-", "--pid-file=", "--dhcp-leasefile="+filepath.Join(s.state, example+".leases"))
}

// FTP starts vsftpd with the example's configuration.
func (s *Site) FTP() *nettest.Server {
	s.t.Helper()
	const empty = "/var/run/vsftpd/empty" // made by Debian's start script
	if err := os.MkdirAll(empty, 0o755); err != nil {
		s.t.Fatal(err)
	}
	server := s.serve("^started$", "vsftpd", "vsftpd", s.Example("vsftpd/vsftpd.conf"))
	s.answers(Address + ":21")
	return server
}

// nginxConfig is what Debian's nginx.conf comes down to; the arguments are the folder for what it keeps and the example's file.
const nginxConfig = `daemon off;
master_process off;
user root;
pid %[1]s/nginx.pid;
error_log stderr notice;
events {}
http {
	access_log /dev/stderr;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	include %[2]s;
}
`

// HTTP starts nginx with the configuration docs/examples/nginx/<example>.
func (s *Site) HTTP(example string) *nettest.Server {
	s.t.Helper()
	file := filepath.Join(s.state, example)
	if err := os.WriteFile(file, fmt.Appendf(nil, nginxConfig, s.state, s.Example("nginx/"+example)), 0o644); err != nil {
		s.t.Fatal(err)
	}
	return s.serve(`using the ".*" event method`, "nginx", "nginx-light", "-c", file, "-e", "stderr")
}

// answers waits until an address takes connections.
func (s *Site) answers(address string) {
	s.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(startTime); ; {
		var err error
		s.Far(func() error {
			var c net.Conn
			if c, err = net.Dial("tcp", address); err == nil {
				return c.Close()
			}
			return nil
		})
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			s.t.Fatalf("nobody answers at %s after %v: %v", address, startTime, err)
		}
	}
}
