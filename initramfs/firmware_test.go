package initramfs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/liveboot/liveboot/pkg/kernelmodules/depmod/depmodtest"
)

func TestFirmwareOf(t *testing.T) {
	tests := []struct {
		name string
		in   []byte
		want []string
	}{
		{"several", depmodtest.Module("license=GPL", "firmware=rtl_nic/a.fw", "depends=", "firmware=b-*.bin"), []string{"rtl_nic/a.fw", "b-*.bin"}},
		{"none", depmodtest.Module("license=GPL"), nil},
		{"outside", depmodtest.Module("firmware=../../etc/shadow", "firmware=/etc/shadow"), nil},
		{"text", []byte("firmware=a"), nil},
		{"empty", nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, firmwareOf(tt.in)); diff != "" {
				t.Errorf("firmwareOf() (-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzFirmwareOf(f *testing.F) {
	f.Add(depmodtest.Module("firmware=a"))
	f.Fuzz(func(t *testing.T, module []byte) { firmwareOf(module) })
}

func TestFirmwareNames(t *testing.T) {
	n := firmwareNames{}
	n.add("r8169", "a", "a")
	n.add("r8152", "a", "b")
	n.addBuiltin([]string{"tg3.firmware=b", "tg3.license=GPL"})
	want := firmwareNames{"a": {"r8169", "r8152"}, "b": {"r8152", "tg3"}}
	if diff := cmp.Diff(want, n); diff != "" {
		t.Errorf("firmwareNames (-want +got):\n%s", diff)
	}
}

// firmwareFolder is a small /lib/firmware with everything that is found in
// real ones.
func firmwareFolder(t *testing.T) string {
	dir := t.TempDir()
	for name, content := range map[string][]byte{
		"plain.bin":              []byte("plain"),
		"rtl_nic/x.fw.xz":        mustXZ([]byte("x")),
		"both.bin":               []byte("preferred"),
		"both.bin.zst":           []byte("never read"),
		"updates/newer.bin":      []byte("newer"),
		"newer.bin":              []byte("older"),
		"brcm/a-sdio.bin":        []byte("a"),
		"brcm/b-sdio.bin.zst":    mustZstd([]byte("b")),
		"brcm/unwanted.txt":      []byte("u"),
		"qed/real.bin.xz":        mustXZ([]byte("real")),
		"6.1.0/of-release.bin":   []byte("release"),
		"../elsewhere/other.bin": []byte("outside"),
	} {
		write(t, filepath.Join(dir, name), content)
	}
	for name, target := range map[string]string{
		"qed/link.bin.xz":  "real.bin.xz",
		"deep/er/link.bin": "../../plain.bin",
		"second.bin":       "deep/er/link.bin",
		"absolute.bin":     "/lib/firmware/plain.bin",
		"outside.bin":      "../elsewhere/other.bin",
		"broken.bin":       "nowhere.bin",
		"loop.bin":         "loop.bin",
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, file); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFirmwareTree(t *testing.T) {
	type content map[string]string
	tests := []struct {
		name  string
		in    string
		files content // in the image, below lib/firmware
		links content
	}{
		{"plain", "plain.bin", content{"plain.bin": "plain"}, nil},
		{"compressed", "rtl_nic/x.fw", content{"rtl_nic/x.fw": "x"}, nil},
		{"both", "both.bin", content{"both.bin": "preferred"}, nil},
		{"updates first", "newer.bin", content{"updates/newer.bin": "newer"}, nil},
		{"of the release", "of-release.bin", content{"6.1.0/of-release.bin": "release"}, nil},
		{"pattern", "brcm/*-sdio.bin", content{"brcm/a-sdio.bin": "a", "brcm/b-sdio.bin": "b"}, nil},
		{"link, compressed", "qed/link.bin", content{"qed/real.bin": "real"}, content{"qed/link.bin": "real.bin"}},
		{"links in a row", "second.bin", content{"plain.bin": "plain"}, content{"second.bin": "deep/er/link.bin", "deep/er/link.bin": "../../plain.bin"}},
		{"absolute link", "absolute.bin", content{"absolute.bin": "plain"}, nil},
		{"out of the tree", "outside.bin", content{"outside.bin": "outside"}, nil},
		{"link to nowhere", "broken.bin", nil, nil},
		{"link to itself", "loop.bin", nil, nil},
		{"missing", "missing.bin", nil, nil},
		{"pattern of nothing", "missing-*.bin", nil, nil},
	}
	dir := firmwareFolder(t)
	// An absolute link is followed by the host, which has other files there.
	absolute := filepath.Join(dir, "absolute.bin")
	if err := os.Remove(absolute); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "plain.bin"), absolute); err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tree := newFirmwareTree(os.DirFS(dir), "6.1.0")
			found, err := tree.add(tt.in, []string{"driver"})
			if err != nil || found != (tt.files != nil) {
				t.Fatalf("add(%q) = %v, %v, want %v", tt.in, found, err, tt.files != nil)
			}
			raw, err := tree.files.bytes()
			if err != nil {
				t.Fatal(err)
			}
			got := content{}
			for name, c := range contents(t, raw) {
				got[strings.TrimPrefix(name, firmwareRoot+"/")] = c
			}
			if diff := cmp.Diff(tt.files, got); diff != "" && len(tt.files)+len(got) > 0 {
				t.Errorf("add(%q): files (-want +got):\n%s", tt.in, diff)
			}
			links := content{}
			for _, f := range tree.list() {
				if f.Link != "" {
					links[f.Path] = f.Link
				}
			}
			if diff := cmp.Diff(tt.links, links); diff != "" && len(tt.links)+len(links) > 0 {
				t.Errorf("add(%q): links (-want +got):\n%s", tt.in, diff)
			}
		})
	}
}

func TestFirmwareDamaged(t *testing.T) {
	tree := newFirmwareTree(fstest.MapFS{"a.bin.xz": {Data: []byte("\xfd7zXZ\x00damaged")}}, "6.1.0")
	if _, err := tree.add("a.bin", nil); !errorContains(err, "a.bin.xz") {
		t.Errorf("add(damaged) = %v, want an error that names a.bin.xz", err)
	}
}

func TestRelative(t *testing.T) {
	tests := []struct{ folder, target, want string }{
		{".", "a", "a"},
		{".", "b/a", "b/a"},
		{"b", "b/a", "a"},
		{"b/c", "b/a", "../a"},
		{"b", "c/a", "../c/a"},
	}
	for _, tt := range tests {
		if got := relative(tt.folder, tt.target); got != tt.want {
			t.Errorf("relative(%q, %q) = %q, want %q", tt.folder, tt.target, got, tt.want)
		}
	}
}
