package initramfs

import (
	"bytes"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/liveboot/liveboot/pkg/kernelmodules"
	"github.com/liveboot/liveboot/pkg/kernelmodules/kernelmodulestest"
	"github.com/u-root/mkuimage/cpio"
)

// pc is the architecture of most tests.
func pc(t *testing.T) arch {
	t.Helper()
	a, err := archFor("amd64")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestSelectModules(t *testing.T) {
	x, err := kernelmodules.ReadIndex(kernelmodulestest.Folder())
	if err != nil {
		t.Fatal(err)
	}
	set, err := selectModules(x, selection(pc(t)), wishes{}, requirements())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"brd", "crc32c_generic", "ext4", "isofs", "jbd2", "libphy", "mbcache", "overlay", "r8169", "realtek", "squashfs",
	}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(set.Why))); diff != "" {
		t.Errorf("selectModules() (-want +got):\n%s", diff)
	}
}

func TestSelectModulesClosure(t *testing.T) {
	x, err := kernelmodules.ReadIndex(kernelmodulestest.Folder())
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		rules []rule
		want  []string
	}{
		{"dependencies and soft dependencies by alias", []rule{{pattern: "fs/ext4/ext4"}}, []string{"crc32c_generic", "ext4", "jbd2", "mbcache"}},
		{"soft dependency by name, compressed file", []rule{{pattern: "drivers/net/ethernet/..."}}, []string{"libphy", "r8169", "realtek"}},
		{"dropped, and yet needed", []rule{{pattern: "drivers/net/..."}, {pattern: "drivers/net/wireless/...", drop: true}, {pattern: "drivers/net/phy/...", drop: true}}, []string{"libphy", "r8169", "realtek"}},
		{"the last rule decides", []rule{{pattern: "drivers/...", drop: true}, {pattern: "drivers/block/brd"}}, []string{"brd"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			set, err := selectModules(x, tt.rules, wishes{}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, slices.Sorted(maps.Keys(set.Why))); diff != "" {
				t.Errorf("selectModules() (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSelectModulesMissing(t *testing.T) {
	fsys := kernelmodulestest.Folder()
	fsys["modules.dep"] = kernelmodulestest.Text("kernel/fs/isofs/isofs.ko:", "kernel/fs/ext4/ext4.ko:", "kernel/fs/overlayfs/overlay.ko:")
	x, err := kernelmodules.ReadIndex(fsys)
	if err != nil {
		t.Fatal(err)
	}
	_, err = selectModules(x, selection(pc(t)), wishes{}, requirements())
	if !errorContains(err, "brd (the RAM disk that holds the image), squashfs") {
		t.Errorf("selectModules() = %v, want an error that names brd and squashfs", err)
	}
}

// TestSelectionRules looks for rules that cannot be meant so.
func TestSelectionRules(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range selection(pc(t)) {
		if seen[r.pattern] {
			t.Errorf("pattern %q is there twice", r.pattern)
		}
		seen[r.pattern] = true
		if strings.HasPrefix(r.pattern, "kernel/") || strings.HasSuffix(r.pattern, ".ko") {
			t.Errorf("pattern %q: want it without kernel/ and .ko", r.pattern)
		}
		name := strings.NewReplacer("/...", "/x", "*", "x").Replace(r.pattern)
		if !r.matches(name) {
			t.Errorf("pattern %q does not match %q", r.pattern, name)
		}
	}
}

// stored packs modules as they are.
func stored(plain map[string][]byte) (map[string][]byte, error) { return plain, nil }

// TestModulesSegmentPacked: large modules are compressed by themselves, but for those that nearly every machine loads.
func TestModulesSegmentPacked(t *testing.T) {
	fsys := kernelmodulestest.Folder()
	large := func(name string, size int) []byte { return append([]byte("\x7fELF"+name), make([]byte, size)...) }
	fsys["modules.dep"] = kernelmodulestest.Text(
		"kernel/fs/ext4/ext4.ko: kernel/fs/jbd2/jbd2.ko",
		"kernel/fs/jbd2/jbd2.ko:",
		"kernel/drivers/net/ethernet/realtek/r8169.ko: kernel/drivers/net/phy/libphy.ko kernel/drivers/net/phy/large.ko",
		"kernel/drivers/net/phy/libphy.ko:",
		"kernel/drivers/net/phy/large.ko:",
		"kernel/drivers/net/phy/small.ko:",
	)
	paths := map[string]int{
		"kernel/fs/ext4/ext4.ko": packedFrom, "kernel/fs/jbd2/jbd2.ko": packedFrom, // what no machine boots without
		"kernel/drivers/net/ethernet/realtek/r8169.ko": packedFrom, "kernel/drivers/net/phy/large.ko": packedFrom,
		"kernel/drivers/net/phy/libphy.ko": packedFrom, // among everyday
		"kernel/drivers/net/phy/small.ko":  100,
	}
	for name, size := range paths {
		fsys[name] = &fstest.MapFile{Data: large(name, size)}
	}
	x, err := kernelmodules.ReadIndex(fsys)
	if err != nil {
		t.Fatal(err)
	}
	set, err := selectModules(x, []rule{{pattern: "drivers/net/..."}, {pattern: "fs/..."}}, wishes{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var given []string
	a, list, _, err := modulesSegment(fsys, "6.1.0", set, func(plain map[string][]byte) (map[string][]byte, error) {
		given = slices.Sorted(maps.Keys(plain))
		packed := map[string][]byte{}
		for name := range plain {
			packed[name] = []byte("packed " + name)
		}
		return packed, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"large", "r8169"}, given); diff != "" {
		t.Errorf("packed (-want +got):\n%s", diff)
	}
	raw, err := a.bytes()
	if err != nil {
		t.Fatal(err)
	}
	files := contents(t, raw)
	const folder = "lib/modules/6.1.0/kernel/drivers/net/"
	for name, want := range map[string]string{
		"ethernet/realtek/r8169.ko.xz": "packed r8169",
		"phy/large.ko.xz":              "packed large",
		"phy/libphy.ko":                string(large("kernel/drivers/net/phy/libphy.ko", packedFrom)),
		"phy/small.ko":                 string(large("kernel/drivers/net/phy/small.ko", 100)),
	} {
		if files[folder+name] != want {
			t.Errorf("%s has %d bytes, want %d", name, len(files[folder+name]), len(want))
		}
	}
	const dep = "kernel/drivers/net/ethernet/realtek/r8169.ko.xz: kernel/drivers/net/phy/libphy.ko kernel/drivers/net/phy/large.ko.xz\n"
	if got := files["lib/modules/6.1.0/modules.dep"]; !strings.Contains(got, dep) {
		t.Errorf("modules.dep is\n%s\nwant in it\n%s", got, dep)
	}
	for _, m := range list {
		if want := int64(len(fsys[strings.TrimSuffix(m.Path, packedSuffix)].Data)); m.Bytes != want {
			t.Errorf("the list has %s with %d bytes, want %d, unpacked", m.Path, m.Bytes, want)
		}
	}
}

func TestModulesSegment(t *testing.T) {
	fsys := kernelmodulestest.Folder()
	x, err := kernelmodules.ReadIndex(fsys)
	if err != nil {
		t.Fatal(err)
	}
	set, err := selectModules(x, []rule{{pattern: "drivers/net/ethernet/..."}}, wishes{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, list, _, err := modulesSegment(fsys, "6.1.0", set, stored)
	if err != nil {
		t.Fatal(err)
	}
	if got := []string{list[0].Name, list[1].Name, list[2].Name}; !slices.Equal(got, []string{"r8169", "libphy", "realtek"}) {
		t.Errorf("modulesSegment() lists %v", got)
	}
	want := map[string]string{
		"lib/modules/6.1.0/kernel/drivers/net/ethernet/realtek/r8169.ko": "module r8169",
		"lib/modules/6.1.0/kernel/drivers/net/phy/libphy.ko":             "module kernel/drivers/net/phy/libphy.ko",
		"lib/modules/6.1.0/kernel/drivers/net/phy/realtek.ko":            "module kernel/drivers/net/phy/realtek.ko",
		"lib/modules/6.1.0/modules.dep": "kernel/drivers/net/ethernet/realtek/r8169.ko: kernel/drivers/net/phy/libphy.ko\n" +
			"kernel/drivers/net/phy/libphy.ko:\n" +
			"kernel/drivers/net/phy/realtek.ko: kernel/drivers/net/phy/libphy.ko\n",
		"lib/modules/6.1.0/modules.softdep":         "softdep r8169 pre: realtek\n",
		"lib/modules/6.1.0/modules.alias":           "alias pci:v000010ECd00008168sv*sd*bc*sc*i* r8169\n",
		"lib/modules/6.1.0/modules.builtin":         "kernel/drivers/block/loop.ko\n",
		"lib/modules/6.1.0/modules.builtin.modinfo": "loop.alias=block-major-7-*\x00",
	}
	raw, err := a.bytes()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, contents(t, raw)); diff != "" {
		t.Errorf("segment (-want +got):\n%s", diff)
	}
}

// contents is the regular files of an archive, which must have no trace of
// the machine that made it.
func contents(t *testing.T, raw []byte) map[string]string {
	t.Helper()
	files, dirs := map[string]string{}, map[string]bool{".": true}
	err := cpio.ForEachRecord(cpio.Newc.Reader(bytes.NewReader(raw)), func(r cpio.Record) error {
		if r.UID != 0 || r.GID != 0 || r.MTime != 0 {
			t.Errorf("%s: uid %d, gid %d, time %d, want 0", r.Name, r.UID, r.GID, r.MTime)
		}
		parent, _, _ := cutLast(r.Name)
		if !dirs[parent] {
			t.Errorf("%s comes before its folder", r.Name)
		}
		switch r.Mode & cpio.S_IFMT {
		case cpio.S_IFDIR:
			dirs[r.Name] = true
		case cpio.S_IFREG:
			b, err := io.ReadAll(io.NewSectionReader(r, 0, int64(r.FileSize)))
			if err != nil {
				return err
			}
			files[r.Name] = string(b)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func cutLast(name string) (dir, base string, ok bool) {
	i := strings.LastIndexByte(name, '/')
	if i < 0 {
		return ".", name, false
	}
	return name[:i], name[i+1:], true
}
