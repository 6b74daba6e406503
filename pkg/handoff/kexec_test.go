package handoff

import (
	"strings"
	"testing"
)

// TestKexecRefuses: a process that is not number 1 must not get as far as ending something.
func TestKexecRefuses(t *testing.T) {
	err := Kexec(func(line string) { t.Errorf("it went on: %s", line) })
	if err == nil || !strings.Contains(err.Error(), "only process 1") {
		t.Errorf("Kexec = %v, want it refused", err)
	}
}
