package kernelmodules_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/liveboot/liveboot/pkg/kernelmodules"
	"github.com/liveboot/liveboot/pkg/kernelmodules/kernelmodulestest"
)

// errorContains says whether err is as wanted; no text means no error.
func errorContains(err error, want string) bool {
	if want == "" || err == nil {
		return want == "" && err == nil
	}
	return strings.Contains(err.Error(), want)
}

func TestResolve(t *testing.T) {
	x, err := kernelmodules.ReadIndex(kernelmodulestest.Folder())
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
			got, builtin := x.Resolve(tt.in)
			if diff := cmp.Diff(tt.want, got); diff != "" || builtin != tt.wantBuiltin {
				t.Errorf("Resolve(%q) = %v, %v, want %v, %v", tt.in, got, builtin, tt.want, tt.wantBuiltin)
			}
		})
	}
}

func TestReadIndexErrors(t *testing.T) {
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
			fsys := kernelmodulestest.Folder()
			fsys[tt.file] = &fstest.MapFile{Data: []byte(tt.content)}
			if _, err := kernelmodules.ReadIndex(fsys); !errorContains(err, tt.want) {
				t.Errorf("ReadIndex() = %v, want error with %q", err, tt.want)
			}
		})
	}
	if _, err := kernelmodules.ReadIndex(fstest.MapFS{}); !errorContains(err, "modules.dep") {
		t.Errorf("ReadIndex(empty) = %v, want error with modules.dep", err)
	}
}

func FuzzReadIndex(f *testing.F) {
	folder := kernelmodulestest.Folder()
	f.Add(folder["modules.dep"].Data, folder["modules.softdep"].Data, folder["modules.alias"].Data, folder["modules.builtin.modinfo"].Data, []byte("weakdep brd ext4\n"))
	f.Add([]byte("a.ko: b.ko\nb.ko: a.ko\n"), []byte("softdep a pre: b\nsoftdep b post: a x*"), []byte("alias [ a\nalias x* b"), []byte("a.b=c\x00"), []byte("weakdep a x* b"))
	f.Fuzz(func(t *testing.T, dep, soft, aliases, info, weak []byte) {
		x, err := kernelmodules.ReadIndex(fstest.MapFS{
			"modules.dep": {Data: dep}, "modules.softdep": {Data: soft},
			"modules.alias": {Data: aliases}, "modules.builtin.modinfo": {Data: info},
			"modules.weakdep": {Data: weak},
		})
		if err != nil {
			return
		}
		set := &kernelmodules.Set{Index: x, Why: map[string]string{}}
		for name := range x.Paths {
			if strings.HasPrefix(x.Paths[name], "kernel/") {
				set.Why[name] = "asked for"
			}
		}
		set.Close()
		for name := range set.Why {
			for _, d := range x.Deps[name] {
				if x.Paths[d] != "" && set.Why[d] == "" {
					t.Errorf("%s is in, %s that it needs is not", name, d)
				}
			}
		}
		// What is written must be readable again.
		again := fstest.MapFS{}
		for name, content := range set.Files() {
			again[name] = &fstest.MapFile{Data: []byte(content)}
		}
		if _, err := kernelmodules.ReadIndex(again); err != nil {
			t.Errorf("index written from %q, %q, %q, %q, %q: %v", dep, soft, aliases, info, weak, err)
		}
	})
}
