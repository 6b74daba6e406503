package curl

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch"
	"github.com/liveboot/liveboot/pkg/fetch/fetchtest"
	"github.com/liveboot/liveboot/pkg/needs"
)

// labImage is what all servers of the lab have. It is so large since curl, asked to limit its rate, does not begin to do so at once.
var labImage = bytes.Repeat([]byte("0123456789abcdef"), 1<<20)

// A lab is real servers. Their addresses and files have names, which stand in braces in the rows of the test: {http}, {ca}.
type lab struct {
	*fetchtest.Site
	names []string // pairs, for strings.NewReplacer
}

func newLab(t *testing.T) *lab {
	t.Helper()
	needs.That(t, os.Getuid() == 0, "root, for vsftpd and squid")
	l := &lab{Site: fetchtest.NewSite(t, labImage)}
	l.Certificates(t)
	l.name("dir", l.Dir)
	l.hash(t, "ca.pem", "authorities")
	l.hash(t, "client.pem", "others")
	l.nginx(t)
	l.squid(t)
	l.name("ftp", l.vsftpd(t))
	l.name("ftp-active", l.vsftpd(t, "pasv_enable=NO"))
	l.name("ftp-passive", l.vsftpd(t, "port_enable=NO"))
	l.name("ftp-tls", l.vsftpd(t, "ssl_enable=YES", "allow_anon_ssl=YES", "force_anon_logins_ssl=YES", "force_anon_data_ssl=YES",
		"rsa_cert_file="+l.Path("server.pem"), "rsa_private_key_file="+l.Path("server.pem")))
	l.name("nobody", fmt.Sprintf("127.0.0.1:%d", fetchtest.FreePort(t)))
	l.name("silent", silent(t))
	return l
}

func (l *lab) name(name, value string) { l.names = append(l.names, "{"+name+"}", value) }

// hash makes a folder in which OpenSSL finds the certificate.
func (l *lab) hash(t *testing.T, certificate, folder string) {
	t.Helper()
	data, err := os.ReadFile(l.Path(certificate))
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(needs.Program(t, "openssl", "openssl"), "x509", "-hash", "-noout", "-in", l.Path(certificate)).Output()
	if err != nil {
		t.Fatal(err)
	}
	l.Write(t, filepath.Join(folder, strings.TrimSpace(string(out))+".0"), data)
}

// nginx answers with what it has seen of a request: that is the image then.
func (l *lab) nginx(t *testing.T) {
	t.Helper()
	l.Write(t, "passwords", []byte("name:{PLAIN}secret\n"))
	plain, tls, old, mutual := fetchtest.FreePort(t), fetchtest.FreePort(t), fetchtest.FreePort(t), fetchtest.FreePort(t)
	for name, port := range map[string]int{"http": plain, "https": tls, "https-1.2": old, "https-mutual": mutual} {
		l.name(name, fmt.Sprintf("127.0.0.1:%d", port))
		l.name(name+"-6", fmt.Sprintf("[::1]:%d", port))
	}
	conf := l.Write(t, "nginx.conf", fmt.Appendf(nil, `daemon off; pid %[1]s/pid; error_log stderr; worker_processes 1; user root;
events {}
http {
	access_log off; root %[1]s/files; default_type text/plain;
	client_body_temp_path %[1]s/t1; proxy_temp_path %[1]s/t2; fastcgi_temp_path %[1]s/t3; uwsgi_temp_path %[1]s/t4; scgi_temp_path %[1]s/t5;
	ssl_certificate %[1]s/server.pem; ssl_certificate_key %[1]s/server.pem; ssl_protocols TLSv1.2 TLSv1.3;
	server {
		listen 127.0.0.1:%[2]d; listen [::1]:%[2]d; listen 127.0.0.1:%[3]d ssl http2;
		location ~ \.sha { return 404; }
		location /agent { return 200 "agent <$http_user_agent>"; }
		location /header { return 200 "host <$host> token <$http_x_token> empty <$http_x_empty> accept <$http_accept>"; }
		location /from { return 200 "from $remote_addr"; }
		location /protocol { return 200 "$server_protocol"; }
		location /via { return 200 "via <$http_via>"; }
		location /login { auth_basic x; auth_basic_user_file %[1]s/passwords; try_files /sub/image =404; }
		location /user { return 200 "authorization <$http_authorization>"; }
		location /slow { alias %[1]s/files/sub; limit_rate 100k; }
		location /moved { return 302 /sub/image; }
		location /twice { return 301 /moved; }
	}
	server { listen 127.0.0.1:%[4]d ssl; ssl_protocols TLSv1.2; location ~ \.sha { return 404; } location / { return 200 "$ssl_protocol"; } }
	server {
		listen 127.0.0.1:%[5]d ssl; ssl_client_certificate %[1]s/ca.pem; ssl_verify_client on;
		location ~ \.sha { return 404; }
		location / { return 200 "$ssl_protocol $ssl_client_s_dn"; }
	}
}`, l.Dir, plain, tls, old, mutual))
	fetchtest.Serve(t, mutual, needs.Program(t, "nginx", "nginx-light"), "-e", "stderr", "-c", conf)
}

func (l *lab) squid(t *testing.T) {
	t.Helper()
	port := fetchtest.FreePort(t)
	l.name("proxy", fmt.Sprintf("127.0.0.1:%d", port))
	conf := l.Write(t, "squid.conf", fmt.Appendf(nil, "http_port 127.0.0.1:%d\npid_filename none\ncache deny all\ncache_log %s/cache.log\naccess_log none\n"+
		"coredump_dir none\nshutdown_lifetime 0 seconds\nvisible_hostname lab\nhttpd_suppress_version_string on\nhttp_access allow localhost\n", port, l.Dir))
	if err := os.Chmod(l.Dir, 0o777); err != nil {
		t.Fatal(err)
	}
	fetchtest.Serve(t, port, needs.Program(t, "squid", "squid"), "-N", "-f", conf)
}

// vsftpd starts one more, and returns its address.
func (l *lab) vsftpd(t *testing.T, lines ...string) string {
	t.Helper()
	port := fetchtest.FreePort(t)
	conf := l.Write(t, fmt.Sprintf("vsftpd-%d.conf", port), fmt.Appendf(nil, "listen=NO\nlisten_ipv6=YES\nlisten_port=%d\nbackground=NO\nanonymous_enable=YES\n"+
		"local_enable=NO\nanon_root=%s\nseccomp_sandbox=NO\nconnect_from_port_20=NO\n%s\n", port, l.Path("files"), strings.Join(lines, "\n")))
	fetchtest.Serve(t, port, needs.Program(t, "vsftpd", "vsftpd"), conf)
	return fmt.Sprintf("127.0.0.1:%d", port)
}

// silent is an address at which nobody answers: the kernel drops what exceeds the queue of a socket that accepts nothing.
func silent(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return address
}

// got is what a download came to.
type got struct {
	data string // empty if there was an error
	err  error
	took time.Duration
}

// byCurl runs curl as the reference does: in a shell, the commas of the list made spaces.
func (l *lab) byCurl(t *testing.T, list, url string) got {
	t.Helper()
	bash, program, out := needs.Program(t, "bash", "bash"), needs.Program(t, "curl", "curl"), filepath.Join(t.TempDir(), "out")
	command := exec.CommandContext(t.Context(), bash, "-c", `eval "$0 -q -s -f $1 -o '$2' '$3'"`, program, strings.ReplaceAll(list, ",", " "), out, url)
	var complaints bytes.Buffer
	command.Stderr, command.Dir = &complaints, t.TempDir() // where * stands for nothing else
	began := time.Now()
	err := command.Run()
	g := got{err: err, took: time.Since(began)}
	if err == nil {
		data, err := os.ReadFile(out)
		g.data, g.err = string(data), err
	} else {
		g.err = fmt.Errorf("%w: %s", err, &complaints)
	}
	return g
}

// byOurs does the same, with little patience where the list says nothing of it.
func (l *lab) byOurs(t *testing.T, list, url string) got {
	t.Helper()
	s := fetch.Source{URLs: []fetch.URL{fetch.URL(url)}}
	if err := Apply(&s.Options, list); err != nil {
		t.Fatalf("Apply(%q): %v", list, err)
	}
	began := time.Now()
	stream, err := fetch.Open(t.Context(), s, fetch.Environment{Roots: "/", Patience: fetch.Patience{Silent: 3 * time.Second, Delay: time.Second / 4}})
	if err != nil {
		return got{err: err, took: time.Since(began)}
	}
	defer stream.Close()
	data, err := io.ReadAll(stream)
	if err != nil {
		data = nil
	}
	return got{string(data), err, time.Since(began)}
}
