package depmod_test

import (
	"bytes"
	"compress/gzip"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/liveboot/liveboot/pkg/kernelmodules/depmod"
	"github.com/liveboot/liveboot/pkg/kernelmodules/depmod/depmodtest"
	"github.com/liveboot/liveboot/pkg/needs"
)

func gzipped(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}

func TestMake(t *testing.T) {
	got, err := depmod.Make(fstest.MapFS{
		"kernel/fs/ext4.ko":          {Data: depmodtest.Module("license=GPL", "depends=mbcache,jbd2", "softdep=pre: crypto-crc32c", "alias=fs-ext4", "alias=ext2")},
		"kernel/fs/jbd2.ko.gz":       {Data: gzipped(depmodtest.Module("depends=crc"))},
		"kernel/fs/mbcache.ko":       {Data: depmodtest.Module("depends=")},
		"kernel/lib/crc.ko":          {Data: depmodtest.Module("alias=crypto-crc32c", "alias=two\nlines")},
		"kernel/drivers/a-b.ko":      {Data: depmodtest.Module("depends=c-d", "weakdep=x y", "alias=pci:v*")},
		"kernel/drivers/c_d.ko":      {Data: depmodtest.Module()},
		"kernel/drivers/orphan.ko":   {Data: depmodtest.Module("depends=nowhere", "alias=pci:v*")},
		"kernel/drivers/replaced.ko": {Data: depmodtest.Module("alias=old")},
		"updates/dkms/replaced.ko":   {Data: depmodtest.Module("alias=new")},
		"modules.order":              {Data: []byte("kernel/lib/crc.ko\nkernel/fs/mbcache.ko\nkernel/fs/jbd2.ko\nkernel/fs/ext4.ko\n")},
		"build/notes.kodak.txt":      {Data: []byte("no module")},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := &depmod.Index{
		Dep: []byte("kernel/lib/crc.ko:\nkernel/fs/mbcache.ko:\nkernel/fs/jbd2.ko.gz: kernel/lib/crc.ko\n" +
			"kernel/fs/ext4.ko: kernel/fs/jbd2.ko.gz kernel/lib/crc.ko kernel/fs/mbcache.ko\n" +
			"kernel/drivers/a-b.ko: kernel/drivers/c_d.ko\nkernel/drivers/c_d.ko:\nupdates/dkms/replaced.ko:\n"),
		Alias:      []byte("alias crypto-crc32c crc\nalias fs-ext4 ext4\nalias ext2 ext4\nalias pci:v* a_b\nalias new replaced\n"),
		Softdep:    []byte("softdep ext4 pre: crypto-crc32c\n"),
		Weakdep:    []byte("weakdep a_b x y\n"),
		Incomplete: map[string]string{"orphan": "nowhere"},
	}
	if diff := cmp.Diff(want, got, cmp.Transformer("text", func(b []byte) string { return string(b) })); diff != "" {
		t.Errorf("Make() (-want +got):\n%s", diff)
	}
}

func TestMakeErrors(t *testing.T) {
	for name, content := range map[string][]byte{"empty.ko": nil, "text.ko": []byte("text"), "cut.ko": depmodtest.Module("depends=")[:80], "cut.ko.gz": gzipped(depmodtest.Module())[:40]} {
		if _, err := depmod.Make(fstest.MapFS{name: {Data: content}}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("Make(%s) = %v, want an error that names it", name, err)
		}
	}
}

// TestInstalledKernel compares with what depmod itself writes for the modules of this machine.
func TestInstalledKernel(t *testing.T) {
	folders, _ := filepath.Glob("/lib/modules/*/kernel")
	needs.That(t, len(folders) > 0, "an installed kernel (Debian: linux-image-amd64)")
	program := needs.Program(t, "depmod", "kmod")
	for _, folder := range folders {
		folder = filepath.Dir(folder)
		release := filepath.Base(folder)
		t.Run(release, func(t *testing.T) {
			t.Parallel()
			out := t.TempDir()
			linkModules(t, folder, filepath.Join(out, "lib/modules", release))
			if b, err := exec.Command(program, "-b", out, release).CombinedOutput(); err != nil {
				t.Fatalf("depmod -b %s %s: %v\n%s", out, release, err, b)
			}
			got, err := depmod.Make(os.DirFS(folder))
			if err != nil {
				t.Fatal(err)
			}
			written := func(name string) string {
				b, err := os.ReadFile(filepath.Join(out, "lib/modules", release, name))
				if err != nil {
					t.Fatal(err)
				}
				return string(b)
			}
			if diff := cmp.Diff(dependencies(t, written("modules.dep")), dependencies(t, string(got.Dep))); diff != "" {
				t.Errorf("modules.dep (-depmod +Make):\n%s", diff)
			}
			if diff := cmp.Diff(records(written("modules.softdep")), records(string(got.Softdep))); diff != "" {
				t.Errorf("modules.softdep (-depmod +Make):\n%s", diff)
			}
			if diff := cmp.Diff(records(written("modules.alias")), records(string(got.Alias))); diff != "" {
				t.Errorf("modules.alias (-depmod +Make):\n%s", diff)
			}
			if len(got.Incomplete) > 0 {
				t.Errorf("left out: %v, want none", got.Incomplete)
			}
		})
	}
}

// linkModules makes a folder with the same modules, into which depmod can write.
func linkModules(t *testing.T, from, to string) {
	t.Helper()
	if err := os.MkdirAll(to, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"kernel", "modules.order", "modules.builtin", "modules.builtin.modinfo"} {
		if err := os.Symlink(filepath.Join(from, name), filepath.Join(to, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// records is the lines without comments.
func records(text string) []string {
	var all []string
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#") {
			all = append(all, strings.TrimSpace(line))
		}
	}
	return all
}

// dependencies is what each module needs, sorted. It checks that each stands before what it needs itself.
func dependencies(t *testing.T, text string) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for line := range strings.Lines(text) {
		file, deps, _ := strings.Cut(line, ":")
		all[file] = strings.Fields(deps)
	}
	for file, deps := range all {
		for k, dep := range deps {
			for _, below := range all[dep] {
				if slices.Index(deps, below) < k {
					t.Errorf("%s: %s is not behind %s, which needs it", file, below, dep)
				}
			}
		}
	}
	for _, file := range slices.Collect(maps.Keys(all)) {
		slices.Sort(all[file])
	}
	return all
}

func FuzzMake(f *testing.F) {
	f.Add(depmodtest.Module("depends=b", "alias=c"))
	f.Add(gzipped(depmodtest.Module("softdep=pre: x")))
	f.Fuzz(func(t *testing.T, module []byte) {
		if x, err := depmod.Make(fstest.MapFS{"kernel/a.ko": {Data: module}}); err == nil && len(records(string(x.Dep)))+len(x.Incomplete) != 1 {
			t.Errorf("Make() = %q, %v, want one module", x.Dep, x.Incomplete)
		}
	})
}
