package webserver

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/liveboot/liveboot/qemu"
)

// nginxConfig is a server that keeps everything in its own folder. The arguments: the folder, its port, what stands
// behind `listen`, further lines, the folder with the files.
const nginxConfig = `daemon off;
master_process off;
pid %[1]s/nginx.pid;
error_log %[1]s/error.log;
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
		listen 127.0.0.1:%[2]d%[3]s;
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
	scheme, ssl, lines := "http", "", ""
	if ca != nil {
		cert, key := files(t, ca.server(t, net.ParseIP(qemu.HostAddress)), dir)
		scheme, ssl = "https", " ssl"
		lines = fmt.Sprintf("ssl_certificate %s;\n\t\tssl_certificate_key %s;", cert, key)
	}
	for range portTries {
		port := freePort(t)
		config := fmt.Appendf(nil, nginxConfig, dir, port, ssl, lines, root)
		if err = startNginx(t, program, dir, config, port); err == nil {
			return fmt.Sprintf("%s://%s:%d", scheme, qemu.HostAddress, port)
		}
	}
	t.Fatalf("start nginx: %v", err)
	return ""
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
