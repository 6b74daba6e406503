package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/liveboot/liveboot/pkg/stream/manifest"
)

// TestWriteManifest: the file is right, anybody may read it, an older one is replaced, and the option is the last line.
func TestWriteManifest(t *testing.T) {
	folder := t.TempDir()
	image := filepath.Join(folder, "x.iso")
	for _, content := range []string{"old", strings.Repeat("new", 200_000)} {
		if err := os.WriteFile(image, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := writeManifest(t.Context(), &out, image); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(image + ".chunks")
		if err != nil {
			t.Fatal(err)
		}
		m, err := manifest.Parse(data)
		if err != nil || m.Size != int64(len(content)) {
			t.Fatalf("the file is %v, %v, want one of %d bytes", m, err, len(content))
		}
		if info, err := os.Stat(image + ".chunks"); err != nil || info.Mode().Perm() != 0o644 {
			t.Errorf("mode %v, %v, want 0644", info.Mode(), err)
		}
		if want := "\nrd.liveboot.chunks=" + m.Root().String() + "\n"; !strings.HasSuffix(out.String(), want) {
			t.Errorf("said %q, want %q at the end", out.String(), want)
		}
		if want := "\n  minisign -S -s secret.key -m " + image + ".chunks\n"; !strings.Contains(out.String(), want) {
			t.Errorf("said %q, want %q in it", out.String(), want)
		}
		// What sha256sum prints, and reads with -c.
		if want := fmt.Sprintf("\n%x  %s\n", sha256.Sum256([]byte(content)), image); !strings.Contains(out.String(), want) {
			t.Errorf("said %q, want %q in it", out.String(), want)
		}
	}
	leftOver(t, folder, "x.iso", "x.iso.chunks")
}

func TestWriteManifestErrors(t *testing.T) {
	folder := t.TempDir()
	image, empty := filepath.Join(folder, "x.iso"), filepath.Join(folder, "empty.iso")
	if err := os.WriteFile(image, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(folder, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(image+".chunks", 0o700); err != nil {
		t.Fatal(err)
	}
	cancelled, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	for _, tt := range []struct {
		name  string
		ctx   context.Context
		image string
		want  string
	}{
		{"nothing there", t.Context(), filepath.Join(folder, "y.iso"), "y.iso: no such file"},
		{"a folder", t.Context(), folder, "it is no file"},
		{"a pipe", t.Context(), pipe, "pipe: it is no file"},
		{"in the way", t.Context(), image, "write " + image + ".chunks: rename"},
		{"cancelled", cancelled, image, "x.iso: build manifest: after 0 bytes: enough"},
		{"empty", t.Context(), empty, "empty.iso: build manifest: the image has no bytes"},
	} {
		var out bytes.Buffer
		if err := writeManifest(tt.ctx, &out, tt.image); err == nil || !strings.Contains(err.Error(), tt.want) || out.Len() > 0 {
			t.Errorf("%s: writeManifest = %v, said %q, want %q", tt.name, err, &out, tt.want)
		}
	}
	leftOver(t, folder, "empty.iso", "pipe", "x.iso", "x.iso.chunks")
}

// leftOver compares what is in a folder.
func leftOver(t *testing.T, folder string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if got := strings.Join(names, " "); got != strings.Join(want, " ") {
		t.Errorf("%s holds %s, want %s", folder, got, strings.Join(want, " "))
	}
}
