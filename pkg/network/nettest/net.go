package nettest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A Net is a machine's network: the near side, in which the test's process is, and the far side. What goes wrong in a method fails
// the test at once; methods are for the test's own goroutine.
type Net struct {
	t       testing.TB
	far     *os.File
	servers []*Server
	pairs   map[string]string
}

// openFar makes the second network namespace. It lives as long as its file is open.
func (n *Net) openFar() error {
	return abroad(func() error { return unix.Unshare(unix.CLONE_NEWNET) }, func() (err error) {
		n.far, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
}

// abroad runs f on a thread that leave has taken to another network namespace, and brings the thread back. It is not let go instead: with the
// thread would die what it had once started to die with its parent (PR_SET_PDEATHSIG), a virtual machine for example.
func abroad(leave, f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		home, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			done <- err
			return
		}
		defer home.Close()
		if err = leave(); err == nil {
			err = f()
		}
		if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
			done <- errors.Join(err, back)
			return // still locked: nobody else shall have the thread
		}
		runtime.UnlockOSThread()
		done <- err
	}()
	return <-done
}

// beginFar makes the far side a place where all is settled: its addresses can be used at once, without duplicate address detection.
func (n *Net) beginFar() {
	n.t.Helper()
	n.FarIP("link set lo up")
	n.FarSysctl("ipv6/conf/all/accept_dad", "0")
	n.FarSysctl("ipv6/conf/default/accept_dad", "0")
}

// Elsewhere returns the same near side with another far side, for a network that has nothing to do with the first: in one namespace a machine
// answers on each of its links for the addresses of all.
func (n *Net) Elsewhere() *Net {
	n.t.Helper()
	other := &Net{t: n.t}
	if err := other.openFar(); err != nil {
		n.t.Fatalf("make another far side: %v", err)
	}
	n.t.Cleanup(other.stop)
	other.beginFar()
	return other
}

// Far runs f on the far side. Sockets that f opens stay there; goroutines that it starts are on the near side.
func (n *Net) Far(f func() error) {
	n.t.Helper()
	if err := abroad(func() error { return unix.Setns(int(n.far.Fd()), unix.CLONE_NEWNET) }, f); err != nil {
		n.t.Fatalf("on the far side: %v", err)
	}
}

// Veth makes a pair of links: near, which is down as a card is that nobody touched, and far, which is up. So near has carrier as soon
// as it is set up.
func (n *Net) Veth(near, far string) {
	n.t.Helper()
	const passing = "nettest-far" // far may be the name of a link on the near side
	n.IP("link add " + near + " type veth peer name " + passing)
	n.IP(fmt.Sprintf("link set %s netns %s name %s", passing, n.farPath(), far))
	if n.pairs == nil {
		n.pairs = map[string]string{}
	}
	n.pairs[near] = far
	n.Plug(near)
}

// farPath is a name of the far namespace that other processes can open.
func (n *Net) farPath() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.far.Fd()) }

// Bridge makes a switch on the far side out of links that are there; without spanning tree, so it passes packets at once. It has carrier from the
// beginning, so servers on it are ready when the first of its ports gets carrier, as they are on a real network.
func (n *Net) Bridge(name string, ports ...string) {
	n.t.Helper()
	n.FarIP("link add " + name + " type bridge forward_delay 0")
	n.FarIP("link add " + name + "-on type veth peer name " + name + "-in")
	n.FarIP("link set " + name + "-in up")
	n.FarIP("link set " + name + " up")
	for _, p := range append(ports, name+"-on") {
		n.FarIP("link set " + p + " master " + name + " up")
	}
}

// Unplug takes the carrier of a link that Veth made, by its first name; Plug gives it again.
func (n *Net) Unplug(near string) { n.t.Helper(); n.FarIP("link set " + n.pair(near) + " down") }

// Plug gives the link that Veth called near its carrier.
func (n *Net) Plug(near string) { n.t.Helper(); n.FarIP("link set " + n.pair(near) + " up") }

func (n *Net) pair(near string) string {
	n.t.Helper()
	far, ok := n.pairs[near]
	if !ok {
		n.t.Fatalf("no cable leads to %q", near)
	}
	return far
}

// IP runs ip(8) on the near side, with words that are separated by blanks, and returns what it prints.
func (n *Net) IP(words string) string {
	n.t.Helper()
	out, err := run(exec.CommandContext(n.t.Context(), "ip", strings.Fields(words)...))
	if err != nil {
		n.t.Fatal(err)
	}
	return out
}

// IPBatch runs many commands of ip(8), one a line, on the near side, in one process.
func (n *Net) IPBatch(lines string) {
	n.t.Helper()
	if _, err := batch(n.t.Context(), lines); err != nil {
		n.t.Fatal(err)
	}
}

func batch(ctx context.Context, lines string) (string, error) {
	cmd := exec.CommandContext(ctx, "ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(lines)
	return run(cmd)
}

// FarIP runs ip(8) on the far side.
func (n *Net) FarIP(words string) string {
	n.t.Helper()
	return n.FarOutput("ip", strings.Fields(words)...)
}

// FarOutput runs a program to its end on the far side and returns what it prints.
func (n *Net) FarOutput(name string, args ...string) string {
	n.t.Helper()
	cmd := exec.CommandContext(n.t.Context(), name, args...)
	var out string
	n.Far(func() (err error) {
		out, err = run(cmd)
		return err
	})
	return out
}

func run(cmd *exec.Cmd) (string, error) {
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, out)
	}
	return string(out), nil
}

// Sysctl writes a value of the near side below /proc/sys/net: Sysctl("ipv6/conf/eth0/accept_ra", "0").
func (n *Net) Sysctl(name, value string) {
	n.t.Helper()
	if err := os.WriteFile(filepath.Join("/proc/sys/net", name), []byte(value), 0); err != nil {
		n.t.Fatal(err)
	}
}

// FarSysctl does the same on the far side.
func (n *Net) FarSysctl(name, value string) {
	n.t.Helper()
	n.Far(func() error {
		// /proc/sys/net shows the namespace of the thread that opens it.
		return os.WriteFile(filepath.Join("/proc/sys/net", name), []byte(value), 0)
	})
}
