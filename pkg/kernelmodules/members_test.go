package kernelmodules_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/liveboot/liveboot/pkg/initrd"
	"github.com/liveboot/liveboot/pkg/initrd/initrdtest"
	"github.com/liveboot/liveboot/pkg/kernelmodules"
	"github.com/liveboot/liveboot/pkg/kernelmodules/kernelmodulestest"
)

func TestMembers(t *testing.T) {
	packed := string(initrdtest.Zstd(initrdtest.Newc("kernel/", "kernel/a.ko a", "kernel/b.ko b")))
	in := initrdtest.Newc("usr/", "usr/lib/modules/6.1/kernel/c.ko c", "usr/lib/modules/6.1/packs/1.cpio.zst "+packed, "root/1.cpio.zst other", "packs/readme text")
	got, err := initrdtest.List(t, func(f func(initrd.File) error) error { return initrd.Read(in, kernelmodules.Members(f)) })
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"usr/", "usr/lib/modules/6.1/kernel/c.ko c",
		"usr/lib/modules/6.1/kernel/", "usr/lib/modules/6.1/kernel/a.ko a", "usr/lib/modules/6.1/kernel/b.ko b",
		"root/1.cpio.zst other", "packs/readme text",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Members() (-want +got):\n%s", diff)
	}
}

// TestMembersDamaged: the archive is named.
func TestMembersDamaged(t *testing.T) {
	packed := initrdtest.Zstd(initrdtest.Newc("kernel/a.ko a"))
	in := initrdtest.Newc("lib/modules/6.1/packs/1.cpio.zst " + string(packed[:len(packed)-1]))
	err := initrd.Read(in, kernelmodules.Members(func(initrd.File) error { return nil }))
	if err == nil || !strings.Contains(err.Error(), "lib/modules/6.1/packs/1.cpio.zst: ") {
		t.Errorf("Read() = %v, want an error that names the archive", err)
	}
	err = kernelmodules.Members(func(initrd.File) error { return nil })(initrd.File{Name: "packs/1.cpio.zst", Size: 1 << 30})
	if err == nil || !strings.Contains(err.Error(), "1073741824 bytes") {
		t.Errorf("a large archive: %v, want an error that says so", err)
	}
}

// TestReadIndexArchived: what lies in an archive has its own path, whatever the archive.
func TestReadIndexArchived(t *testing.T) {
	x, err := kernelmodules.ReadIndex(fstest.MapFS{"modules.dep": kernelmodulestest.Text(
		"packs/1.cpio.zst/kernel/drivers/net/b-c.ko: packs/2.cpio.zst/kernel/lib/d.ko kernel/e.ko", "packs/2.cpio.zst/kernel/lib/d.ko:", "kernel/e.ko:",
	)})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"b_c": "kernel/drivers/net/b-c.ko", "d": "kernel/lib/d.ko", "e": "kernel/e.ko"}, x.Paths); diff != "" {
		t.Errorf("Paths (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"d", "e"}, x.Deps["b_c"]); diff != "" {
		t.Errorf("Deps (-want +got):\n%s", diff)
	}
}
