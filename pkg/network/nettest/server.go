package nettest

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/liveboot/liveboot/pkg/needs"
)

// patience is how long a server may take to say what is waited for. Under an emulated processor everything takes its time.
const patience = 90 * time.Second

// A Server is a program that runs on the far side.
type Server struct {
	t   testing.TB
	cmd *exec.Cmd

	mu      sync.Mutex
	lines   []string
	more    chan struct{} // closed when a line comes or the output ends
	ended   bool
	stopped bool
}

// Start starts a program on the far side, of Debian's package of that name, and waits until a line of its output matches ready, a
// regular expression. It must stay in the foreground. It is killed at the end of the test, whose log then has its output.
func (n *Net) Start(ready, program, debian string, args ...string) *Server {
	n.t.Helper()
	s := &Server{t: n.t, cmd: exec.Command(needs.Program(n.t, program, debian), args...), more: make(chan struct{})}
	output, err := s.cmd.StdoutPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	s.cmd.Stderr = s.cmd.Stdout
	n.Far(s.cmd.Start)
	n.servers = append(n.servers, s)
	go s.read(output)
	s.Wait(ready)
	return s
}

// Dnsmasq starts dnsmasq(8) on the far side with these arguments: a server for DHCP and DHCPv6, a router that advertises itself, and with
// --port=53 one for names. Its log, which Wait reads, has each message.
func (n *Net) Dnsmasq(args ...string) *Server {
	n.t.Helper()
	base := []string{
		"--conf-file=/dev/null", "--no-daemon", "--user=root", "--group=root", "--log-facility=-", "--log-dhcp", "--pid-file=",
		"--no-hosts", "--no-resolv", "--bind-dynamic", "--leasefile-ro", "--no-ping", "--dhcp-authoritative",
	}
	if !hasPrefix(args, "--port=") {
		base = append(base, "--port=0")
	}
	return n.Start(`started, version`, "dnsmasq", "dnsmasq-base", append(base, args...)...)
}

func hasPrefix(args []string, prefix string) bool {
	for _, a := range args {
		if strings.HasPrefix(a, prefix) {
			return true
		}
	}
	return false
}

// Nginx serves the files of a folder over HTTP with nginx(8), on these addresses with their ports ("10.1.0.1:80", "[fd00::1]:80") of the
// far side, which must be there and, if they are IPv6, be known to be unique.
func (n *Net) Nginx(root string, listen ...string) *Server {
	n.t.Helper()
	dir := n.t.TempDir()
	var listens strings.Builder
	for _, l := range listen {
		fmt.Fprintf(&listens, "listen %s; ", l)
	}
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;"
	}
	config := fmt.Sprintf(`daemon off; master_process off; %s pid %[2]s/pid; error_log stderr notice;
events {}
http {
	access_log /dev/stderr;
	client_body_temp_path %[2]s; proxy_temp_path %[2]s; fastcgi_temp_path %[2]s; uwsgi_temp_path %[2]s; scgi_temp_path %[2]s;
	server { %[3]s root %[4]s; }
}
`, user, dir, listens.String(), root)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		n.t.Fatal(err)
	}
	return n.Start(`using the ".*" event method`, "nginx", "nginx-light", "-c", file, "-p", dir, "-e", "stderr")
}

// read keeps the output, line by line.
func (s *Server) read(output io.Reader) {
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		s.add(func() { s.lines = append(s.lines, lines.Text()) })
	}
	s.add(func() { s.ended = true })
}

func (s *Server) add(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	close(s.more)
	s.more = make(chan struct{})
}

// Lines returns what the server has said so far.
func (s *Server) Lines() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.lines...)
}

// Count returns how many lines match a regular expression so far.
func (s *Server) Count(expression string) int {
	s.t.Helper()
	re, n := regexp.MustCompile(expression), 0
	for _, l := range s.Lines() {
		if re.MatchString(l) {
			n++
		}
	}
	return n
}

// Wait waits for a line that matches a regular expression, from the first on, and returns it.
func (s *Server) Wait(expression string) string {
	s.t.Helper()
	return s.WaitN(expression, 1)
}

// WaitN waits for the nth such line, counted from 1.
func (s *Server) WaitN(expression string, nth int) string {
	s.t.Helper()
	re := regexp.MustCompile(expression)
	timeout := time.After(patience)
	for {
		s.mu.Lock()
		lines, more, ended := s.lines, s.more, s.ended
		s.mu.Unlock()
		found := 0
		for _, l := range lines {
			if re.MatchString(l) {
				if found++; found == nth {
					return l
				}
			}
		}
		if ended {
			s.t.Fatalf("%s has ended and never said %q:\n%s", s.cmd.Path, expression, strings.Join(lines, "\n"))
		}
		select {
		case <-more:
		case <-timeout:
			s.t.Fatalf("%s did not say %q within %v:\n%s", s.cmd.Path, expression, patience, strings.Join(lines, "\n"))
		}
	}
}

// Stop ends the server at once, as a power cut does: it says good-bye to nobody.
func (s *Server) Stop() {
	s.t.Helper()
	s.mu.Lock()
	again := s.stopped
	s.stopped = true
	s.mu.Unlock()
	if again {
		return
	}
	if err := s.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		s.t.Errorf("end %s: %v", s.cmd.Path, err)
	}
	// Killed by the line above: its status is no news.
	_ = s.cmd.Wait()
}

// stop ends all servers and shows what they said.
func (n *Net) stop() {
	for _, s := range n.servers {
		s.Stop()
		n.t.Logf("%s said:\n%s", filepath.Base(s.cmd.Path), strings.Join(s.Lines(), "\n"))
	}
	if err := n.far.Close(); err != nil {
		n.t.Error(err)
	}
}
