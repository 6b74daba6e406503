package initramfs

import (
	"maps"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/liveboot/liveboot/pkg/kernelmodules"
	"github.com/liveboot/liveboot/pkg/kernelmodules/kernelmodulestest"
)

func TestWishes(t *testing.T) {
	fsys := kernelmodulestest.Folder()
	fsys["modules.weakdep"] = kernelmodulestest.Text("weakdep brd fs-ext4 no-such-module")
	x, err := kernelmodules.ReadIndex(fsys)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name    string
		rules   []rule
		wishes  wishes
		need    []requirement
		want    map[string]string
		wantErr string
	}{
		{
			name: "reasons", rules: []rule{{pattern: "drivers/net/ethernet/..."}},
			want: map[string]string{"r8169": "rule drivers/net/ethernet/...", "libphy": "needed by r8169", "realtek": "softdep of r8169"},
		},
		{
			name: "by name", wishes: wishes{with: []string{"ath*"}},
			want: map[string]string{"ath9k": "-drivers ath*", "private": "softdep of ath9k"},
		},
		{
			name: "by path", wishes: wishes{with: []string{"drivers/net/wireless/...", "kernel/fs/mbcache.ko", "updates/dkms/*"}},
			want: map[string]string{"ath9k": "-drivers drivers/net/wireless/...", "mbcache": "-drivers kernel/fs/mbcache.ko", "private": "-drivers updates/dkms/*"},
		},
		{
			name: "weak", rules: []rule{{pattern: "drivers/block/..."}},
			want: map[string]string{"brd": "rule drivers/block/...", "ext4": "weakdep of brd", "jbd2": "needed by ext4", "mbcache": "needed by ext4", "crc32c_generic": "softdep of ext4"},
		},
		{
			name: "left out, soft ones too", rules: []rule{{pattern: "fs/..."}}, wishes: wishes{without: []string{"fs/*/...", "crc32c-generic"}, with: []string{"ext4"}},
			want: map[string]string{"ext4": "-drivers ext4", "jbd2": "needed by ext4", "mbcache": "rule fs/..."},
		},
		{name: "built in", wishes: wishes{with: []string{"loop", "drivers/block/loop"}}, want: map[string]string{}},
		{name: "mistyped name", wishes: wishes{with: []string{"r8168"}}, wantErr: "did you mean r8169?"},
		{name: "mistyped path", wishes: wishes{without: []string{"drivers/net/etherne/..."}}, wantErr: "did you mean drivers/net/ethernet/...?"},
		{name: "mistyped file", wishes: wishes{without: []string{"fs/ext3/ext4"}}, wantErr: "did you mean fs/ext4/ext4?"},
		{name: "bad pattern", wishes: wishes{with: []string{"[a"}}, wantErr: "wildcards"},
		{name: "empty", wishes: wishes{without: []string{""}}, wantErr: "wildcards"},
		{name: "required", rules: []rule{{pattern: "..."}}, wishes: wishes{without: []string{"brd"}}, need: requirements(), wantErr: "-no-drivers leaves out what no live image boots without: brd"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			set, err := selectModules(x, tt.rules, tt.wishes, tt.need)
			if !errorContains(err, tt.wantErr) {
				t.Fatalf("selectModules() = %v, want error with %q", err, tt.wantErr)
			}
			if err != nil {
				return
			}
			if diff := cmp.Diff(tt.want, set.Why); diff != "" {
				t.Errorf("selectModules() (-want +got):\n%s", diff)
			}
			if _, ok := set.Files()["modules.weakdep"]; ok != slices.Contains(slices.Collect(maps.Keys(set.Why)), "brd") {
				t.Errorf("modules.weakdep is in the image: %v", ok)
			}
		})
	}
}

// TestReplacedModule: a driver that updates/ replaces is chosen by the place of the one that it replaces.
func TestReplacedModule(t *testing.T) {
	x, err := kernelmodules.ReadIndex(fstest.MapFS{
		"modules.dep":   {Data: []byte("updates/dkms/r8169.ko:\nupdates/dkms/other.ko:\n")},
		"modules.order": {Data: []byte("kernel/drivers/net/ethernet/realtek/r8169.ko\n")},
	})
	if err != nil {
		t.Fatal(err)
	}
	set, err := selectModules(x, []rule{{pattern: "drivers/net/ethernet/..."}}, wishes{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := set.Why["r8169"]; !ok || len(set.Why) != 1 {
		t.Errorf("selectModules takes %v, want r8169 and no other", set.Why)
	}
}
