package initramfs

import (
	"context"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func textFile(lines ...string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte(strings.Join(lines, "\n") + "\n")}
}

// modulesFolder is a small lib/modules/<version>.
func modulesFolder() fstest.MapFS {
	fsys := fstest.MapFS{
		"modules.dep": textFile(
			"kernel/fs/ext4/ext4.ko: kernel/fs/jbd2/jbd2.ko kernel/fs/mbcache.ko",
			"kernel/fs/jbd2/jbd2.ko:",
			"kernel/fs/mbcache.ko:",
			"kernel/crypto/crc32c_generic.ko:",
			"kernel/drivers/block/brd.ko:",
			"kernel/drivers/net/ethernet/realtek/r8169.ko.gz: kernel/drivers/net/phy/libphy.ko",
			"kernel/drivers/net/phy/libphy.ko:",
			"kernel/drivers/net/phy/realtek.ko: kernel/drivers/net/phy/libphy.ko",
			"kernel/drivers/net/wireless/ath/ath9k/ath9k.ko:",
			"kernel/fs/isofs/isofs.ko:",
			"kernel/fs/overlayfs/overlay.ko:",
			"kernel/fs/squashfs/squashfs.ko:",
			"updates/dkms/private.ko:",
		),
		"modules.softdep": textFile(
			"# Soft dependencies extracted from modules themselves.",
			"softdep ext4 pre: crypto-crc32c",
			"softdep r8169 pre: realtek",
			"softdep ath9k post: private",
		),
		"modules.alias": textFile(
			"alias crypto-crc32c crc32c_generic",
			"alias crypto-crc32c-generic crc32c_generic",
			"alias fs-ext4 ext4",
			"alias pci:v000010ECd00008168sv*sd*bc*sc*i* r8169",
			"alias pci:v0000168Cd0000002Asv*sd*bc*sc*i* ath9k",
		),
		"modules.builtin":         textFile("kernel/drivers/block/loop.ko"),
		"modules.builtin.modinfo": {Data: []byte("loop.license=GPL\x00loop.alias=block-major-7-*\x00")},
	}
	for line := range strings.Lines(string(fsys["modules.dep"].Data)) {
		file, _, _ := strings.Cut(line, ":")
		fsys[file] = &fstest.MapFile{Data: []byte("module " + file)}
	}
	fsys["kernel/drivers/net/ethernet/realtek/r8169.ko.gz"].Data = mustGzip("module r8169")
	return fsys
}

func mustGzip(s string) []byte {
	b, err := compressGzip(context.Background(), []byte(s))
	if err != nil {
		panic(err)
	}
	return b
}

func TestResolve(t *testing.T) {
	x, err := readModuleIndex(modulesFolder())
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, in    string
		want        []string
		wantBuiltin bool
	}{
		{name: "module", in: "ext4", want: []string{"ext4"}},
		{name: "dash for underscore", in: "crc32c-generic", want: []string{"crc32c_generic"}},
		{name: "alias", in: "fs-ext4", want: []string{"ext4"}},
		{name: "modalias", in: "pci:v000010ECd00008168sv00001043sd0000", want: nil},
		{name: "whole modalias", in: "pci:v000010ECd00008168sv00001043sd00008554bc02sc00i00", want: []string{"r8169"}},
		{name: "built in", in: "loop", wantBuiltin: true},
		{name: "built-in alias", in: "block-major-7-0", wantBuiltin: true},
		{name: "unknown", in: "nothing"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, builtin := x.resolve(tt.in)
			if diff := cmp.Diff(tt.want, got); diff != "" || builtin != tt.wantBuiltin {
				t.Errorf("resolve(%q) = %v, %v, want %v, %v", tt.in, got, builtin, tt.want, tt.wantBuiltin)
			}
		})
	}
}

func TestReadModuleIndexErrors(t *testing.T) {
	tests := []struct {
		name, file, content, want string
	}{
		{"no colon", "modules.dep", "kernel/a.ko", "line 1: no colon"},
		{"escape", "modules.dep", "../../etc/shadow.ko:", "not a path below"},
		{"softdep", "modules.softdep", "alias a b", "is not a softdep"},
		{"weakdep", "modules.weakdep", "weakdep a", "is not a weakdep"},
		{"alias", "modules.alias", "\nalias a", "line 2"},
		{"modinfo", "modules.builtin.modinfo", "loop", "want module.key=value"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fsys := modulesFolder()
			fsys[tt.file] = &fstest.MapFile{Data: []byte(tt.content)}
			if _, err := readModuleIndex(fsys); !errorContains(err, tt.want) {
				t.Errorf("readModuleIndex() = %v, want error with %q", err, tt.want)
			}
		})
	}
	if _, err := readModuleIndex(fstest.MapFS{}); !errorContains(err, "modules.dep") {
		t.Errorf("readModuleIndex(empty) = %v, want error with modules.dep", err)
	}
}

func FuzzModuleIndex(f *testing.F) {
	folder := modulesFolder()
	f.Add(folder["modules.dep"].Data, folder["modules.softdep"].Data, folder["modules.alias"].Data, folder["modules.builtin.modinfo"].Data, []byte("weakdep brd ext4\n"))
	f.Add([]byte("a.ko: b.ko\nb.ko: a.ko\n"), []byte("softdep a pre: b\nsoftdep b post: a x*"), []byte("alias [ a\nalias x* b"), []byte("a.b=c\x00"), []byte("weakdep a x* b"))
	f.Fuzz(func(t *testing.T, dep, soft, aliases, info, weak []byte) {
		x, err := readModuleIndex(fstest.MapFS{
			"modules.dep": {Data: dep}, "modules.softdep": {Data: soft},
			"modules.alias": {Data: aliases}, "modules.builtin.modinfo": {Data: info},
			"modules.weakdep": {Data: weak},
		})
		if err != nil {
			return
		}
		set, err := selectModules(x, []rule{{pattern: "drivers/..."}, {pattern: "fs/*"}}, wishes{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for name := range set.why {
			for _, d := range x.deps[name] {
				if x.paths[d] != "" && set.why[d] == "" {
					t.Errorf("%s is in, %s that it needs is not", name, d)
				}
			}
		}
		// What is written must be readable again.
		again := fstest.MapFS{}
		for name, content := range set.indexFiles() {
			again[name] = &fstest.MapFile{Data: []byte(content)}
		}
		if _, err := readModuleIndex(again); err != nil {
			t.Errorf("index written from %q, %q, %q, %q, %q: %v", dep, soft, aliases, info, weak, err)
		}
	})
}
