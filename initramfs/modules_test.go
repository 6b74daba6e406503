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

// asIs packs modules as they are.
func asIs(plain map[string][]byte) (map[string][]byte, error) { return plain, nil }

// TestModulesSegmentPacked: what nearly every boot loads is a file of its own, large modules are compressed by themselves, the others in archives.
func TestModulesSegmentPacked(t *testing.T) {
	fsys := kernelmodulestest.Folder()
	content := func(name string, size int) []byte { return append([]byte("\x7fELF"+name), make([]byte, size)...) }
	fsys["modules.dep"] = kernelmodulestest.Text(
		"kernel/fs/ext4/ext4.ko: kernel/fs/jbd2/jbd2.ko",
		"kernel/fs/jbd2/jbd2.ko:",
		"kernel/drivers/net/ethernet/realtek/r8169.ko: kernel/drivers/net/phy/libphy.ko kernel/drivers/net/phy/large.ko",
		"kernel/drivers/net/phy/libphy.ko:",
		"kernel/drivers/net/phy/large.ko:",
		"kernel/drivers/net/phy/small.ko:",
		"kernel/drivers/net/virtio_net.ko: kernel/net/core/failover.ko",
		"kernel/net/core/failover.ko:",
		"kernel/drivers/usb/host/xhci-hcd.ko: kernel/drivers/usb/common/usb-common.ko",
		"kernel/drivers/usb/common/usb-common.ko:",
	)
	paths := map[string]int{
		"kernel/fs/ext4/ext4.ko": singleFrom, "kernel/fs/jbd2/jbd2.ko": singleFrom, // what no machine boots without
		"kernel/drivers/net/virtio_net.ko": singleFrom, "kernel/net/core/failover.ko": 100, // nearly every one
		"kernel/drivers/net/ethernet/realtek/r8169.ko": singleFrom, "kernel/drivers/net/phy/large.ko": singleFrom,
		"kernel/drivers/net/phy/libphy.ko": singleFrom, "kernel/drivers/usb/common/usb-common.ko": 100, // everyday
		"kernel/drivers/usb/host/xhci-hcd.ko": archiveSize - 100, // has no room beside both
		"kernel/drivers/net/phy/small.ko":     100,
	}
	for name, size := range paths {
		fsys[name] = &fstest.MapFile{Data: content(name, size)}
	}
	x, err := kernelmodules.ReadIndex(fsys)
	if err != nil {
		t.Fatal(err)
	}
	set, err := selectModules(x, []rule{{pattern: "drivers/..."}, {pattern: "fs/..."}}, wishes{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	given := map[string][]byte{}
	a, list, _, err := modulesSegment(fsys, "6.1.0", set, func(plain map[string][]byte) (map[string][]byte, error) {
		given = plain
		packed := map[string][]byte{}
		for name := range plain {
			packed[name] = []byte("packed " + name)
		}
		return packed, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := a.bytes()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"modules.alias": "", "modules.builtin": "", "modules.builtin.modinfo": "", "modules.dep": "", "modules.softdep": ""}
	for _, name := range []string{"kernel/fs/ext4/ext4.ko", "kernel/fs/jbd2/jbd2.ko", "kernel/drivers/net/virtio_net.ko", "kernel/net/core/failover.ko"} {
		want[name] = string(content(name, paths[name]))
	}
	for _, name := range []string{"kernel/drivers/net/ethernet/realtek/r8169.ko.xz", "kernel/drivers/net/phy/large.ko.xz", "packs/1.cpio.zst", "packs/2.cpio.zst", "packs/3.cpio.zst"} {
		want[name] = "packed " + name
	}
	got := map[string]string{}
	for name, b := range contents(t, raw) {
		got[strings.TrimPrefix(name, "lib/modules/6.1.0/")] = b
	}
	dep := got["modules.dep"]
	for name := range want {
		if strings.HasPrefix(name, "modules.") {
			got[name] = ""
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("segment (-want +got):\n%s", diff)
	}
	for file, members := range map[string][]string{
		"packs/1.cpio.zst": {"kernel/drivers/net/phy/libphy.ko", "kernel/drivers/usb/common/usb-common.ko"},
		"packs/2.cpio.zst": {"kernel/drivers/usb/host/xhci-hcd.ko"},
		"packs/3.cpio.zst": {"kernel/drivers/net/phy/small.ko"},
	} {
		want := map[string]string{}
		for _, name := range members {
			want[name] = string(content(name, paths[name]))
		}
		if diff := cmp.Diff(want, contents(t, given[file])); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
		}
	}
	const wantDep = "kernel/drivers/net/ethernet/realtek/r8169.ko.xz: packs/1.cpio.zst/kernel/drivers/net/phy/libphy.ko kernel/drivers/net/phy/large.ko.xz\n"
	if !strings.Contains(dep, wantDep) {
		t.Errorf("modules.dep is\n%s\nwant in it\n%s", dep, wantDep)
	}
	for _, m := range list {
		if want := int64(len(fsys[strings.TrimSuffix(m.Path, singleSuffix)].Data)); m.Bytes != want {
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
	a, list, _, err := modulesSegment(fsys, "6.1.0", set, asIs)
	if err != nil {
		t.Fatal(err)
	}
	if got := []string{list[0].Name, list[1].Name, list[2].Name}; !slices.Equal(got, []string{"r8169", "libphy", "realtek"}) {
		t.Errorf("modulesSegment() lists %v", got)
	}
	const net = ".cpio.zst/kernel/drivers/net/"
	want := map[string]string{
		"lib/modules/6.1.0/modules.dep": "packs/2" + net + "ethernet/realtek/r8169.ko: packs/1" + net + "phy/libphy.ko\n" +
			"packs/1" + net + "phy/libphy.ko:\n" +
			"packs/2" + net + "phy/realtek.ko: packs/1" + net + "phy/libphy.ko\n",
		"lib/modules/6.1.0/modules.softdep":         "softdep r8169 pre: realtek\n",
		"lib/modules/6.1.0/modules.alias":           "alias pci:v000010ECd00008168sv*sd*bc*sc*i* r8169\n",
		"lib/modules/6.1.0/modules.builtin":         "kernel/drivers/block/loop.ko\n",
		"lib/modules/6.1.0/modules.builtin.modinfo": "loop.alias=block-major-7-*\x00",
	}
	raw, err := a.bytes()
	if err != nil {
		t.Fatal(err)
	}
	got := contents(t, raw)
	for name, want := range map[string]map[string]string{
		"1": {"kernel/drivers/net/phy/libphy.ko": "module kernel/drivers/net/phy/libphy.ko"},
		"2": {
			"kernel/drivers/net/ethernet/realtek/r8169.ko": "module r8169",
			"kernel/drivers/net/phy/realtek.ko":            "module kernel/drivers/net/phy/realtek.ko",
		},
	} {
		file := "lib/modules/6.1.0/packs/" + name + ".cpio.zst"
		if diff := cmp.Diff(want, contents(t, []byte(got[file]))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
		}
		delete(got, file)
	}
	if diff := cmp.Diff(want, got); diff != "" {
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
