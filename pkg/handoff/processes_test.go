package handoff

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/needs"
)

func TestOthers(t *testing.T) {
	self := fmt.Sprint(os.Getpid())
	thread := "2 (kthreadd) S 0 0 0 0 -1 2129984 0 0"
	proc := tree(t, map[string]string{
		"2/stat": thread, "2/cmdline": "",
		"70/stat": "70 (a) b) S 1 70 70 0 -1 4194304 0 0", "70/cmdline": "sleep\x009\x00",
		"71/stat": "71 (kthreadd) S 1 70 70 0 -1 4194304 0 0", "71/cmdline": "", // cleared its name
		"72/stat": "72 (exe) S 1 70 70 0 -1 4194304 0 0", "72/cmdline": "@liveboot\x00",
		"73/cmdline": "", // just gone
		"74/stat":    "74 (x", "74/cmdline": "x",
		self + "/stat": self + " (init) S 0 0 0 0 -1 4194560 0 0", self + "/cmdline": "init",
		"meminfo": "", "12x/stat": thread,
	})
	if got, want := others(proc), []int{70, 71, 74}; !slices.Equal(got, want) {
		t.Errorf("others = %v, want %v", got, want)
	}
}

// TestEndProcesses: in a process namespace, where this program is process 1, all end but the one with the mark: the one that ends when asked to,
// the one that does not, and their orphans.
func TestEndProcesses(t *testing.T) {
	const mark = "HANDOFF_NAMESPACE"
	if os.Getenv(mark) != "" && os.Getpid() == 1 {
		endMyProcesses(t)
		return
	}
	needs.That(t, os.Geteuid() == 0, "root, to make a process namespace")
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestEndProcesses$", "-test.v")
	cmd.Env = append(os.Environ(), mark+"=1")
	cmd.SysProcAttr = &unix.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestEndProcesses") {
		t.Errorf("in the namespace: %v\n%s", err, out)
	}
}

func endMyProcesses(t *testing.T) {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		t.Fatal(err)
	}
	ready := filepath.Join(t.TempDir(), "ready")
	if err := unix.Mkfifo(ready, 0o600); err != nil {
		t.Fatal(err)
	}
	// Each says that it has come as far as it should, then waits.
	for name, script := range map[string]string{
		"polite":  "echo >$0; exec sleep 1000",
		"deaf":    "trap '' TERM; echo >$0; while :; do sleep 1000; done",
		"stopped": "echo >$0; kill -STOP $$",
		"@kept":   "echo >$0; exec -a @kept sleep 1000",
		"parent":  "(echo >$0; sleep 1000) & disown; exit",
	} {
		cmd := exec.Command("bash", "-c", script, ready)
		cmd.Args[0] = name
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.ReadFile(ready); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Process.Release()
	}
	endProcesses()
	if left := others("/proc"); len(left) > 0 {
		t.Errorf("left are %v", left)
	}
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	var names []string
	for _, path := range lines {
		line, _ := os.ReadFile(path)
		name, _, _ := strings.Cut(string(line), "\x00")
		names = append(names, name)
	}
	if want := []string{"/proc/self/exe", "@kept"}; !slices.Equal(names, want) {
		t.Errorf("the processes are %q, want %q", names, want)
	}
}
