package handoff

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/liveboot/liveboot/pkg/needs"
)

// dynamicRoot is a root with a program that needs two libraries and their loader, from this machine, under the paths that they have here.
func dynamicRoot(t *testing.T) (root, loader string) {
	t.Helper()
	needs.That(t, os.Geteuid() == 0, "root, to change the root folder of a process")
	compiler := needs.Program(t, "gcc", "gcc")
	work := t.TempDir()
	source := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(work, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	source("lib.c", "int one(void) { return 1; }\n")
	source("main.c", "int one(void); int main(void) { return one(); }\n")
	for _, args := range [][]string{
		{"-shared", "-fPIC", "-o", "libone.so", "lib.c", "-Wl,-soname,libone.so.1"},
		{"-o", "main", "main.c", "libone.so", "-Wl,-rpath,$ORIGIN/private"},
	} {
		cmd := exec.Command(compiler, args...)
		cmd.Dir = work
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", cmd, err, out)
		}
	}
	f, err := os.Open(filepath.Join(work, "main"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p, err := openedProgram(f)
	if err != nil || p.loader == "" {
		t.Fatalf("readProgram = %+v, %v", p, err)
	}
	read := func(path string) string {
		t.Helper()
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	return tree(t, map[string]string{
		// The library lies beside the program, not beside the link by which it is called.
		"sbin/init": "->../opt/real/init", "opt/real/init": read(filepath.Join(work, "main")), "opt/real/private/libone.so.1": read(filepath.Join(work, "libone.so")),
		p.loader: read(p.loader), "lib/libc.so.6": read(library(t, "libc.so.6")),
	}), p.loader
}

// library is the path of one of this machine's.
func library(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.Command("ldd", "/bin/true").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		if fields := strings.Fields(line); len(fields) > 2 && fields[0] == name {
			return fields[2]
		}
	}
	t.Fatalf("no %s in %s", name, out)
	return ""
}

func TestCheckLibraries(t *testing.T) {
	root, loader := dynamicRoot(t)
	if _, err := Check(Spec{}, root); err != nil {
		t.Errorf("Check with all libraries: %v", err)
	}
	for _, tt := range []struct{ name, gone, want string }{
		{"of the program", "opt/real/private/libone.so.1", "cannot be started: error while loading shared libraries: libone.so.1: cannot open shared object file"},
		{"of all programs", "lib/libc.so.6", "libc.so.6: cannot open shared object file"},
		{"the loader", loader, "its interpreter " + loader + ": no such file"},
	} {
		path := filepath.Join(root, tt.gone)
		if err := os.Rename(path, path+".gone"); err != nil {
			t.Fatal(err)
		}
		if _, err := Check(Spec{}, root); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s is gone: Check = %v, want %q", tt.name, err, tt.want)
		}
		if _, err := Check(Spec{Streamed: true}, root); (err == nil) != (tt.gone != loader) {
			t.Errorf("%s is gone of a root that is streamed: Check = %v; it reads no libraries, but the loader's headers", tt.name, err)
		}
		if err := os.Rename(path+".gone", path); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMissingLibrary(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"glibc", "/sbin/init: error while loading shared libraries: libx.so.1: cannot open shared object file: No such file or directory\n",
			"error while loading shared libraries: libx.so.1: cannot open shared object file: No such file or directory"},
		{"musl", "Error loading shared library libx.so.1: No such file or directory (needed by /sbin/init)\nError relocating /sbin/init: one: symbol not found\n",
			"Error loading shared library libx.so.1: No such file or directory (needed by /sbin/init)"},
		{"something else", "usage: ld.so [OPTION]\n", ""},
	} {
		if got := missingLibrary(tt.in); got != tt.want {
			t.Errorf("%s: missingLibrary = %q, want %q", tt.name, got, tt.want)
		}
	}
}
