package integration

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/u-root/u-root/pkg/cpio"

	"github.com/liveboot/liveboot/pkg/kernel/alg"
	"github.com/liveboot/liveboot/pkg/kernel/module"
	"github.com/liveboot/liveboot/qemu"
)

// nettestsTime is how long the namespace tests of all packages may take together under TCG.
const nettestsTime = 25 * time.Minute

// algPackage is a package whose tests need a part of the kernel that is in each distribution's, and not in each developer's.
const algPackage = "github.com/liveboot/liveboot/pkg/kernel/alg"

// nettestPackage is what a package imports whose tests need a network namespace.
const nettestPackage = "github.com/liveboot/liveboot/pkg/network/nettest"

// A developer works on a kernel without bonds or VLANs; here the namespace tests that need them run on a distribution's kernel, which has them
// all. The representative set has the tests that ask for such a kind of link, the whole set all tests of the packages that have any of these.
func TestNamespaces(t *testing.T) {
	t.Parallel()
	notShort(t)
	kernel, err := qemu.HostKernel()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	tests := testBinaries(t, dir)
	if len(tests) == 0 {
		t.Fatal("no package has namespace tests")
	}
	c := qemu.Config{
		Kernel: kernel.Image, Initrd: nettestInitrd(t, dir, kernel, tests),
		Append:    []string{"console=ttyS0", "quiet", "panic=-1"},
		MemoryMiB: 1024, CPUs: 2, NoReboot: true,
		// The host's files, which nobody can write to.
		Extra: []string{
			"-fsdev", "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap", "-device", "virtio-9p-pci,fsdev=host,mount_tag=host",
		},
	}
	ctx, cancel := context.WithTimeout(t.Context(), nettestsTime)
	defer cancel()
	m := &machine{VM: qemu.Start(t, c), t: t, ctx: ctx}
	for _, name := range slices.Sorted(maps.Keys(tests)) {
		t.Run(name, func(t *testing.T) {
			m := &machine{VM: m.VM, t: t, ctx: ctx}
			match := m.see(regexp.MustCompile(`nettestinit: end `+regexp.QuoteMeta(name)+`: \[(.*)\]`), regexp.MustCompile(`nettestinit: failed: .*`))
			if got := match.Groups[1]; got != "passed" {
				t.Errorf("%s ends with %q in the machine", name, got)
			}
		})
	}
	m.exits("guest-shutdown")
}

// nettests are the tests of one package.
type nettests struct {
	// dir is the package's folder, run the expression for those of its tests that are run.
	dir, run string
}

// testBinaries compiles the tests of each package that has namespace tests for certain kinds of links, and of algPackage, into dir, and returns
// them by the names of the binaries.
func testBinaries(t *testing.T, dir string) map[string]nettests {
	t.Helper()
	list := command(t, "go", "list", "-e", "-f", `{{.ImportPath}} {{.Dir}} {{join .TestImports ","}},{{join .XTestImports ","}},`, "../pkg/...")
	all := map[string]nettests{}
	for line := range strings.Lines(list) {
		words := strings.Fields(line)
		if len(words) != 3 || words[0] != algPackage && !strings.Contains(","+words[2], ","+nettestPackage+",") {
			continue
		}
		n := nettests{words[1], askForKinds(t, words[1])}
		switch {
		case words[0] == algPackage, n.run != "" && os.Getenv("LIVEBOOT_TEST") == "full":
			n.run = "."
		case n.run == "":
			continue
		}
		name := strings.ReplaceAll(strings.TrimPrefix(words[0], "github.com/liveboot/liveboot/pkg/"), "/", "-") + ".test"
		command(t, "go", "test", "-c", "-o", filepath.Join(dir, name), words[0])
		all[name] = n
	}
	return all
}

// askForKinds is an expression for the tests in a folder that ask for a kind of link, empty if there are none.
func askForKinds(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, function := range strings.Split(string(source), "\nfunc ")[1:] {
			if name, _, ok := strings.Cut(function, "("); ok && strings.HasPrefix(name, "Test") && strings.Contains(function, `.Needs("`) {
				names = append(names, name)
			}
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "^(" + strings.Join(names, "|") + ")$"
}

// command runs a program and returns what it prints.
func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(cmd.Args, " "), err, out.String(), complaints.String())
	}
	return out.String()
}

// nettestInitrd is an initramfs with nettestinit, the list of its tests and the modules that they need.
func nettestInitrd(t *testing.T, dir string, kernel qemu.Kernel, tests map[string]nettests) string {
	t.Helper()
	init := filepath.Join(dir, "nettestinit")
	command(t, "go", "build", "-o", init, "./nettestinit")
	program, err := os.ReadFile(init)
	if err != nil {
		t.Fatal(err)
	}
	var list strings.Builder
	for _, name := range slices.Sorted(maps.Keys(tests)) {
		fmt.Fprintf(&list, "%s\t%s\t%s\n", filepath.Join(dir, name), tests[name].dir, tests[name].run)
	}
	records := []cpio.Record{
		cpio.CharDev("dev/console", 0o600, 5, 1), cpio.StaticFile("init", string(program), 0o755), cpio.StaticFile("tests", list.String(), 0o644),
	}
	records = append(records, moduleRecords(t, kernel.Modules,
		"virtio_pci", "9p", "9pnet_virtio", "veth", "8021q", "bonding", "bridge", "macvlan", "ifb", "tun", "dummy", alg.Module)...)
	return writeInitrd(t, records)
}

// recorder is an Inserter that keeps the names of the files.
type recorder map[string]bool

// Insert takes note of the file.
func (r recorder) Insert(file, _ string) error {
	r[file] = true
	return nil
}

// moduleRecords are modules, what they need and the indexes of all, out of a folder lib/modules/VERSION.
func moduleRecords(t *testing.T, folder string, names ...string) []cpio.Record {
	t.Helper()
	root, ok := strings.CutSuffix(filepath.Dir(filepath.Clean(folder)), "lib/modules")
	if !ok {
		t.Fatalf("%s is no folder lib/modules/VERSION", folder)
	}
	files := recorder{}
	loader, err := module.Open(root, filepath.Base(folder), files, module.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if _, err := loader.Load(name); err != nil {
			t.Fatal(err)
		}
	}
	for _, index := range []string{"modules.dep", "modules.alias", "modules.softdep", "modules.builtin"} {
		files[filepath.Join(folder, index)] = true
	}
	var records []cpio.Record
	for _, file := range slices.Sorted(maps.Keys(files)) {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name, err := filepath.Rel(root, file)
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, cpio.StaticFile(name, string(content), 0o644))
	}
	return records
}
