// Package needs lets a test that cannot run on this machine say what it lacks. In CI (CI=true) everything is there, so there the
// lack is a failure, and no test is left out unseen.
package needs

import (
	"os"
	"os/exec"
	"testing"
)

// That skips the test unless ok, with the name of what is missing.
func That(t testing.TB, ok bool, what string) {
	t.Helper()
	switch {
	case ok:
	case os.Getenv("CI") == "true":
		t.Fatalf("CI lacks %s", what)
	default:
		t.Skipf("needs %s", what)
	}
}

// Program returns the path of a program, of Debian's package of that name.
func Program(t testing.TB, name, debian string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		// Tools of the system are not on everybody's PATH.
		path, err = exec.LookPath("/sbin/" + name)
	}
	That(t, err == nil, name+" (Debian: "+debian+")")
	return path
}
