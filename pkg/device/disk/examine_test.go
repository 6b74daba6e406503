package disk

import (
	"io/fs"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/liveboot/liveboot/pkg/partition"
	"github.com/liveboot/liveboot/pkg/probe"
)

func TestContentLinks(t *testing.T) {
	ext4 := probe.Content{Kind: probe.KindFileSystem, Name: "ext4", Label: "my data", UUID: "7a08e9e0-f591-485b-ad73-320306b2cc41"}
	damaged := ext4
	damaged.State = probe.Damaged
	for _, tt := range []struct {
		name     string
		contents []probe.Content
		entry    partition.Entry
		want     []string
	}{
		{"a file system", []probe.Content{ext4}, partition.Entry{},
			[]string{"by-uuid/7a08e9e0-f591-485b-ad73-320306b2cc41", `by-label/my\x20data`}},
		{"without a label", []probe.Content{{Kind: probe.KindSwap, UUID: "1"}}, partition.Entry{}, []string{"by-uuid/1"}},
		{"encrypted", []probe.Content{{Kind: probe.KindEncrypted, Label: "LUKS"}}, partition.Entry{}, []string{"by-label/LUKS"}},
		{"damaged", []probe.Content{damaged}, partition.Entry{}, nil},
		{"a table", []probe.Content{{Kind: probe.KindPartitionTable, UUID: "1"}}, partition.Entry{}, nil},
		{"a member", []probe.Content{{Kind: probe.KindMember, Label: "host:0"}, ext4}, partition.Entry{}, nil},
		{"what was one once", []probe.Content{ext4, {Kind: probe.KindMember, State: probe.Damaged}}, partition.Entry{},
			[]string{"by-uuid/7a08e9e0-f591-485b-ad73-320306b2cc41", `by-label/my\x20data`}},
		{"its entry", nil, partition.Entry{UUID: "1-01", Name: "a/b"}, []string{"by-partuuid/1-01", `by-partlabel/a\x2fb`}},
		{"a folder", []probe.Content{{Kind: probe.KindFileSystem, Label: ".."}}, partition.Entry{}, []string{"by-label/.."}},
	} {
		if diff := cmp.Diff(tt.want, contentLinks(tt.contents, tt.entry)); diff != "" {
			t.Errorf("%s: names (-want +got):\n%s", tt.name, diff)
		}
	}
}

// Partitions have names by their disk, and by its table where that is the one that the kernel goes by.
func TestPartitions(t *testing.T) {
	data := make([]byte, 1<<20)
	copy(data[440:], "\xc4\x49\xce\x21")                                                 // the disk's id
	copy(data[446:], "\x00\x00\x00\x00\x83\x00\x00\x00\x40\x00\x00\x00\x40\x00\x00\x00") // 64 sectors from 64 on
	copy(data[510:], "\x55\xaa")
	b := newBench()
	b.plug("vda", data)
	b.plug("vda1", data[:32<<10])
	b.plug("vda2", data[:32<<10])
	for name, start := range map[string]string{"vda1": "64\n", "vda2": "128\n"} {
		dir := "devices/virtual/block/vda/" + name
		for _, file := range []string{"uevent", "dev", "size", "ro"} {
			b.sys[dir+"/"+file] = b.sys["devices/virtual/block/"+name+"/"+file]
		}
		b.sys[dir+"/partition"], b.sys[dir+"/start"] = &fstest.MapFile{Data: []byte(name[3:])}, &fstest.MapFile{Data: []byte(start)}
		b.sys["class/block/"+name] = &fstest.MapFile{Mode: fs.ModeSymlink, Data: []byte("../../" + dir)}
	}
	devices, err := b.system().List()
	if err != nil || len(devices) != 3 {
		t.Fatalf("List = %v, %v", devices, err)
	}
	for i, want := range []Device{
		{
			Name: "vda1", Path: "/dev/vda1", Disk: "vda", Partition: 1, Start: 32 << 10, Size: 32 << 10, SectorSize: 512, Model: "virtio",
			Links: []string{"disk/by-id/virtio-S-vda-part1", "disk/by-partuuid/21ce49c4-01"},
		},
		{
			Name: "vda2", Path: "/dev/vda2", Disk: "vda", Partition: 2, Start: 64 << 10, Size: 32 << 10, SectorSize: 512, Model: "virtio",
			Links: []string{"disk/by-id/virtio-S-vda-part2"},
		},
	} {
		got := devices[i+1]
		got.Contents = nil
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", want.Name, diff)
		}
	}
}
