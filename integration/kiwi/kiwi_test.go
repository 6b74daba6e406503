package kiwi

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// copySources copies the script and the description, which make up the ISO's name, to a new folder.
func copySources(t *testing.T) string {
	t.Helper()
	src, err := sourceDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "description"), os.DirFS(filepath.Join(src, "description"))); err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile(filepath.Join(src, "build"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "build"), script, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestPathFollowsContent(t *testing.T) {
	appendTo := func(name string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			f, err := os.OpenFile(filepath.Join(dir, name), os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteString("\n# changed\n"); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	tests := []struct {
		name     string
		args     []string
		change   func(t *testing.T, dir string)
		wantSame bool
	}{
		{name: "nothing", change: func(*testing.T, string) {}, wantSame: true},
		{name: "description", change: appendTo("description/config.sh")},
		{name: "file of the root", change: appendTo("description/root/usr/local/sbin/live-report")},
		{name: "script", change: appendTo("build")},
		{name: "compression", args: []string{"--compression", "xz"}, change: func(*testing.T, string) {}},
		{name: "new file", change: func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, "description/root/new"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "executable bit", change: func(t *testing.T, dir string) {
			if err := os.Chmod(filepath.Join(dir, "description/config.sh"), 0o644); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "other mode bits", change: func(t *testing.T, dir string) {
			if err := os.Chmod(filepath.Join(dir, "description/config.sh"), 0o700); err != nil {
				t.Fatal(err)
			}
		}, wantSame: true},
		{name: "time", change: func(t *testing.T, dir string) {
			if err := os.Chtimes(filepath.Join(dir, "description/config.sh"), time.Time{}, time.Unix(1, 0)); err != nil {
				t.Fatal(err)
			}
		}, wantSame: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("LIVEBOOT_CACHE", t.TempDir())
			dir := copySources(t)
			script := filepath.Join(dir, "build")
			before, err := run(t.Context(), t.Output(), script, "--print-path")
			if err != nil {
				t.Fatal(err)
			}
			tt.change(t, dir)
			after, err := run(t.Context(), t.Output(), script, append(tt.args, "--print-path")...)
			if err != nil {
				t.Fatal(err)
			}
			if got := before == after; got != tt.wantSame {
				t.Errorf("paths %s and %s: same = %t, want %t", before, after, got, tt.wantSame)
			}
		})
	}
}

func TestPathInCache(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("LIVEBOOT_CACHE", cache)
	got, err := run(t.Context(), t.Output(), filepath.Join(copySources(t), "build"), "--print-path")
	if err != nil {
		t.Fatal(err)
	}
	prefix := filepath.Join(cache, "kiwi-live-zstd-")
	if !strings.HasPrefix(got, prefix) || !strings.HasSuffix(got, ".iso") || len(got) != len(prefix)+16+len(".iso") {
		t.Errorf("build --print-path = %s, want %s and 16 digits and .iso", got, prefix)
	}
}

func TestCachedISONeedsNoBuild(t *testing.T) {
	t.Setenv("LIVEBOOT_CACHE", t.TempDir())
	script := filepath.Join(copySources(t), "build")
	want, err := run(t.Context(), t.Output(), script, "--print-path")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(want, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := run(t.Context(), t.Output(), script)
	if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("build with the ISO in the cache = %s, want %s", got, want)
	}
}

func TestWrongArguments(t *testing.T) {
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"option", []string{"--fast"}, "unknown argument --fast"},
		{"compression", []string{"--compression", "lzma"}, "compression lzma: zstd and xz are possible"},
		{"no compression", []string{"--compression"}, "zstd and xz are possible"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var stderr strings.Builder
			script := filepath.Join(copySources(t), "build")
			path, err := run(t.Context(), io.MultiWriter(&stderr, t.Output()), script, tt.args...)
			if err == nil {
				t.Errorf("build %v = %s, want an error", tt.args, path)
			}
			if !strings.Contains(stderr.String(), tt.want) {
				t.Errorf("build %v said %q, want %q in it", tt.args, stderr.String(), tt.want)
			}
		})
	}
}
