package debroot

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
)

// Whatever makes another ISO makes another name in the cache.
func TestDigest(t *testing.T) {
	file := func(content string) fs.FS { return fstest.MapFS{"etc/x": {Data: []byte(content)}} }
	seen := make(map[string]string)
	for name, s := range map[string]System{
		"one":           {Name: "a", Packages: []string{"p"}, Files: file("x")},
		"other name":    {Name: "b", Packages: []string{"p"}, Files: file("x")},
		"other package": {Name: "a", Packages: []string{"q"}, Files: file("x")},
		"other command": {Name: "a", Packages: []string{"p"}, Commands: []string{"true"}, Files: file("x")},
		"other file":    {Name: "a", Packages: []string{"p"}, Files: file("y")},
	} {
		d, err := s.digest()
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[string(d)]; ok {
			t.Errorf("digest of %q = %x, the same as of %q", name, d, other)
		}
		seen[string(d)] = name
	}
}

// A file is made once, and not at all when its making fails; nothing but it and its lock stays.
func TestOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	failure := errors.New("no")
	made := 0
	for _, want := range []error{failure, nil, nil} {
		got, err := once(file, func(_, path string) error {
			made++
			return errors.Join(want, os.WriteFile(path, []byte("x"), 0o644))
		})
		if !errors.Is(err, want) || err == nil && got != file {
			t.Errorf("once = %q, %v, want %v", got, err, want)
		}
	}
	if made != 2 {
		t.Errorf("it was made %d times, want twice: once in vain", made)
	}
	entries, err := os.ReadDir(filepath.Dir(file))
	if err != nil || len(entries) != 2 {
		t.Errorf("left are %v, %v, want the file and its lock", entries, err)
	}
}

func TestAdapt(t *testing.T) {
	root := t.TempDir()
	if err := errors.Join(os.Mkdir(filepath.Join(root, "etc"), 0o755), os.WriteFile(filepath.Join(root, "etc/hostname"), []byte("builder\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	s := System{Files: fstest.MapFS{"etc/rc.local": {Data: []byte("#!/bin/sh\n")}, "opt/data": {Data: []byte("x")}}}
	if err := s.adapt(root); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "etc/hostname")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the builder's host name is in the image: %v", err)
	}
	for name, want := range map[string]fs.FileMode{"etc/rc.local": 0o755, "opt/data": 0o644} {
		if info, err := os.Stat(filepath.Join(root, name)); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v, want mode %v", name, info, err, want)
		}
	}
	if b, err := os.ReadFile(filepath.Join(root, "opt/data")); err != nil || !bytes.Equal(b, []byte("x")) {
		t.Errorf("opt/data holds %q, %v", b, err)
	}
}
