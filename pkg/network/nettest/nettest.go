// Package nettest gives a test a network of its own: real links, a real kernel, real servers.
//
// Run calls a function in a process that is wholly inside a new network namespace (network_namespaces(7)), so every goroutine and
// every socket of the code under test is there too, and so are /sys and /proc/sys/net. A second namespace, "the far side", holds
// what a machine finds at the other end of its cables: a Net's methods make veth pairs between the two, plug and unplug them, and start servers.
//
//	func TestLease(t *testing.T) {
//		nettest.Run(t, func(t *testing.T, n *nettest.Net) {
//			n.Veth("eth0", "lan")
//			n.FarIP("address add 10.1.0.1/24 dev lan")
//			dhcp := n.Dnsmasq("--interface=lan", "--dhcp-range=10.1.0.100,10.1.0.150,2m")
//			… code that sets eth0 up and asks for a lease …
//			dhcp.Wait(`DHCPACK\(lan\)`)
//		})
//	}
//
// How it is done: Run starts the test binary again, for this one test, with new network, mount and process namespaces; in that process Run
// calls the function. Its output and its outcome are those of the test. With the process everything ends that it started, and
// with its last process a namespace is gone, so nothing is left behind, whatever happens. Everything before Run in the test therefore
// happens twice. Root is needed, or else user namespaces (user_namespaces(7)).
package nettest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/needs"
)

// testVariable is the environment variable that holds, inside, the name of the test to run.
const testVariable = "LIVEBOOT_NETTEST"

// outcomeFile is the number of the file into which the process inside writes how the test ended: the first of exec.Cmd's ExtraFiles.
const outcomeFile = 3

// endTime is kept back of the time that the test may take, for the report of a test that does not end.
const endTime = 5 * time.Second

// Run runs f with a network of its own, in another process. Its t is that of the process inside.
func Run(t *testing.T, f func(t *testing.T, n *Net)) {
	t.Helper()
	if os.Getenv(testVariable) == t.Name() {
		inside(t, f)
		return
	}
	needs.Program(t, "ip", "iproute2")
	// The process inside is killed with the thread that started it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	output, outcome, err := again(t)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.ENOSPC) {
		needs.That(t, false, "root, or user namespaces: "+err.Error())
	}
	switch {
	case err != nil: // a panic comes after a report, and other failures have the exit status 1
		t.Errorf("in the namespace: %v\n%s", err, output)
	case outcome == passed:
		t.Logf("in the namespace:\n%s", output)
	case outcome == skipped:
		t.Skipf("in the namespace:\n%s", output)
	default:
		t.Errorf("in the namespace: the test did not end well\n%s", output)
	}
}

// The outcomes of a test that did not fail.
const (
	passed  = "passed"
	skipped = "skipped"
)

// again runs the test in a process of its own, which fails if the test does.
func again(t *testing.T) (output, outcome string, err error) {
	report, theirs, err := os.Pipe()
	if err != nil {
		return "", "", err
	}
	defer report.Close()
	defer theirs.Close()
	words := strings.Split(t.Name(), "/")
	for i, w := range words {
		words[i] = "^" + regexp.QuoteMeta(w) + "$"
	}
	args := []string{"-test.run=" + strings.Join(words, "/"), "-test.v", "-test.paniconexit0"}
	if testing.Short() {
		args = append(args, "-test.short")
	}
	if deadline, ok := t.Deadline(); ok {
		args = append(args, "-test.timeout="+max(time.Until(deadline)-endTime, time.Second).String())
	}
	self, err := os.Executable()
	if err != nil {
		return "", "", err
	}
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), testVariable+"="+t.Name())
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID,
		Pdeathsig:  syscall.SIGKILL,
	}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	if closed := theirs.Close(); closed != nil {
		return string(out), "", closed
	}
	said, readErr := io.ReadAll(report)
	return string(out), string(said), errors.Join(err, readErr)
}

// inside is the test in the process of its own.
func inside(t *testing.T, f func(*testing.T, *Net)) {
	t.Helper()
	// The first clean-up runs last, when all is said.
	t.Cleanup(func() {
		outcome := passed
		if t.Skipped() {
			outcome = skipped
		}
		report := os.NewFile(outcomeFile, "outcome")
		if _, err := io.WriteString(report, outcome); err != nil {
			t.Errorf("report the outcome: %v", err)
		}
	})
	// Servers and tools are not to take the namespace for theirs if they run tests of their own.
	err := errors.Join(os.Unsetenv(testVariable), mounts())
	if errors.Is(err, fs.ErrPermission) {
		needs.That(t, false, "root, or user namespaces in which one is root: "+err.Error()) // Ubuntu lets one be root there, but without its rights
	}
	if err != nil {
		t.Fatal(err)
	}
	n := &Net{t: t}
	if err := n.openFar(); err != nil {
		t.Fatalf("make the far side: %v", err)
	}
	t.Cleanup(n.stop)
	n.IP("link set lo up")
	n.beginFar()
	f(t, n)
}

// mounts makes /proc and /sys those of the new namespaces. Without a /proc of its own os.Getpid() and /proc/self would not agree.
func mounts() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make the mounts private: %w", err)
	}
	for _, m := range []struct{ kind, target string }{{"proc", "/proc"}, {"sysfs", "/sys"}} {
		if err := unix.Mount(m.kind, m.target, m.kind, unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
			return fmt.Errorf("mount %s of the namespace: %w", m.target, err)
		}
	}
	return nil
}
