// Package needs lets a test that cannot run on this machine say what it lacks. In CI (CI=true) everything is there, so there the
// lack is a failure, and no test is left out unseen.
package needs

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"
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

// Program returns the path of a program, of Debian's package of that name. A package that CI does not install fails the test wherever it
// runs: on a machine that happens to have the program nobody would notice, until a new machine has not.
func Program(t testing.TB, name, debian string) string {
	t.Helper()
	if ok, err := installed(debian); err != nil {
		t.Fatalf("see what CI installs: %v", err)
	} else if !ok {
		t.Errorf("%s is of Debian's package %s, which is not in %s", name, debian, list)
	}
	path, err := exec.LookPath(name)
	if err != nil {
		// Tools of the system are not on everybody's PATH.
		path, err = exec.LookPath("/sbin/" + name)
	}
	That(t, err == nil, name+" (Debian: "+debian+")")
	return path
}

// list is what CI installs, as "package:program" words of a shell script.
const list = ".ci/packages"

// installed says whether a package is in CI's list, or in every Debian ("Essential: yes").
func installed(debian string) (bool, error) {
	if slices.Contains([]string{"bash", "coreutils", "dash", "dpkg", "libc-bin", "util-linux"}, debian) {
		return true, nil
	}
	// A test runs in the folder of its package, which is below go.mod's.
	dir, err := os.Getwd()
	if err != nil {
		return false, err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		up := filepath.Dir(dir)
		if up == dir {
			return false, os.ErrNotExist
		}
		dir = up
	}
	b, err := os.ReadFile(filepath.Join(dir, list))
	words := strings.FieldsFunc(string(b), func(r rune) bool { return unicode.IsSpace(r) || r == '"' || r == '=' })
	return slices.ContainsFunc(words, func(word string) bool { return strings.HasPrefix(word, debian+":") }), err
}
