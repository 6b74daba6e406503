package streamlive

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"strings"
	"testing"
)

// What the scripts do and what the package promises are the same.
func TestScripts(t *testing.T) {
	for _, tt := range []struct{ script, want string }{
		{"agent", "echo 'streamlive ready'\n"},
		{"agent", `'streamlive done %d\n'`},
		{"changes", "monitor link address route >" + Changes + "\n"},
		{"reader", "cd " + Noise + "\n"},
		{"reader", ">>" + Reads + "\n"},
		{"reader", fmt.Sprintf("bs=%d skip=%d count=1 ", readSize, readAt/readSize)},
	} {
		script, err := files.ReadFile("root/usr/local/sbin/" + tt.script)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(script), tt.want) {
			t.Errorf("the script %s does not contain %q:\n%s", tt.script, tt.want, script)
		}
	}
}

// The reader's steps lead to each file once, and never from one to its neighbour.
func TestSteps(t *testing.T) {
	const step = 97
	seen := make(map[int]bool)
	for i := range noiseFiles {
		at, next := i*step%noiseFiles, (i+1)*step%noiseFiles
		seen[at] = true
		if d := next - at; d == 1 || d == -1 {
			t.Errorf("file %d is read after file %d, its neighbour", next, at)
		}
	}
	if len(seen) != noiseFiles {
		t.Errorf("%d of %d files are read", len(seen), noiseFiles)
	}
}

// Each file of noise is another one, and Digest knows it.
func TestDigest(t *testing.T) {
	laid, err := content()
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]string)
	for _, name := range []string{"0", "1", "159"} {
		data, err := fs.ReadFile(laid, Noise[1:]+"/"+name)
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("%x", sha256.Sum256(data[readAt:readAt+readSize]))
		got, err := Digest(name)
		if err != nil || got != want {
			t.Errorf("Digest(%s) = %s, %v, want %s", name, got, err, want)
		}
		if other, ok := seen[got]; ok {
			t.Errorf("files %s and %s are the same", name, other)
		}
		seen[got] = name
	}
	for _, name := range []string{"160", "-1", "", "x"} {
		if got, err := Digest(name); err == nil {
			t.Errorf("Digest(%q) = %s, want an error", name, got)
		}
	}
}

// The two managers make two systems.
func TestSystem(t *testing.T) {
	one, err := system(Networkd)
	if err != nil {
		t.Fatal(err)
	}
	other, err := system(NetworkManager)
	if err != nil {
		t.Fatal(err)
	}
	if one.Name == other.Name || len(one.Packages) == 0 || len(other.Packages) == 0 {
		t.Errorf("the systems are %s with %q and %s with %q", one.Name, one.Packages, other.Name, other.Packages)
	}
}
