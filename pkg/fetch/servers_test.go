package fetch

import (
	"bytes"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/fetchtest"
	"github.com/liveboot/liveboot/pkg/fetch/ftp"
	"github.com/liveboot/liveboot/pkg/needs"
)

func TestVsftpd(t *testing.T) {
	needs.That(t, os.Getuid() == 0, "root, for vsftpd")
	vsftpd := needs.Program(t, "vsftpd", "vsftpd")
	s := fetchtest.NewSite(t, image)
	s.Certificates(t)
	start := func(t *testing.T, lines ...string) int {
		port := fetchtest.FreePort(t)
		base := []string{
			"listen=NO", "listen_ipv6=YES", fmt.Sprintf("listen_port=%d", port), "background=NO", "anonymous_enable=YES", "local_enable=NO",
			"anon_root=" + s.Path("files"), "seccomp_sandbox=NO", "port_enable=YES", "connect_from_port_20=NO",
			"rsa_cert_file=" + s.Path("server.pem"), "rsa_private_key_file=" + s.Path("server.pem"), "allow_anon_ssl=YES",
		}
		conf := s.Write(t, fmt.Sprintf("vsftpd-%d.conf", port), []byte(strings.Join(append(base, lines...), "\n")+"\n"))
		fetchtest.Serve(t, port, vsftpd, conf)
		return port
	}
	plain := start(t)
	tls := start(t, "ssl_enable=YES", "require_ssl_reuse=YES", "force_anon_logins_ssl=YES", "force_anon_data_ssl=YES")
	implicit := start(t, "ssl_enable=YES", "implicit_ssl=YES", "require_ssl_reuse=NO")
	at := func(scheme, host string, port int, file string) Source {
		return source(fmt.Sprintf("%s://%s:%d/sub/%s", scheme, host, port, file))
	}
	for _, tt := range []struct {
		name    string
		source  Source
		options Options
	}{
		{"passive", at("ftp", "127.0.0.1", plain, "image"), Options{}},
		{"IPv6", at("ftp", "[::1]", plain, "image"), Options{}},
		{"login", at("ftp", "anonymous:a%40b@127.0.0.1", plain, "image"), Options{}},
		{"login by option", at("ftp", "nobody:x@127.0.0.1", plain, "image"), Options{User: "ftp:x"}},
		{"active", at("ftp", "127.0.0.1", plain, "image"), Options{FTPPort: "-"}},
		{"active, IPv6", at("ftp", "[::1]", plain, "image"), Options{FTPPort: "-"}},
		{"active, interface", at("ftp", "127.0.0.1", plain, "image"), Options{FTPPort: "lo", IPVersion: 4}},
		{"TLS", at("ftps", "localhost", tls, "image"), Options{CACert: "ca.pem"}},
		{"TLS, IPv6", at("ftps", "[::1]", tls, "image"), Options{CACert: "ca.pem"}},
		{"TLS 1.3", at("ftps", "localhost", tls, "image"), Options{CACert: "ca.pem", MinTLS: 0x0304}},
		{"TLS asked for", at("ftp", "localhost", tls, "image"), Options{CACert: "ca.pem", SSLRequired: true}},
		{"TLS, active", at("ftps", "localhost", tls, "image"), Options{CACert: "ca.pem", FTPPort: "-"}},
		{"TLS, insecure", at("ftps", "localhost", tls, "image"), Options{Insecure: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.source.Options = tt.options
			events := "Resumed Resumed"
			if tt.options.FTPPort != "" {
				events = "" // whom the server connects to, the cutter does not see
			}
			fetchCut(t, tt.source, Environment{Roots: s.Dir}, events)
		})
	}
	t.Run("changed", func(t *testing.T) {
		whole := s.Write(t, "files/sub/changing", image)
		c := &cutter{places: []int64{400_000}}
		e := Environment{Patience: hasty, connect: c.dial, Roots: t.TempDir()}
		done := &copied{}
		e.Report = func(event Event) {
			done.report(event)
			if _, ok := event.(Retrying); ok {
				os.WriteFile(whole, changed.Data, 0o644)
				os.Chtimes(whole, time.Unix(1e9, 0), time.Unix(1e9, 0))
			}
		}
		stream, err := Open(t.Context(), at("ftp", "127.0.0.1", plain, "changing"), e)
		if err != nil {
			t.Fatal(err)
		}
		defer stream.Close()
		if err := done.readAll(stream); err != nil || !bytes.Equal(done.data, changed.Data) || done.restarts != 1 {
			t.Errorf("get = %d bytes, %v, %d new beginnings, want the new file", len(done.data), err, done.restarts)
		}
	})
	fails(t, at("ftp", "127.0.0.1", plain, "nothing"), Environment{}, "550")
	fails(t, at("ftp", "nobody:secret@127.0.0.1", plain, "image"), Environment{}, "530")
	fails(t, at("ftps", "localhost", plain, "image"), Environment{}, "AUTH")
	fails(t, at("ftps", "localhost", tls, "image"), Environment{}, "certificate signed by unknown authority")
	t.Run("implicit TLS", func(t *testing.T) {
		// The scheme means it on port 990 only, so the protocol is asked itself.
		u, err := url.Parse(string(at("ftps", "localhost", implicit, "image").URLs[0]))
		if err != nil {
			t.Fatal(err)
		}
		d, err := newDialer(Options{CACert: "ca.pem"}, Environment{Roots: s.Dir})
		if err != nil {
			t.Fatal(err)
		}
		file, err := ftp.New(u, ftp.Options{Dial: d.connect, TLS: d.tls, Roots: d.roots, Security: ftp.Implicit})
		if err != nil {
			t.Fatal(err)
		}
		data, err := small(t.Context(), file, Options{}.withDefaults(Environment{Stall: DefaultStall}), int64(len(image)))
		if err != nil || !bytes.Equal(data, image) {
			t.Errorf("get = %d bytes, %v, want the image", len(data), err)
		}
	})
}

func TestNginx(t *testing.T) {
	nginx := needs.Program(t, "nginx", "nginx-light")
	s := fetchtest.NewSite(t, image)
	s.Certificates(t)
	s.Write(t, "passwords", []byte("name:{PLAIN}secret\n"))
	plain, login, tls, mutual := fetchtest.FreePort(t), fetchtest.FreePort(t), fetchtest.FreePort(t), fetchtest.FreePort(t)
	encryption := fmt.Sprintf("ssl_certificate %[1]s; ssl_certificate_key %[1]s;", s.Path("server.pem"))
	conf := s.Write(t, "nginx.conf", fmt.Appendf(nil, `daemon off; pid %[1]s/pid; error_log stderr; worker_processes 1;
events {}
http {
	access_log off; root %[1]s/files;
	client_body_temp_path %[1]s/t1; proxy_temp_path %[1]s/t2; fastcgi_temp_path %[1]s/t3; uwsgi_temp_path %[1]s/t4; scgi_temp_path %[1]s/t5;
	server { listen 127.0.0.1:%[2]d; listen [::1]:%[2]d; location /limited { alias %[1]s/files/sub; limit_rate 100k; } }
	server { listen 127.0.0.1:%[3]d; auth_basic x; auth_basic_user_file %[1]s/passwords; }
	server { listen 127.0.0.1:%[4]d ssl http2; listen [::1]:%[4]d ssl http2; %[6]s ssl_protocols TLSv1.2 TLSv1.3; }
	server { listen 127.0.0.1:%[5]d ssl; %[6]s ssl_client_certificate %[1]s/ca.pem; ssl_verify_client on; }
}`, s.Dir, plain, login, tls, mutual, encryption))
	fetchtest.Serve(t, tls, nginx, "-e", "stderr", "-c", conf)
	at := func(scheme, host string, port int) Source {
		return source(fmt.Sprintf("%s://%s:%d/sub/image", scheme, host, port))
	}
	for _, tt := range []struct {
		name    string
		source  Source
		options Options
	}{
		{"plain", at("http", "127.0.0.1", plain), Options{}},
		{"IPv6", at("http", "[::1]", plain), Options{}},
		{"login", at("http", "name:secret@127.0.0.1", login), Options{}},
		{"login by option", at("http", "127.0.0.1", login), Options{User: "name:secret"}},
		{"TLS", at("https", "localhost", tls), Options{CACert: "ca.pem"}},
		{"TLS, IPv6", at("https", "[::1]", tls), Options{CACert: "ca.pem", MinTLS: 0x0304}},
		{"client certificate", at("https", "localhost", mutual), Options{CACert: "ca.pem", Cert: "client.pem"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.source.Options = tt.options
			fetchCut(t, tt.source, Environment{Roots: s.Dir}, "Resumed Resumed")
		})
	}
	fails(t, at("http", "127.0.0.1", login), Environment{}, "401")
	wrong := at("http", "name:wrong@127.0.0.1", login)
	fails(t, wrong, Environment{}, "401")
	noCertificate := at("https", "localhost", mutual)
	noCertificate.CACert = "ca.pem"
	fails(t, noCertificate, Environment{Roots: s.Dir}, "400 Bad Request")
	fails(t, at("https", "127.0.0.1", plain), Environment{Roots: s.Dir}, "HTTP response to HTTPS client")
}

// TestServerRestarted: a server ends in the middle of the image, and is back after some attempts.
func TestServerRestarted(t *testing.T) {
	nginx := needs.Program(t, "nginx", "nginx-light")
	s := fetchtest.NewSite(t, image)
	port := fetchtest.FreePort(t)
	start := func(limit string) (stop func()) {
		conf := s.Write(t, "nginx.conf", fmt.Appendf(nil, `daemon off; pid %[1]s/pid; error_log stderr; events {}
http { access_log off; root %[1]s/files; server { listen 127.0.0.1:%[2]d; %[3]s } }`, s.Dir, port, limit))
		return fetchtest.Serve(t, port, nginx, "-e", "stderr", "-c", conf)
	}
	stop := start("limit_rate_after 500k; limit_rate 1k;")
	c := &copied{}
	var back bool
	report := func(e Event) {
		c.report(e)
		if r, ok := e.(Retrying); ok && r.Count == 3 && !back {
			back = true
			start("")
		}
	}
	e := Environment{Roots: t.TempDir(), Patience: hasty, Report: report}
	stream, err := Open(t.Context(), source(fmt.Sprintf("http://127.0.0.1:%d/sub/image", port)), e)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	c.data = make([]byte, 400_000)
	if _, err := io.ReadFull(stream, c.data); err != nil {
		t.Fatal(err)
	}
	stop()
	if err := c.readAll(stream); err != nil || !bytes.Equal(c.data, image) || c.kinds() != "Resumed" {
		t.Errorf("get = %d bytes, %v, events %v, want the image, resumed", len(c.data), err, c.all)
	}
}

func TestSquid(t *testing.T) {
	squid := needs.Program(t, "squid", "squid")
	nginx := needs.Program(t, "nginx", "nginx-light")
	needs.That(t, os.Getuid() == 0, "root, for squid")
	s := fetchtest.NewSite(t, image)
	s.Certificates(t)
	server, tls, port := fetchtest.FreePort(t), fetchtest.FreePort(t), fetchtest.FreePort(t)
	nginxConf := s.Write(t, "nginx.conf", fmt.Appendf(nil, `daemon off; pid %[1]s/pid; error_log stderr; events {}
http { access_log off; root %[1]s/files; server { listen 127.0.0.1:%[2]d; } server { listen 127.0.0.1:%[3]d ssl; ssl_certificate %[1]s/server.pem; ssl_certificate_key %[1]s/server.pem; } }`,
		s.Dir, server, tls))
	fetchtest.Serve(t, tls, nginx, "-e", "stderr", "-c", nginxConf)
	conf := s.Write(t, "squid.conf", fmt.Appendf(nil, `http_port 127.0.0.1:%d
pid_filename none
cache deny all
cache_log %[2]s/cache.log
access_log none
coredump_dir none
shutdown_lifetime 0 seconds
acl mail port 25
http_access deny mail
http_access allow localhost
`, port, s.Dir))
	if err := os.Chmod(s.Dir, 0o777); err != nil {
		t.Fatal(err)
	}
	fetchtest.Serve(t, port, squid, "-N", "-f", conf)
	for _, address := range []string{fmt.Sprintf("http://127.0.0.1:%d", server), fmt.Sprintf("https://localhost:%d", tls)} {
		by := source(address + "/sub/image")
		by.Proxy, by.CACert = URL(fmt.Sprintf("http://127.0.0.1:%d", port)), "ca.pem"
		fetchCut(t, by, Environment{Roots: s.Dir}, "Resumed Resumed")
	}
	refused := source("https://localhost:25/x")
	refused.Proxy, refused.Digest = URL(fmt.Sprintf("http://127.0.0.1:%d", port)), digestOf(image)
	fails(t, refused, Environment{}, "the proxy answered 403")
	t.Run("FTP", func(t *testing.T) {
		vsftpd := needs.Program(t, "vsftpd", "vsftpd")
		ftpPort := fetchtest.FreePort(t)
		fetchtest.Serve(t, ftpPort, vsftpd, s.Write(t, "vsftpd.conf", fmt.Appendf(nil,
			"listen=YES\nlisten_port=%d\nbackground=NO\nanonymous_enable=YES\nanon_root=%s\nseccomp_sandbox=NO\n", ftpPort, s.Path("files"))))
		by := source(fmt.Sprintf("ftp://127.0.0.1:%d/sub/image", ftpPort))
		by.Proxy, by.Digest = URL(fmt.Sprintf("http://127.0.0.1:%d", port)), digestOf(image)
		c, err := get(t, by, Environment{Patience: hasty})
		if err != nil || !bytes.Equal(c.data, image) {
			t.Errorf("get by proxy = %d bytes, %v, want the image", len(c.data), err)
		}
	})
}

// TestTFTPServers: dnsmasq knows large blocks, atftpd windows, too.
func TestTFTPServers(t *testing.T) {
	needs.That(t, os.Getuid() == 0, "root, for TFTP servers")
	dnsmasq := needs.Program(t, "dnsmasq", "dnsmasq-base")
	atftpd := needs.Program(t, "atftpd", "atftpd")
	s := fetchtest.NewSite(t, image)
	port := fetchtest.FreePort(t)
	fetchtest.Serve(t, 0, atftpd, "--daemon", "--no-fork", "--user", "root", "--group", "root", "--bind-address", "127.0.0.1",
		"--port", fmt.Sprint(port), "--logfile", "-", s.Path("files"))
	// The port of dnsmasq's TFTP is always 69.
	fetchtest.Serve(t, 0, dnsmasq, "--keep-in-foreground", "--port=0", "--conf-file=/dev/null", "--enable-tftp", "--tftp-root="+s.Path("files"),
		"--listen-address=127.0.0.2", "--bind-interfaces", "--pid-file", "--user=root")
	for _, address := range []string{fmt.Sprintf("tftp://127.0.0.1:%d", port), "tftp://127.0.0.2"} {
		for _, digest := range []Digest{{}, digestOf(image)} {
			one := source(address + "/sub/image")
			one.Digest = digest
			c, err := get(t, one, Environment{})
			if err != nil || !bytes.Equal(c.data, image) || c.stream.Size != int64(len(image)) {
				t.Errorf("get %s = %d bytes, %v, want the image of %d bytes: %v", address, len(c.data), err, len(image), c.all)
			}
		}
		fails(t, source(address+"/nothing"), Environment{}, "the server answered error 1")
	}
}
