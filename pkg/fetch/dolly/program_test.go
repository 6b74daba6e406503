package dolly_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/dolly"
	"github.com/liveboot/liveboot/pkg/fetch/dolly/ring"
	"github.com/liveboot/liveboot/pkg/fetch/dolly/server"
	"github.com/liveboot/liveboot/pkg/network/nettest"
)

// programVariable is an environment variable that names programs dolly, of any versions, separated by colons. No distribution that the tests
// run on has a package of it; `make` in https://github.com/openSUSE/dolly builds one.
const programVariable = "LIVEBOOT_DOLLY"

// A program is a dolly that was built from its source.
type program struct {
	path    string
	dialect ring.Dialect
}

func programs(t *testing.T) []program {
	t.Helper()
	var list []program
	for _, path := range filepath.SplitList(os.Getenv(programVariable)) {
		// It has a status of its own for this.
		output, _ := exec.Command(path, "-V", "-").CombinedOutput()
		dialect := ring.Dialect07
		if strings.Contains(string(output), "version 0.6") {
			dialect = ring.Dialect06
		}
		list = append(list, program{path, dialect})
	}
	if len(list) == 0 {
		t.Skip("needs a program dolly, which " + programVariable + " names; what it says on the wire is replayed by TestTranscripts")
	}
	return list
}

// A hall has machines in network namespaces of their own, and a router between them.
type hall struct {
	*lab
	machines []*nettest.Net
}

// newHall makes n machines and a server.
func newHall(t *testing.T, near *nettest.Net, n int) *hall {
	t.Helper()
	h := &hall{lab: &lab{t: t, prefix: "10.9."}}
	near.Sysctl("ipv4/ip_forward", "1")
	for i := range n + 1 {
		m := near.Elsewhere()
		link := fmt.Sprintf("port%d", i)
		m.Veth(link, "eth0")
		near.IPBatch(fmt.Sprintf("address add 10.9.%d.1/24 dev %s\nlink set %s up\n", i, link, link))
		m.FarIP(fmt.Sprintf("address add %s/24 dev eth0", h.host(i)))
		m.FarIP(fmt.Sprintf("route add default via 10.9.%d.1", i))
		h.machines = append(h.machines, m)
	}
	return h
}

func (h *hall) host(i int) string { return fmt.Sprintf("10.9.%d.2", i) }

func (h *hall) hosts(n int) []string {
	var hosts []string
	for i := range n {
		hosts = append(hosts, h.host(i+1))
	}
	return hosts
}

func (h *hall) dial(i int) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		h.machines[i].Far(func() error {
			conn, err = new(net.Dialer).DialContext(ctx, network, address)
			return nil
		})
		if err == nil && strings.HasSuffix(address, ":"+strconv.Itoa(ring.ControlPort)) {
			conn = record(h.t, conn)
		}
		return conn, err
	}
}

// recordVariable is an environment variable that names a folder in which TestPrograms writes down what was said on the control connections
// between a program and ours, for TestTranscripts.
const recordVariable = "LIVEBOOT_RECORD"

// record writes down what goes over a control connection, if that is asked for.
func record(t *testing.T, conn net.Conn) net.Conn {
	dir, file := os.Getenv(recordVariable), transcriptOf(t.Name())
	if dir == "" || file == "" {
		return conn
	}
	r := &recorder{Conn: conn, file: filepath.Join(dir, file)}
	t.Cleanup(r.save)
	return r
}

// in returns the same hall for a test within the one that made it.
func (h *hall) in(t *testing.T) *hall {
	return &hall{lab: &lab{t: t, prefix: h.prefix}, machines: h.machines}
}

// start starts our node on machine i.
func (h *hall) start(i int, change func(*dolly.Options, *machine)) *machine {
	h.t.Helper()
	return h.lab.start(i, func(o *dolly.Options, m *machine) {
		o.Confirm = time.Minute // the programs bring all to the disk first
		o.Dial = h.dial(i)
		o.Listen = func(ctx context.Context, port int) (listener net.Listener, err error) {
			h.machines[i].Far(func() error {
				listener, err = new(net.ListenConfig).Listen(ctx, "tcp4", ":"+strconv.Itoa(port))
				return nil
			})
			if port == ring.ControlPort && err == nil {
				listener = &recording{listener, h.t}
			}
			return listener, err
		}
		o.Identity = func() (dolly.Identity, error) { return dolly.Identity{Name: "somebody"}, nil }
		if change != nil {
			change(o, m)
		}
	})
}

// serve sends an image from machine 0.
func (h *hall) serve(s server.Server, image io.Reader) chan sent {
	s.Dial = h.dial(0)
	return h.lab.serve(s, image)
}

// run starts a program on machine i, and returns a function that waits for its end.
func (h *hall) run(i int, p program, args ...string) (wait func() string) {
	h.t.Helper()
	cmd := exec.CommandContext(h.t.Context(), p.path, args...)
	cmd.Env = []string{"HOST=" + h.host(i), "HOSTNAME=" + h.host(i), "PATH=" + os.Getenv("PATH")}
	cmd.Dir = h.t.TempDir()
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	h.machines[i].Far(cmd.Start)
	h.t.Cleanup(func() { h.t.Logf("%s %v on machine %d: %v\n%s", p.path, args, i, cmd.ProcessState, output.String()) })
	return func() string {
		h.t.Helper()
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case err := <-ended:
			if err != nil {
				h.t.Errorf("%s %v: %v", p.path, args, err)
			}
		case <-time.After(60 * time.Second):
			_ = cmd.Process.Kill() // it has ended meanwhile, or ends now
			<-ended
			h.t.Errorf("%s %v does not end", p.path, args)
		}
		return output.String()
	}
}

// TestPrograms mixes our nodes and our server with the program's.
func TestPrograms(t *testing.T) {
	for _, p := range programs(t) {
		for _, tt := range []struct {
			name string
			// ring has a letter for each machine: p for the program, o for ours; the server's comes first.
			ring     string
			password string
		}{
			{"program serves one of ours", "po", ""},
			{"program serves three of ours", "pooo", ""},
			{"we serve one program", "op", ""},
			{"we serve three programs", "oppp", ""},
			{"program, ours between programs", "ppop", ""},
			{"program, programs between ours", "popo", ""},
			{"ours, programs between ours", "oopo", ""},
			{"sixteen, mixed", "popopopopopopopop", ""},
			{"password, program serves one of ours", "po", "hush"},
			{"password, program serves ours", "poo", "hush"},
			{"password, we serve programs", "opp", "hush"},
			{"password, mixed", "popopo", "hush"},
		} {
			if tt.password != "" && p.dialect == ring.Dialect06 {
				continue
			}
			t.Run(fmt.Sprintf("%v, %s", p.dialect, tt.name), func(t *testing.T) {
				nettest.Run(t, func(t *testing.T, near *nettest.Net) { mixed(t, near, p, tt.ring, tt.password) })
			})
		}
	}
}

func mixed(t *testing.T, near *nettest.Net, p program, letters, password string) {
	nodes := len(letters) - 1
	h := newHall(t, near, nodes)
	image := noise(transcribed)
	dir := t.TempDir()
	file := filepath.Join(dir, "image")
	if err := os.WriteFile(file, image, 0o600); err != nil {
		t.Fatal(err)
	}
	var login []string
	if password != "" {
		login = []string{"-P", password}
	}
	ours := make(map[int]*machine)
	waits := make(map[int]func() string)
	for i := 1; i <= nodes; i++ {
		if letters[i] == 'o' {
			ours[i] = h.start(i, func(o *dolly.Options, _ *machine) { o.Password = password })
			continue
		}
		waits[i] = h.run(i, p, append(login, "-v")...)
	}
	// The programs all write to the file that the server names, each in turn over the same bytes.
	out := filepath.Join(dir, "out")
	if letters[0] == 'o' {
		got := <-h.serve(server.Server{Hosts: h.hosts(nodes), Dialect: p.dialect, Password: password, Outfile: out, Name: "server", Wait: 30 * time.Second},
			bytes.NewReader(image))
		if got.err != nil || !slices.Equal(got.Complete, h.hosts(nodes)) {
			t.Errorf("Send = %+v, want the image at all nodes", got)
		}
	} else {
		args := append(login, "-v", "-S", h.host(0), "-H", strings.Join(h.hosts(nodes), ","), "-I", file, "-O", out)
		if said := h.run(0, p, args...)(); !strings.Contains(said, "all client nodes done") {
			t.Errorf("the program that serves does not say that all have the image: %s", said)
		}
	}
	for i, m := range ours {
		m.whole(t, h.host(i), image)
	}
	for _, wait := range waits {
		wait()
	}
	if len(waits) > 0 {
		if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, image) {
			t.Errorf("the programs wrote %d bytes, %v, want the %d of the image", len(got), err, len(image))
		}
	}
}
