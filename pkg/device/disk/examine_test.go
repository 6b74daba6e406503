package disk

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/liveboot/liveboot/pkg/probe"
)

func TestContentLinks(t *testing.T) {
	ext4 := probe.Content{Kind: probe.KindFileSystem, Name: "ext4", Label: "my data", UUID: "7a08e9e0-f591-485b-ad73-320306b2cc41"}
	damaged := ext4
	damaged.State = probe.Damaged
	for _, tt := range []struct {
		name     string
		contents []probe.Content
		entry    entry
		want     []string
	}{
		{"a file system", []probe.Content{ext4}, entry{}, []string{"by-uuid/7a08e9e0-f591-485b-ad73-320306b2cc41", `by-label/my\x20data`}},
		{"without a label", []probe.Content{{Kind: probe.KindSwap, UUID: "1"}}, entry{}, []string{"by-uuid/1"}},
		{"encrypted", []probe.Content{{Kind: probe.KindEncrypted, Label: "LUKS"}}, entry{}, []string{"by-label/LUKS"}},
		{"damaged", []probe.Content{damaged}, entry{}, nil},
		{"a table", []probe.Content{{Kind: probe.KindPartitionTable, UUID: "1"}}, entry{}, nil},
		{"a member", []probe.Content{{Kind: probe.KindMember, Label: "host:0"}, ext4}, entry{}, nil},
		{"what was one once", []probe.Content{ext4, {Kind: probe.KindMember, State: probe.Damaged}}, entry{},
			[]string{"by-uuid/7a08e9e0-f591-485b-ad73-320306b2cc41", `by-label/my\x20data`}},
		{"its entry", nil, entry{"1-01", "a/b"}, []string{"by-partuuid/1-01", `by-partlabel/a\x2fb`}},
		{"a folder", []probe.Content{{Kind: probe.KindFileSystem, Label: ".."}}, entry{}, []string{"by-label/.."}},
	} {
		if diff := cmp.Diff(tt.want, contentLinks(tt.contents, tt.entry)); diff != "" {
			t.Errorf("%s: names (-want +got):\n%s", tt.name, diff)
		}
	}
}
