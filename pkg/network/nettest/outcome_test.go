package nettest_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/liveboot/liveboot/pkg/network/nettest"
)

// endingVariable is set where TestEnding is run by TestOutcomes.
const endingVariable = "LIVEBOOT_NETTEST_ENDING"

// TestEnding has an end of each kind, for TestOutcomes.
func TestEnding(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(*testing.T)
	}{
		{"passes well", func(*testing.T) {}},
		{"fails", func(t *testing.T) { t.Error("a failure") }},
		{"skips", func(t *testing.T) { t.Skip("a lack") }},
		{"panics", func(*testing.T) { panic("a panic") }},
		{"exits", func(*testing.T) { os.Exit(0) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			nettest.Run(t, func(t *testing.T, n *nettest.Net) {
				n.Veth("eth0", "lan")
				if os.Getenv(endingVariable) != "" {
					tt.end(t)
				}
			})
		})
	}
}

// How a test ends inside is how it ends, and its words are not lost.
func TestOutcomes(t *testing.T) {
	for _, tt := range []struct {
		name, want, text string
		code             int
	}{
		{"passes_well", "--- PASS: TestEnding/passes_well", "in the namespace", 0},
		{"fails", "--- FAIL: TestEnding/fails", "a failure", 1},
		{"skips", "--- SKIP: TestEnding/skips", "a lack", 0},
		{"panics", "--- FAIL: TestEnding/panics", "a panic", 1},
		{"exits", "--- FAIL: TestEnding/exits", "unexpected call to os.Exit(0) during test", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), self, "-test.v", "-test.run=^TestEnding$/^"+tt.name+"$")
			cmd.Env = append(os.Environ(), endingVariable+"=1")
			// Its status is looked at below.
			out, _ := cmd.CombinedOutput()
			if !strings.Contains(string(out), tt.want) || !strings.Contains(string(out), tt.text) || cmd.ProcessState.ExitCode() != tt.code {
				t.Errorf("a test that %s ends with %v, want %d, %q and %q in:\n%s", tt.name, cmd.ProcessState, tt.code, tt.want, tt.text, out)
			}
		})
	}
}
