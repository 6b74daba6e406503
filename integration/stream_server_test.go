package integration

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/u-root/u-root/pkg/cpio"

	"github.com/liveboot/liveboot/pkg/stream/manifest"
	"github.com/liveboot/liveboot/qemu"
)

// streamBoot starts a machine that streams the image.
func streamBoot(t *testing.T, s *streamServer, words string, changes ...func(*qemu.Config)) *machine {
	t.Helper()
	notShort(t)
	kernel, err := qemu.HostKernel()
	if err != nil {
		t.Fatal(err)
	}
	c := qemu.Config{
		Kernel: kernel.Image, Initrd: streamInitrd(t, kernel, s.authority), MemoryMiB: 512, NICs: []qemu.NIC{{}}, NoReboot: true,
		Append: append([]string{"console=ttyS0", "panic=-1", "root=live:", "streamguest.url=" + s.url, "streamguest.sha256=" + digest(s.image)},
			strings.Fields(words)...),
	}
	for _, change := range changes {
		change(&c)
	}
	ctx, cancel := context.WithTimeout(t.Context(), streamTime)
	t.Cleanup(cancel)
	return &machine{VM: qemu.Start(t, c), t: t, ctx: ctx}
}

// streamInitrd is an initramfs with streamguest and the modules that it needs, which trusts the server's authority, if it has one.
func streamInitrd(t *testing.T, kernel qemu.Kernel, authority []byte) string {
	t.Helper()
	dir := t.TempDir()
	init := filepath.Join(dir, "streamguest")
	command(t, "go", "build", "-ldflags=-s -w", "-o", init, "./streamguest")
	program, err := os.ReadFile(init)
	if err != nil {
		t.Fatal(err)
	}
	records := append([]cpio.Record{
		cpio.CharDev("dev/console", 0o600, 5, 1), cpio.StaticFile("init", string(program), 0o755),
		cpio.StaticFile("etc/hosts", "127.0.0.1 localhost\n"+qemu.HostAddress+" "+streamName+"\n", 0o644),
	}, moduleRecords(t, kernel.Modules, "virtio_pci", "virtio_net", "nbd", "dm_mod", "brd", "loop", "squashfs", "isofs", "overlay", "ext4")...)
	if len(authority) > 0 {
		records = append(records, cpio.StaticFile("etc/ssl/certs/authority.pem", string(authority), 0o644))
	}
	return writeInitrd(t, records)
}

// streamServer is a web server that comes and goes, at one address.
type streamServer struct {
	image []byte
	url   string
	sent  atomic.Int64

	restartable // whose mutex guards change
	// change may take the place of what is sent.
	change func(w http.ResponseWriter, r *http.Request) bool
	chunks []byte
	// tls is for https, and authority the certificate by which it is trusted, in PEM form; nil for http.
	tls       *tls.Config
	authority []byte
}

// streamName is a name of the server which its certificate has, and the machine knows.
const streamName = "example.com"

// secure makes it a server of https.
func (s *streamServer) secure(t testing.TB) {
	t.Helper()
	own := httptest.NewUnstartedServer(nil) // for its certificate
	own.StartTLS()
	defer own.Close()
	s.stop()
	s.authority = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: own.Certificate().Raw})
	s.tls = &tls.Config{Certificates: own.TLS.Certificates}
	s.url = fmt.Sprintf("https://%s:%d/image.iso", streamName, s.port)
	s.start(t)
}

// alter has change called for every request of the image; if that returns true, it has answered.
func (s *streamServer) alter(change func(w http.ResponseWriter, r *http.Request) bool) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.change = change
}

// manifest puts the manifest beside the image.
func (s *streamServer) manifest(t testing.TB) {
	t.Helper()
	m, err := manifest.Build(bytes.NewReader(s.image), 0)
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if _, err := m.WriteTo(&file); err != nil {
		t.Fatal(err)
	}
	s.chunks = file.Bytes()
}

func newStreamServer(t testing.TB, image []byte) *streamServer {
	t.Helper()
	s := &streamServer{image: image}
	s.start(t)
	s.url = fmt.Sprintf("http://%s:%d/image.iso", qemu.HostAddress, s.port)
	t.Cleanup(s.stop)
	return s
}

// start makes the server answer, again.
func (s *streamServer) start(t testing.TB) {
	t.Helper()
	s.restartable.start(t, &http.Server{Handler: s}, s.tls)
}

// restartable is a server that can be taken away, and comes back at the same port.
type restartable struct {
	mutex  sync.Mutex
	server *http.Server
	port   int
}

// start makes the server answer, by TLS if that is set up.
func (r *restartable) start(t testing.TB, server *http.Server, secured *tls.Config) {
	t.Helper()
	r.mutex.Lock()
	defer r.mutex.Unlock()
	l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(r.port))
	if err != nil {
		t.Fatal(err)
	}
	r.port = l.Addr().(*net.TCPAddr).Port
	if secured != nil {
		l = tls.NewListener(l, secured)
	}
	r.server = server
	go server.Serve(l) // it ends with stop
}

// stop takes the server away, with all connections.
func (r *restartable) stop() {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	_ = r.server.Close()
}

// ServeHTTP sends the image.
func (s *streamServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mutex.Lock()
	change := s.change
	s.mutex.Unlock()
	if strings.HasSuffix(r.URL.Path, manifest.Suffix) {
		_, _ = w.Write(s.chunks)
		return
	}
	if change != nil && change(w, r) {
		return
	}
	w.Header().Set("ETag", `"one"`)
	http.ServeContent(&streamCounter{w, s}, r, "", time.Time{}, bytes.NewReader(s.image))
}

// streamCounter counts the bytes of the bodies.
type streamCounter struct {
	http.ResponseWriter
	server *streamServer
}

func (c *streamCounter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.server.sent.Add(int64(n))
	return n, err
}
