package pxe

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path"
	"path/filepath"
	"strconv"
	"time"

	"github.com/liveboot/liveboot/pkg/needs"
	"github.com/liveboot/liveboot/pkg/network/nettest"
)

// startTime is how long a server may take until it answers.
const startTime = 30 * time.Second

// starters are the programs that take the configurations of examples, by folder. What each does with one returns when the program is ready.
func starters() map[string]func(*Site, string) *nettest.Server {
	return map[string]func(*Site, string) *nettest.Server{
		"dnsmasq": (*Site).dnsmasq,
		"dhcpd":   (*Site).dhcpd,
		"kea":     (*Site).kea,
		"vsftpd":  (*Site).vsftpd,
		"nginx":   (*Site).nginx,
		"squid":   (*Site).squid,
	}
}

func (s *Site) dnsmasq(example string) *nettest.Server {
	s.t.Helper()
	return s.serve("started, version", "dnsmasq", "dnsmasq-base", "--conf-file="+s.file(example),
		"--keep-in-foreground", "--log-facility=-", "--pid-file=", "--dhcp-leasefile="+s.state("dnsmasq.leases"))
}

// vsftpd says nothing, so its port is asked.
func (s *Site) vsftpd(example string) *nettest.Server {
	s.t.Helper()
	const empty = "/var/run/vsftpd/empty" // made by Debian's start script
	if err := os.MkdirAll(empty, 0o755); err != nil {
		s.t.Fatal(err)
	}
	server := s.serve("^started$", "vsftpd", "vsftpd", s.file(example))
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

func (s *Site) nginx(example string) *nettest.Server {
	s.t.Helper()
	file := s.config(path.Base(example), fmt.Sprintf(nginxConfig, s.state(""), s.file(example)))
	return s.serve(`using the ".*" event method`, "nginx", "nginx-light", "-c", file, "-e", "stderr")
}

// squidConfig is what Debian's squid.conf comes down to; the argument is the example's file.
const squidConfig = `include %s
http_access deny all
http_port 3128
pid_filename none
cache_log /dev/null
access_log stdio:/dev/stderr
coredump_dir none
pinger_enable off
shutdown_lifetime 0 seconds
`

// squid writes its log as the user that Debian's package makes for it, so that user is given the output; and the folder for the cache.
func (s *Site) squid(example string) *nettest.Server {
	s.t.Helper()
	squid := needs.Program(s.t, "squid", "squid")
	file := s.config("squid.conf", fmt.Sprintf(squidConfig, s.file(example)))
	s.own("squid", "proxy")
	const start = `chown proxy /dev/stdout && "$0" --foreground -z -f "$1" && exec "$0" -N -d 1 -f "$1"`
	return s.serve("Accepting .*HTTP Socket connections at", "sh", "dash", "-c", start, squid, file)
}

// own makes a folder below /srv that belongs to a user.
func (s *Site) own(folder, name string) {
	s.t.Helper()
	dir := filepath.Join(s.srv, folder)
	owner, err := user.Lookup(name)
	if err != nil {
		s.t.Fatal(err)
	}
	uid, uidErr := strconv.Atoi(owner.Uid)
	gid, gidErr := strconv.Atoi(owner.Gid)
	if err := errors.Join(uidErr, gidErr, os.Mkdir(dir, 0o755), os.Chown(dir, uid, gid)); err != nil {
		s.t.Fatal(err)
	}
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
