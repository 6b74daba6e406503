package kernelmodules_test

import (
	"context"
	"errors"
	"io/fs"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/liveboot/liveboot/pkg/kernel/module"
	"github.com/liveboot/liveboot/pkg/kernelmodules"
	"github.com/liveboot/liveboot/pkg/kernelmodules/kernelmodulestest"
)

func TestTake(t *testing.T) {
	const card = "pci:v000010ECd00008168sv00001043sd00008554bc02sc00i00"
	for _, tt := range []struct {
		name    string
		wanted  []string
		modules []string
		missing []string
	}{
		{"by alias, with what it needs", []string{card}, []string{"r8169", "libphy", "realtek"}, nil},
		{"file system", []string{"fs-ext4"}, []string{"crc32c_generic", "ext4", "jbd2", "mbcache"}, nil},
		{"built in, and nowhere", []string{"loop", "nothing", "brd"}, []string{"brd"}, []string{"nothing"}},
		{"none", []string{}, nil, nil},
		{"an alias of a module that is gone", []string{"gone-too"}, nil, []string{"gone-too"}},
		{"all", nil, []string{"crc32c_generic", "brd", "r8169", "libphy", "realtek", "ath9k", "ext4", "isofs", "jbd2", "mbcache", "overlay", "squashfs", "private"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			folder := kernelmodulestest.Folder()
			folder["modules.alias"].Data = append(folder["modules.alias"].Data, "alias gone-too gone\n"...)
			got, err := kernelmodules.Take(t.Context(), folder, tt.wanted)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.modules, got.Modules); diff != "" {
				t.Errorf("Take(%v) modules (-want +got):\n%s", tt.wanted, diff)
			}
			if diff := cmp.Diff(tt.missing, got.Missing); diff != "" {
				t.Errorf("Take(%v) missing (-want +got):\n%s", tt.wanted, diff)
			}
			var bytes int64
			for _, name := range got.Modules {
				b, err := fs.ReadFile(got.FS, pathOf(t, got.FS, name))
				if err != nil {
					t.Error(err)
				}
				bytes += int64(len(b))
			}
			if bytes != got.Bytes {
				t.Errorf("Take(%v) says %d bytes, and they have %d", tt.wanted, got.Bytes, bytes)
			}
		})
	}
}

// pathOf is where a module lies in a folder, without the suffix of a compression.
func pathOf(t *testing.T, folder fs.FS, name string) string {
	t.Helper()
	x, err := kernelmodules.ReadIndex(folder)
	if err != nil {
		t.Fatal(err)
	}
	if kernelmodules.Compression(x.Paths[name]) != "" {
		t.Errorf("%s is %s, want it unpacked", name, x.Paths[name])
	}
	return x.Paths[name]
}

// TestTakeForLoader: what is taken is what pkg/kernel/module reads.
func TestTakeForLoader(t *testing.T) {
	taken, err := kernelmodules.Take(t.Context(), kernelmodulestest.Folder(), []string{"fs-ext4", "r8169"})
	if err != nil {
		t.Fatal(err)
	}
	x, err := module.ReadIndex(taken.FS, ".")
	if err != nil {
		t.Fatal(err)
	}
	if got := x.Resolve("fs-ext4"); !cmp.Equal(got, []string{"ext4"}) || !x.Has("jbd2") || !x.Builtin("loop") || x.Has("ath9k") {
		t.Errorf("fs-ext4 is %v, jbd2 %v, loop built in %v, ath9k %v", got, x.Has("jbd2"), x.Builtin("loop"), x.Has("ath9k"))
	}
	if b, err := fs.ReadFile(taken.FS, "kernel/drivers/net/ethernet/realtek/r8169.ko"); err != nil || string(b) != "module r8169" {
		t.Errorf("r8169 holds %q, %v, want it unpacked", b, err)
	}
}

func TestTakeErrors(t *testing.T) {
	folder := kernelmodulestest.Folder()
	delete(folder, "kernel/fs/isofs/isofs.ko")
	if _, err := kernelmodules.Take(t.Context(), folder, []string{"isofs"}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Take of a module that is not there = %v, want %v", err, fs.ErrNotExist)
	}
	delete(folder, "modules.dep")
	if _, err := kernelmodules.Take(t.Context(), folder, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Take without an index = %v, want %v", err, fs.ErrNotExist)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := kernelmodules.Take(ended, kernelmodulestest.Folder(), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Take after the end = %v, want %v", err, context.Canceled)
	}
}
