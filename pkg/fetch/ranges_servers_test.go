package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/decompress"
	"github.com/liveboot/liveboot/pkg/fetch/fetchtest"
	"github.com/liveboot/liveboot/pkg/fetch/wire"
	"github.com/liveboot/liveboot/pkg/needs"
)

// A counter counts connections.
type counter struct {
	dials atomic.Int64
	cut   atomic.Int64 // so many reads more; then one connection is ended
}

func (c *counter) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c.dials.Add(1)
	conn, err := wire.Dialer{}.DialContext(ctx, network, address)
	return &countedConn{conn, c}, err
}

type countedConn struct {
	net.Conn
	*counter
}

func (c *countedConn) Read(p []byte) (int, error) {
	if c.cut.Add(-1) == 0 {
		c.Close()
	}
	return c.Conn.Read(p)
}

// readEverywhere reads a source at many places at once, one after the other, and with connections that are cut.
func readEverywhere(t *testing.T, s Source, roots string, sequential int64) {
	t.Helper()
	var dialled counter
	var c events
	r, err := OpenRanges(t.Context(), s, Environment{Roots: roots, Patience: hasty, Report: c.report, connect: dialled.dial})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if r.Size != int64(len(image)) {
		t.Fatalf("the size is %d, want %d", r.Size, len(image))
	}
	for at := 0; at < len(image); at += 50_000 {
		checkRead(t, r, image, at, 50_000)
	}
	if n := dialled.dials.Load(); s.FTPPort == "" && n > sequential {
		t.Errorf("%d connections for one reader, want %d", n, sequential)
	}
	if r.Received() != int64(len(image)) || len(c.all) > 0 {
		t.Errorf("%d bytes travelled, events %v, want %d, none", r.Received(), c.all, len(image))
	}
	var group sync.WaitGroup
	for seed := range uint64(6) {
		group.Go(func() {
			random := rand.New(rand.NewPCG(seed, 0))
			for range 20 {
				checkRead(t, r, image, random.IntN(len(image)), random.IntN(100_000))
			}
		})
	}
	group.Wait()
	for i := range 10 {
		dialled.cut.Store(int64(1 + i))
		checkRead(t, r, image, openSize, len(image)-openSize)
	}
	if strings.Contains(c.kinds(), "GaveUp") {
		t.Errorf("events %v", c.all)
	}
}

func TestRangesNginx(t *testing.T) {
	nginx := needs.Program(t, "nginx", "nginx-light")
	s := fetchtest.NewSite(t, image)
	s.Certificates(t)
	port, tls := fetchtest.FreePort(t), fetchtest.FreePort(t)
	conf := s.Write(t, "nginx.conf", fmt.Appendf(nil, `daemon off; pid %[1]s/pid; error_log stderr crit; events {}
http { access_log off; root %[1]s/files; limit_conn_zone $server_port zone=all:1m; limit_conn_status 503;
	server { listen 127.0.0.1:%[2]d; keepalive_requests 20; location /limited { alias %[1]s/files/sub; limit_conn all 2; }
		location /moved { return 302 http://localhost:%[2]d/sub/image?x; } location /none { alias %[1]s/files/sub; max_ranges 0; } }
	server { listen 127.0.0.1:%[3]d ssl http2; ssl_certificate %[1]s/server.pem; ssl_certificate_key %[1]s/server.pem;
		location /moved { return 302 http://localhost:%[2]d/sub/image; } }
	server { listen 127.0.0.2:%[2]d; location / { return 307 https://localhost:%[3]d/sub/image; } }
	map $http_if_range $another { "" ""; default '"x"'; }
	server { listen 127.0.0.3:%[2]d; location / { proxy_pass http://127.0.0.1:%[2]d/sub/; proxy_set_header If-Range $another; } } }`, s.Dir, port, tls))
	fetchtest.Serve(t, tls, nginx, "-e", "stderr", "-c", conf)
	for _, address := range []string{
		fmt.Sprintf("http://127.0.0.1:%d/sub/image", port), fmt.Sprintf("http://127.0.0.1:%d/limited/image", port),
		fmt.Sprintf("http://127.0.0.1:%d/moved/image", port), fmt.Sprintf("http://127.0.0.2:%d/image", port),
		fmt.Sprintf("http://127.0.0.3:%d/image", port), fmt.Sprintf("https://localhost:%d/sub/image", tls),
	} {
		t.Run(address, func(t *testing.T) {
			at := source(address)
			at.CACert = "ca.pem"
			readEverywhere(t, at, s.Dir, 3) // nginx ends a connection after 20 requests here
		})
	}
	for address, want := range map[string]string{
		fmt.Sprintf("http://127.0.0.1:%d/none/image", port): "sends the whole of it only", fmt.Sprintf("https://localhost:%d/moved/image", tls): "from https to http",
	} {
		at := source(address)
		at.CACert = "ca.pem"
		if _, err := OpenRanges(t.Context(), at, Environment{Roots: s.Dir}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("OpenRanges(%s) = %v, want %q", address, err, want)
		}
	}
}

func TestRangesVsftpd(t *testing.T) {
	needs.That(t, os.Getuid() == 0, "root, for vsftpd")
	vsftpd := needs.Program(t, "vsftpd", "vsftpd")
	s := fetchtest.NewSite(t, image)
	s.Certificates(t)
	start := func(lines ...string) int {
		port := fetchtest.FreePort(t)
		base := []string{
			"listen=YES", fmt.Sprintf("listen_port=%d", port), "background=NO", "anonymous_enable=YES", "local_enable=NO", "anon_root=" + s.Path("files"),
			"seccomp_sandbox=NO", "port_enable=YES", "connect_from_port_20=NO", "rsa_cert_file=" + s.Path("server.pem"),
			"rsa_private_key_file=" + s.Path("server.pem"), "allow_anon_ssl=YES",
		}
		fetchtest.Serve(t, port, vsftpd, s.Write(t, fmt.Sprintf("vsftpd-%d.conf", port), []byte(strings.Join(append(base, lines...), "\n")+"\n")))
		return port
	}
	plain, few := start(), start("max_per_ip=2")
	tls := start("ssl_enable=YES", "require_ssl_reuse=YES", "force_anon_logins_ssl=YES", "force_anon_data_ssl=YES")
	for _, tt := range []struct {
		name    string
		url     string
		options Options
	}{
		{"passive", fmt.Sprintf("ftp://127.0.0.1:%d/sub/image", plain), Options{}},
		{"active", fmt.Sprintf("ftp://127.0.0.1:%d/sub/image", plain), Options{FTPPort: "-"}},
		{"few", fmt.Sprintf("ftp://127.0.0.1:%d/sub/image", few), Options{}},
		{"TLS", fmt.Sprintf("ftps://localhost:%d/sub/image", tls), Options{CACert: "ca.pem"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			at := source(tt.url)
			at.Options = tt.options
			readEverywhere(t, at, s.Dir, 2) // one for the login and one for the data
		})
	}
	t.Run("changed", func(t *testing.T) {
		name := s.Write(t, "files/sub/changing", image)
		if err := os.Chtimes(name, time.Unix(1e9, 0), time.Unix(1e9, 0)); err != nil {
			t.Fatal(err)
		}
		r, err := OpenRanges(t.Context(), source(fmt.Sprintf("ftp://127.0.0.1:%d/sub/changing", plain)), Environment{Roots: s.Dir})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		checkRead(t, r, image, 500_000, 1000)
		s.Write(t, "files/sub/changing", changed.Data)
		var e *ChangedError
		if n, err := r.ReadAt(make([]byte, 10), 200_000); n > 0 || !errors.As(err, &e) {
			t.Errorf("ReadAt of a changed file = %d, %v, want a ChangedError", n, err)
		}
	})
}

// TestRangesCompressed: the first bytes tell real decompressors.
func TestRangesCompressed(t *testing.T) {
	for _, tt := range []struct {
		name, in string // program, and Debian's package
		args     []string
	}{
		{"xz", "xz-utils", []string{"-c", "-T2", "--block-size=300KiB"}},
		{"gzip", "gzip", []string{"-c"}},
		{"bzip2", "bzip2", []string{"-c"}},
		{"zstd", "zstd", []string{"-c", "-q"}},
	} {
		command := exec.Command(needs.Program(t, tt.name, tt.in), tt.args...)
		command.Stdin = bytes.NewReader(image)
		packed, err := command.Output()
		if err != nil {
			t.Fatal(err)
		}
		server := fetchtest.New(t, fetchtest.File{Data: packed, ETag: `"packed"`})
		_, err = OpenRanges(t.Context(), source(server.Image()), Environment{Roots: t.TempDir(), Decompress: unpack})
		var none *NoRangesError
		if !errors.As(err, &none) || none.Reason != "the image is compressed with "+tt.name {
			t.Errorf("OpenRanges of an image in %s = %v, want a NoRangesError", tt.name, err)
		}
	}
	server := fetchtest.New(t, strong)
	r, err := OpenRanges(t.Context(), source(server.Image()), Environment{Roots: t.TempDir(), Decompress: unpack})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	checkRead(t, r, image, 0, 100_000)
}

// unpack is what the machine that boots decompresses with.
func unpack(r io.Reader, _ string) (io.Reader, string, error) {
	d, err := decompress.New(r, decompress.Options{})
	if err != nil {
		return nil, "", err
	}
	return d, d.Format(), nil
}

// BenchmarkRanges compares what a reader of parts, and several, get from nginx with what a stream gets.
//
//	go test -run '^$' -bench Ranges ./pkg/fetch
func BenchmarkRanges(b *testing.B) {
	dir := b.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		b.Fatal(err)
	}
	benchImage(b, dir+"/image")
	s := source(fetchtest.ServeFolder(b, dir) + "/image")
	b.Run("stream", func(b *testing.B) {
		b.SetBytes(benchSize)
		for b.Loop() {
			stream, err := Open(b.Context(), s, Environment{Roots: dir})
			if err != nil {
				b.Fatal(err)
			}
			if n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{stream}, make([]byte, 1<<20)); err != nil || n != benchSize {
				b.Fatal(n, err)
			}
			stream.Close()
		}
	})
	for _, tt := range []struct{ readers, part int64 }{{1, 64 << 10}, {1, 256 << 10}, {1, 1 << 20}, {1, 4 << 20}, {4, 256 << 10}, {4, 1 << 20}} {
		b.Run(fmt.Sprintf("%d readers, %d KiB", tt.readers, tt.part>>10), func(b *testing.B) {
			b.SetBytes(benchSize)
			for b.Loop() {
				r, err := OpenRanges(b.Context(), s, Environment{Roots: dir})
				if err != nil {
					b.Fatal(err)
				}
				var next atomic.Int64
				var group sync.WaitGroup
				for range tt.readers {
					group.Go(func() {
						p := make([]byte, tt.part)
						for at := next.Add(tt.part) - tt.part; at < benchSize; at = next.Add(tt.part) - tt.part {
							if n, err := r.ReadAt(p, at); err != nil {
								b.Error(n, err)
								return
							}
						}
					})
				}
				group.Wait()
				r.Close()
			}
		})
	}
}
