package netlive

import (
	"strings"
	"testing"
)

// Each image is cached under a name of its own, and each file of the root is part of it.
func TestDigest(t *testing.T) {
	seen := make(map[string]Manager)
	for m, names := range packages() {
		d, err := m.digest()
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[string(d)]; ok {
			t.Errorf("digest of %s = %x, the same as of %s", m, d, other)
		}
		seen[string(d)] = m
		if len(names) == 0 {
			t.Errorf("no packages for %s", m)
		}
	}
}

// What the report says and what the package promises are the same words.
func TestReportScript(t *testing.T) {
	script, err := files.ReadFile("root/usr/local/sbin/netlive")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"'" + Line, End + "\n", Host + "\n"} {
		if !strings.Contains(string(script), want) {
			t.Errorf("the script of the report does not contain %q", want)
		}
	}
}
