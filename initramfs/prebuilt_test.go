package initramfs

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestPrebuilt: with commands that were compiled beforehand the image is the same, and is made without Go, source and cache.
func TestPrebuilt(t *testing.T) {
	root := fakeMachine(t, "CONFIG_RD_ZSTD=y\n")
	compiled := smallConfig(t, root)
	compiled.Committed = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	want, err := Build(t.Context(), compiled)
	if err != nil {
		t.Fatal(err)
	}
	prefix := t.TempDir()
	before := compiled
	before.Output = filepath.Join(prefix, "lib/liveboot")
	if err := Prebuild(t.Context(), before); err != nil {
		t.Fatal(err)
	}

	folder, err := FindPrebuilt(filepath.Join(prefix, "bin/mkinitramfs"))
	if err != nil || folder == "" {
		t.Fatalf("FindPrebuilt() = %q, %v, want the folder that Prebuild wrote", folder, err)
	}
	t.Setenv("PATH", filepath.Dir(zstdOrNothing(t)))
	for _, name := range []string{"HOME", "XDG_CACHE_HOME", "LIVEBOOT_CACHE"} {
		t.Setenv(name, "")
	}
	c := Config{Root: root, Arch: "amd64", Prebuilt: folder, Output: filepath.Join(t.TempDir(), "out")}
	got, err := Build(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("manifest (-compiled +prebuilt):\n%s", diff)
	}
	for _, name := range []string{"vmlinuz", "initrd", "initrd.json"} {
		a, err1 := os.ReadFile(filepath.Join(compiled.Output, name))
		b, err2 := os.ReadFile(filepath.Join(c.Output, name))
		if err1 != nil || err2 != nil || !bytes.Equal(a, b) {
			t.Errorf("%s of %d bytes (%v) compiled, %d bytes (%v) prebuilt: want the same", name, len(a), err1, len(b), err2)
		}
	}

	for _, tt := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"other commands", func(c *Config) { c.Commands = []string{uroot + "core/cat"} }, "need Go and the source"},
		{"another init", func(c *Config) { c.Init = uroot + "core/cat" }, "need Go and the source"},
		{"no such folder", func(c *Config) { c.Prebuilt = t.TempDir() }, "read the compiled commands"},
		{"an architecture less", func(c *Config) { c.Prebuilt = folderFor(t, `{"init":"x/init","archs":["arm64"]}`) }, "compiled for arm64 only"},
		{"nonsense", func(c *Config) { c.Prebuilt = folderFor(t, `{`) }, prebuiltFile},
	} {
		c := c
		tt.change(&c)
		if _, err := Build(t.Context(), c); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Build() = %v, want an error with %q", tt.name, err, tt.want)
		}
	}
}

// zstdOrNothing is the zstd program in a folder of its own, or the name of none.
func zstdOrNothing(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "zstd")
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if _, err := os.Stat(filepath.Join(dir, "zstd")); err == nil {
			if err := os.Symlink(filepath.Join(dir, "zstd"), name); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	return name
}

// folderFor is a folder of compiled commands that is described so.
func folderFor(t *testing.T, description string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, prebuiltFile), []byte(description))
	return dir
}

func TestFindPrebuilt(t *testing.T) {
	if got, err := FindPrebuilt(filepath.Join(t.TempDir(), "bin/mkinitramfs")); got != "" || err != nil {
		t.Errorf("FindPrebuilt() = %q, %v where nothing is installed, want nothing", got, err)
	}
}
