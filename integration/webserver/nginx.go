package webserver

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/liveboot/liveboot/qemu"
)

// nginxConfig is a server that keeps everything in its own folder. The arguments: the folder, its address with the port, what stands
// behind `listen`, further lines, the folder with the files, where errors go.
const nginxConfig = `daemon off;
master_process off;
pid %[1]s/nginx.pid;
error_log %[6]s;
events {}
http {
	access_log %[1]s/access.log;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	sendfile on;
	server {
		listen %[2]s%[3]s;
		%[4]s
		root %[5]s;
	}
}
`

// startTime is how long nginx may take until it answers, and portTries how many ports are tried: between our look for a
// free one and nginx's listening another program may take it.
const (
	startTime = 10 * time.Second
	portTries = 5
)

// Nginx starts nginx with the files of a folder, with HTTPS if ca is not nil, and returns its URL as the guest sees it,
// without a slash at the end. It ends with the test; its log is shown if the test failed.
func Nginx(t testing.TB, root string, ca *CA) string {
	t.Helper()
	program, err := exec.LookPath("nginx")
	if err != nil {
		// On Debian it is in a folder that only root has in PATH.
		if program, err = exec.LookPath("/usr/sbin/nginx"); err != nil {
			t.Fatalf("find nginx: %v: install nginx-light", err)
		}
	}
	dir := t.TempDir()
	scheme := "http"
	if ca != nil {
		scheme = "https"
	}
	for range portTries {
		port := freePort(t)
		config := config(t, dir, root, net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), net.ParseIP(qemu.HostAddress), ca, filepath.Join(dir, "error.log"))
		if err = startNginx(t, program, dir, config, port); err == nil {
			return fmt.Sprintf("%s://%s:%d", scheme, qemu.HostAddress, port)
		}
	}
	t.Fatalf("start nginx: %v", err)
	return ""
}

// config is that of a server which listens on a port of an address, and of which the guest knows the address called name.
func config(t testing.TB, dir, root, listen string, name net.IP, ca *CA, errorLog string, lines ...string) []byte {
	t.Helper()
	ssl := ""
	if ca != nil {
		cert, key := files(t, ca.server(t, name), dir)
		ssl, lines = " ssl", append(lines, "ssl_certificate "+cert, "ssl_certificate_key "+key)
	}
	var all strings.Builder
	for _, line := range lines {
		all.WriteString(line + "; ")
	}
	return fmt.Appendf(nil, nginxConfig, dir, listen, ssl, all.String(), root, errorLog)
}

// Config writes the configuration of a server for the files of a folder, on the port of an address, with HTTPS if ca is not nil, and with further
// lines, to be started as nginx -c by who has that address. It tells of its start on the standard error output.
func Config(t testing.TB, root string, address netip.AddrPort, ca *CA, lines ...string) string {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "nginx.conf")
	text := append([]byte("user root;\n"), config(t, dir, root, address.String(), net.IP(address.Addr().AsSlice()), ca, "stderr notice", lines...)...)
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// freePort is a port on the loopback that nobody listened on a moment ago.
func freePort(t testing.TB) int {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	return listener.Addr().(*net.TCPAddr).Port
}

// startNginx runs nginx in the foreground and as one process, so that its id is all that is needed to end it, and
// returns when it takes connections.
func startNginx(t testing.TB, program, dir string, config []byte, port int) error {
	t.Helper()
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, config, 0o644); err != nil {
		return err
	}
	cmd := exec.Command(program, "-p", dir, "-c", file, "-e", filepath.Join(dir, "error.log"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.After(startTime); ; {
		if c, err := net.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			t.Cleanup(func() { stopNginx(t, cmd, exited, dir) })
			return c.Close()
		}
		select {
		case err := <-exited:
			return fmt.Errorf("nginx has exited: %w", err)
		case <-deadline:
			return errors.Join(fmt.Errorf("nginx does not answer after %v", startTime), cmd.Process.Kill())
		case <-poll.C:
		}
	}
}

func stopNginx(t testing.TB, cmd *exec.Cmd, exited <-chan error, dir string) {
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("stop nginx: %v", err)
	}
	if err := <-exited; err != nil {
		t.Errorf("nginx: %v", err)
	}
	if !t.Failed() {
		return
	}
	for _, name := range []string{"access.log", "error.log"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Errorf("read nginx's log: %v", err)
		}
		t.Logf("nginx %s:\n%s", name, b)
	}
}
