package fetchtest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A Site is a folder with files, and certificates, for servers of Debian.
type Site struct{ Dir string }

// NewSite has its folder where any user can read it: servers drop their privileges. Below it is the image, files/sub/image, changed an hour ago.
func NewSite(t testing.TB, image []byte) *Site {
	t.Helper()
	dir, err := os.MkdirTemp("", "site")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &Site{dir}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s.Write(t, "files/sub/image", image)
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(s.Path("files/sub/image"), old, old); err != nil {
		t.Fatal(err)
	}
	return s
}

// Path is where a file of the site lies.
func (s *Site) Path(name string) string { return filepath.Join(s.Dir, name) }

// Write writes a file of the site, which anybody may read, and returns its path.
func (s *Site) Write(t testing.TB, name string, data []byte) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(s.Path(name)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.Path(name), data, 0o644); err != nil {
		t.Fatal(err)
	}
	return s.Path(name)
}

// Certificates writes ca.pem, server.pem, client.pem (each with its key in it), for localhost.
func (s *Site) Certificates(t testing.TB) {
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

func (s *Site) certificate(t testing.TB, name string, c, parent *x509.Certificate, signer *ecdsa.PrivateKey) *ecdsa.PrivateKey {
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
	s.Write(t, name, append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...))
	return key
}

// The ports of FreePort lie below those that the kernel gives to whoever asks for any one (net.ipv4.ip_local_port_range): nobody gets one of
// them in the moment before its server listens.
const firstPort, ports = 20_000, 12_000

// FreePort returns a port on which nobody listens, over TCP or UDP. Until the test ends no other test of this machine gets it.
func FreePort(t testing.TB) int {
	t.Helper()
	for range 1000 {
		if port := firstPort + mathrand.IntN(ports); reserve(t, port) {
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}

// reserve takes a port, if nobody has it. It is told to the tests in other processes by a name in the kernel, which is gone with the process.
func reserve(t testing.TB, port int) bool {
	t.Helper()
	name, err := net.Listen("unix", fmt.Sprintf("@liveboot-test-port-%d", port))
	if err != nil {
		return false
	}
	stream, streamErr := net.Listen("tcp", fmt.Sprintf(":%d", port))
	if streamErr == nil {
		stream.Close()
	}
	packets, packetsErr := net.ListenPacket("udp", fmt.Sprintf(":%d", port))
	if packetsErr == nil {
		packets.Close()
	}
	if streamErr != nil || packetsErr != nil {
		name.Close()
		return false
	}
	t.Cleanup(func() { name.Close() })
	return true
}

// Serve runs a server until the test ends, and waits until it listens: on a TCP port, if that is not 0.
// What it returns ends the server before.
func Serve(t testing.TB, port int, program string, args ...string) (stop func()) {
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
	for deadline := time.Now().Add(2 * time.Minute); ; {
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
