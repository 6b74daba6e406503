// Package packaging holds what makes `make install` and `make package`, and this test of the packages.
package packaging

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/liveboot/liveboot/pkg/needs"
)

// TestPackages makes the packages twice, unpacks one, and makes a pair with what was in it where there is no Go.
func TestPackages(t *testing.T) {
	kernels, err := filepath.Glob("/lib/modules/*/modules.dep")
	needs.That(t, err == nil && len(kernels) > 0, "an installed kernel with its modules (Debian: linux-image-amd64)")
	dpkg, rpm := needs.Program(t, "dpkg-deb", "dpkg"), needs.Program(t, "rpm", "rpm")

	out, again := t.TempDir(), t.TempDir()
	pack := []string{"-C", "..", "package", "PACKAGES=" + runtime.GOARCH, "VERSION=1.2.3"}
	run(t, "make", append(pack, "OUT="+out)...)
	if err := os.Symlink(filepath.Join(out, "host"), filepath.Join(again, "host")); err != nil {
		t.Fatal(err)
	}
	run(t, "make", append(pack, "OUT="+again, "-o", "host", "-o", "host-"+runtime.GOARCH)...) // what was built is packed once more
	checkReproducible(t, out, again)
	deb, rpmFile := only(t, out, "*.deb"), only(t, out, "*.rpm")

	root := t.TempDir()
	run(t, dpkg, "-x", deb, root)
	var inDeb []string
	for line := range strings.Lines(run(t, dpkg, "-c", deb)) {
		words := strings.Fields(line)
		if name := words[len(words)-1]; !strings.HasSuffix(name, "/") {
			inDeb = append(inDeb, strings.TrimPrefix(name, "."))
		}
	}
	checkFiles(t, inDeb, strings.Fields(run(t, rpm, "-qlp", rpmFile)), root)
	if got := strings.TrimSpace(run(t, rpm, "-qp", "--qf", "%{name} %{version}", rpmFile)); got != "liveboot 1.2.3" {
		t.Errorf("the RPM package calls itself %q, want liveboot 1.2.3", got)
	}
	checkPair(t, filepath.Join(root, "usr/bin/liveboot-mkinitramfs"))
}

// run runs a program and returns what it wrote to stdout.
func run(t *testing.T, program string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program, args...)
	var errors bytes.Buffer
	cmd.Stderr = &errors
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(cmd.Args, " "), err, text, errors.String())
	}
	return string(text)
}

// only is the one package of its kind in the output folder.
func only(t *testing.T, out, pattern string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(out, "packages", pattern))
	if err != nil || len(files) != 1 {
		t.Fatalf("packages = %v, %v, want one", files, err)
	}
	return files[0]
}

// checkReproducible compares packages that were made one after the other.
func checkReproducible(t *testing.T, first, second string) {
	t.Helper()
	for _, pattern := range []string{"*.deb", "*.rpm"} {
		a, err1 := os.ReadFile(only(t, first, pattern))
		b, err2 := os.ReadFile(only(t, second, pattern))
		if err1 != nil || err2 != nil || !bytes.Equal(a, b) {
			t.Errorf("two packages %s of the same source differ (%d and %d bytes, %v, %v)", pattern, len(a), len(b), err1, err2)
		}
	}
}

// checkFiles compares what the packages hold with each other and with what people expect.
func checkFiles(t *testing.T, deb, rpm []string, root string) {
	t.Helper()
	isFolder := func(name string) bool {
		info, err := os.Stat(filepath.Join(root, name))
		return err == nil && info.IsDir()
	}
	for _, name := range rpm {
		if isFolder(name) && !strings.Contains(name, "liveboot") {
			t.Errorf("the RPM package owns the system's folder %s", name)
		}
	}
	rpm = slices.DeleteFunc(rpm, isFolder)
	slices.Sort(deb)
	slices.Sort(rpm)
	if diff := cmp.Diff(deb, rpm); diff != "" {
		t.Errorf("files of the packages (-deb +rpm):\n%s", diff)
	}
	for _, want := range []string{
		"/usr/bin/liveboot-mkinitramfs", "/usr/lib/liveboot/prebuilt.json", "/usr/lib/liveboot/commands-amd64.cpio.zst",
		"/usr/lib/liveboot/commands-arm64.cpio.zst", "/usr/share/man/man1/liveboot-mkinitramfs.1.gz", "/usr/share/man/man7/liveboot.7.gz",
		"/usr/share/doc/liveboot/README.md", "/usr/share/doc/liveboot/copyright",
	} {
		if !slices.Contains(deb, want) {
			t.Errorf("the packages lack %s; they hold %v", want, deb)
		}
	}
	if info, err := os.Stat(root); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("the package's root folder has mode %v, %v, want that of every system's", info.Mode(), err)
	}
}

// checkPair makes a pair as a user of the package would, and as one of the checkout would, and expects the same.
func checkPair(t *testing.T, program string) {
	t.Helper()
	// The compressor is a matter of the building machine; gzip is done in the program, and quick.
	flags := []string{"-compression", "gzip", "-no-firmware", "-o"}
	installed, compiled := t.TempDir(), t.TempDir()
	cmd := exec.Command(program, append(flags, installed)...)
	cmd.Dir = t.TempDir()
	path := t.TempDir()
	if err := os.Symlink(needs.Program(t, "xz", "xz-utils"), filepath.Join(path, "xz")); err != nil { // for large modules, whatever the compression
		t.Fatal(err)
	}
	cmd.Env = []string{"PATH=" + path} // no Go, no GOROOT, no HOME
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("the installed program: %v\n%s", err, text)
	}
	run(t, "go", append([]string{"run", "../cmds/mkinitramfs"}, append(flags, compiled)...)...)
	for _, name := range []string{"vmlinuz", "initrd", "initrd.json"} {
		a, err1 := os.ReadFile(filepath.Join(installed, name))
		b, err2 := os.ReadFile(filepath.Join(compiled, name))
		if err1 != nil || err2 != nil || len(a) == 0 || !bytes.Equal(a, b) {
			t.Errorf("%s: %d bytes (%v) by the installed program, %d bytes (%v) in the checkout: want the same", name, len(a), err1, len(b), err2)
		}
	}
}
