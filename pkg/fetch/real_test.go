package fetch

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A site is a folder with the image, and certificates, for servers of Debian.
type site struct {
	dir string
}

// newSite has its folder where any user can read it: servers drop their privileges.
func newSite(t *testing.T) *site {
	t.Helper()
	dir, err := os.MkdirTemp("", "site")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &site{dir}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s.write(t, "files/sub/image", image)
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(s.path("files/sub/image"), old, old); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

func (s *site) write(t *testing.T, name string, data []byte) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(s.path(name)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.path(name), data, 0o644); err != nil {
		t.Fatal(err)
	}
	return s.path(name)
}

// certificates writes ca.pem, server.pem, client.pem (each with its key in it), for localhost.
func (s *site) certificates(t *testing.T) {
	t.Helper()
	template := func(serial int64, name string) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
			DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}, BasicConstraintsValid: true,
		}
	}
	ca := template(1, "authority")
	ca.IsCA, ca.KeyUsage = true, x509.KeyUsageCertSign
	caKey := s.certificate(t, "ca.pem", ca, ca, nil)
	s.certificate(t, "server.pem", template(2, "server"), ca, caKey)
	s.certificate(t, "client.pem", template(3, "client"), ca, caKey)
}

func (s *site) certificate(t *testing.T, name string, c, parent *x509.Certificate, signer *ecdsa.PrivateKey) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if signer == nil {
		signer = key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	s.write(t, name, append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...))
	return key
}

// freePort returns a port on which nobody listens.
func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// serve runs a server until the test ends, and waits until it listens: on a TCP port, if that is not 0.
// What it returns ends the server before.
func serve(t testing.TB, port int, program string, args ...string) (stop func()) {
	t.Helper()
	var output bytes.Buffer
	command := exec.Command(program, args...)
	command.Stdout, command.Stderr = &output, &output
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	stop = sync.OnceFunc(func() {
		_ = syscall.Kill(-command.Process.Pid, syscall.SIGTERM) // and its children; it may have ended
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			_ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL)
			<-ended
		}
		if t.Failed() {
			t.Logf("%s: %s", program, &output)
		}
	})
	t.Cleanup(stop)
	if port == 0 {
		return stop
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); ; {
		conn, err := net.Dial("tcp", fmt.Sprintf("localhost:%d", port))
		if err == nil {
			conn.Close()
			return stop
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("%s ended: %v: %s", program, err, &output)
		case <-tick.C:
			if time.Now().After(deadline) {
				t.Fatalf("%s does not listen on port %d: %v: %s", program, port, err, &output)
			}
		}
	}
}

// cutter makes connections that are cut after some bytes, each at the next place of a list.
type cutter struct {
	mutex  sync.Mutex
	places []int64
}

func (c *cutter) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &cutConn{Conn: conn, cutter: c}, nil
}

// cutConn is cut when more than small talk has passed.
type cutConn struct {
	net.Conn
	cutter *cutter
	place  int64
	got    int64
}

func (c *cutConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.got += int64(n)
	c.cutter.mutex.Lock()
	defer c.cutter.mutex.Unlock()
	const smallTalk = 20_000
	if c.place == 0 && c.got > smallTalk && len(c.cutter.places) > 0 {
		c.place, c.cutter.places = c.cutter.places[0], c.cutter.places[1:]
	}
	if c.place > 0 && c.got > c.place {
		c.Conn.Close()
		return 0, &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	}
	return n, err
}

// fetchCut gets a source whose connections are cut twice, and expects it to be taken up, with the given events.
func fetchCut(t *testing.T, s Source, e Environment, events string) *copied {
	t.Helper()
	c := &cutter{places: []int64{400_000, 300_000}}
	e.Patience, e.connect = hasty, c.dial
	got, err := get(t, s, e)
	if err != nil || !bytes.Equal(got.data, image) {
		t.Errorf("get %v = %d bytes, %v, want the image of %d bytes: %v", s.URLs, len(got.data), err, len(image), got.all)
	}
	if kinds := got.kinds(); err == nil && kinds != events {
		t.Errorf("get %v: events %v, want %s", s.URLs, got.all, events)
	}
	return got
}

// fails gets a source, and expects an error with the text in it, at the first attempt.
func fails(t *testing.T, s Source, e Environment, want string) {
	t.Helper()
	e.Patience = hasty
	c, err := get(t, s, e)
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("get %v = %v, want an error with %q", s.URLs, err, want)
	}
	if len(c.waits()) > 0 {
		t.Errorf("get %v: tried again, though the answer will be the same: %v", s.URLs, c.all)
	}
}
