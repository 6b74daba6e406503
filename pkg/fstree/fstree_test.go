package fstree_test

import (
	"errors"
	"io/fs"
	"testing"
	"testing/fstest"
	"time"

	"github.com/liveboot/liveboot/pkg/fstree"
)

// sample is a tree with links of every kind.
func sample(t *testing.T) *fstree.Memory {
	t.Helper()
	m := fstree.NewMemory()
	for _, f := range []struct {
		name, content string
		mode          fs.FileMode
	}{
		{"usr/lib/modules/a.ko", "module", 0o644},
		{"./etc/empty", "", 0o600},
		{"lib", "usr/lib", fs.ModeSymlink | 0o777},
		{"/etc/absolute", "/usr/lib/modules/a.ko", fs.ModeSymlink | 0o777},
		{"usr/up", "../../../etc/empty", fs.ModeSymlink | 0o777}, // no further up than the root
		{"usr/lib/twice", "../../lib/modules", fs.ModeSymlink | 0o777},
		{"loop", "loop", fs.ModeSymlink | 0o777},
		{"dangling", "nowhere", fs.ModeSymlink | 0o777},
	} {
		if err := m.Add(f.name, f.mode, time.Unix(86400, 0), []byte(f.content)); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func TestOpen(t *testing.T) {
	fsys := fstree.New(sample(t))
	tests := []struct {
		in, want string
		wantErr  error
	}{
		{in: "usr/lib/modules/a.ko", want: "module"},
		{in: "lib/modules/a.ko", want: "module"},
		{in: "etc/absolute", want: "module"},
		{in: "usr/up", want: ""},
		{in: "usr/lib/twice/a.ko", want: "module"},
		{in: "loop", wantErr: fstree.ErrLoop},
		{in: "dangling", wantErr: fs.ErrNotExist},
		{in: "lib/modules/a.ko/x", wantErr: fs.ErrNotExist},
		{in: "../etc", wantErr: fs.ErrInvalid},
	}
	for _, tt := range tests {
		t.Run(tt.in, func(t *testing.T) {
			got, err := fs.ReadFile(fsys, tt.in)
			if !errors.Is(err, tt.wantErr) || string(got) != tt.want {
				t.Errorf("ReadFile(%q) = %q, %v, want %q, %v", tt.in, got, err, tt.want, tt.wantErr)
			}
		})
	}
}

func TestReadLink(t *testing.T) {
	fsys := fstree.New(sample(t))
	if got, err := fsys.ReadLink("lib"); err != nil || got != "usr/lib" {
		t.Errorf("ReadLink(lib) = %q, %v, want usr/lib", got, err)
	}
	if _, err := fsys.ReadLink("etc/empty"); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("ReadLink(etc/empty) = %v, want fs.ErrInvalid", err)
	}
	if info, err := fsys.Lstat("dangling"); err != nil || info.Mode().Type() != fs.ModeSymlink {
		t.Errorf("Lstat(dangling) = %v, %v, want a symbolic link", info, err)
	}
	if _, err := fsys.Lstat("nothing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Lstat(nothing) = %v, want fs.ErrNotExist", err)
	}
}

func TestMemoryAdd(t *testing.T) {
	m := sample(t)
	for name, mode := range map[string]fs.FileMode{"a/../b": 0o644, "etc/empty/below": 0o644, "lib/below-a-link": 0o644} {
		if err := m.Add(name, mode, time.Time{}, nil); err == nil {
			t.Errorf("Add(%q) = nil, want an error", name)
		}
	}
	// A folder that comes later keeps what is in it.
	if err := m.Add("usr/lib", fs.ModeDir|0o700, time.Time{}, nil); err != nil {
		t.Fatal(err)
	}
	if info, err := fs.Stat(fstree.New(m), "usr/lib"); err != nil || info.Mode() != fs.ModeDir|0o700 {
		t.Errorf("usr/lib is %v, %v, want drwx------", info, err)
	}
	if _, err := fs.Stat(fstree.New(m), "usr/lib/modules/a.ko"); err != nil {
		t.Error(err)
	}
}

func TestMemoryAddFrom(t *testing.T) {
	outside := fstest.MapFS{"x": {Data: []byte("outside"), Mode: 0o640}, "folder": {Mode: fs.ModeDir}}
	m := fstree.NewMemory()
	if err := m.AddFrom("a/x", outside, "x"); err != nil {
		t.Fatal(err)
	}
	if err := m.AddFrom("b/x", fstree.New(m), "a/x"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a/x", "b/x"} {
		b, err := fs.ReadFile(fstree.New(m), name)
		info, statErr := fs.Stat(fstree.New(m), name)
		if err != nil || statErr != nil || string(b) != "outside" || info.Size() != 7 || info.Mode() != 0o640 {
			t.Errorf("%s = %q, %v, %v", name, b, err, info)
		}
	}
	if err := m.AddFrom("c", outside, "folder"); err == nil {
		t.Error("AddFrom(folder) = nil, want an error")
	}
	if err := m.AddFrom("c", outside, "nothing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("AddFrom(nothing) = %v, want fs.ErrNotExist", err)
	}
}

func TestIsAnFS(t *testing.T) {
	m := fstree.NewMemory()
	for _, name := range []string{"a/b/c", "d"} {
		if err := m.Add(name, 0o644, time.Unix(1, 0), []byte(name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Add("l", fs.ModeSymlink|0o777, time.Unix(1, 0), []byte("a/b")); err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(fstree.New(m), "a/b/c", "d", "l"); err != nil {
		t.Error(err)
	}
}
