package disk

import (
	"errors"
	"strings"
	"testing"

	"github.com/liveboot/liveboot/pkg/probe"
)

func content(name, label string) []probe.Content {
	return []probe.Content{{Kind: probe.KindFileSystem, Name: name, Label: label}}
}

// shelf are the devices of a machine.
func shelf() []Device {
	return []Device{
		{Name: "cciss!c0d0", Path: "/dev/cciss/c0d0", Size: 1 << 30},
		{
			Name: "sda", Path: "/dev/sda", Size: 8 << 30, Model: "Fast Disk",
			Links: []string{"disk/by-id/ata-Fast_Disk_1", "disk/by-label/same", "disk/by-path/pci-0000:00:1f.2-ata-1"},
		},
		{
			Name: "sda1", Path: "/dev/sda1", Disk: "sda", Partition: 1, Size: 1 << 30, Start: 1 << 20,
			Links: []string{
				"disk/by-label/my\\x20data\\x2f1", "disk/by-uuid/95A1-AF59", "disk/by-partuuid/2f1bc864-01", "disk/by-partlabel/Größe",
			},
		},
		{Name: "sdb", Path: "/dev/sdb", Size: 1 << 30, Links: []string{"disk/by-label/same"}},
		{Name: "sdc", Path: "/dev/sdc", Size: 1 << 30, Links: []string{"disk/by-label/CDROM"}, Contents: content("iso9660", "CDROM")},
		{
			Name: "sdc1", Path: "/dev/sdc1", Disk: "sdc", Partition: 1, Size: 1 << 29, Links: []string{"disk/by-label/CDROM"},
			Contents: content("iso9660", "CDROM"),
		},
		{Name: "sdc2", Path: "/dev/sdc2", Disk: "sdc", Partition: 2, Size: 1 << 28, Links: []string{"disk/by-label/twice"}},
		{Name: "sdc3", Path: "/dev/sdc3", Disk: "sdc", Partition: 3, Size: 1 << 28, Links: []string{"disk/by-label/twice"}},
		{
			Name: "sdd", Path: "/dev/sdd", Size: 1 << 30,
			Links: []string{"disk/by-id/scsi-35000", "disk/by-id/wwn-0x5000", "disk/by-path/fc-1-lun-0"},
		},
		{
			Name: "sde", Path: "/dev/sde", Size: 1 << 30,
			Links: []string{"disk/by-id/scsi-35000", "disk/by-id/wwn-0x5000", "disk/by-path/fc-2-lun-0"},
		},
		{Name: "sdf", Path: "/dev/sdf", Size: 1 << 30, Links: []string{"disk/by-id/scsi-39", "disk/by-id/wwn-0x9"}},
		{Name: "sdg", Path: "/dev/sdg", Size: 2 << 30, Links: []string{"disk/by-id/scsi-39", "disk/by-id/wwn-0x9"}},
		{Name: "vda", Path: "/dev/vda", Size: 1 << 30, Links: []string{"disk/by-id/virtio-x"}},
		{Name: "vdb", Path: "/dev/vdb", Size: 1 << 30, Links: []string{"disk/by-id/virtio-x"}},
		{Name: "sr0", Path: "/dev/sr0", Size: 1 << 30, Links: []string{"cdrom", "disk/by-label/a disc"}, Contents: content("udf", "a disc")},
	}
}

func TestFind(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"path", "/dev/sda", "sda"},
		{"name", "sda1", "sda1"},
		{"path with a folder", "/dev/cciss/c0d0", "cciss!c0d0"},
		{"name with an exclamation mark", "cciss!c0d0", "cciss!c0d0"},
		{"a path that is not clean", "/dev//disk/by-id/../by-id/ata-Fast_Disk_1", "sda"},
		{"a link outside of disk", "/dev/cdrom", "sr0"},
		{"by-id", "/dev/disk/by-id/ata-Fast_Disk_1", "sda"},
		{"without /dev", "disk/by-id/ata-Fast_Disk_1", "sda"},
		{"by-path", "/dev/disk/by-path/pci-0000:00:1f.2-ata-1", "sda"},
		{"ID=", "ID=ata-Fast_Disk_1", "sda"},
		{"label as udev writes it", `LABEL=my\x20data\x2f1`, "sda1"},
		{"label as a person does", `LABEL="my data/1"`, "sda1"},
		{"all in quotes", `'LABEL=my data/1'`, "sda1"},
		{"by-label with a space", "/dev/disk/by-label/my data\\x2f1", "sda1"},
		{"UUID", "UUID=95A1-AF59", "sda1"},
		{"UUID in other letters", "UUID=95a1-af59", "sda1"},
		{"by-uuid in other letters", "/dev/disk/by-uuid/95a1-af59", "sda1"},
		{"PARTUUID", "PARTUUID=2F1BC864-01", "sda1"},
		{"PARTLABEL", "PARTLABEL=Größe", "sda1"},
		{"CDLABEL", "CDLABEL=CDROM", "sdc1"},
		{"CDLABEL of a UDF", `CDLABEL="a disc"`, "sr0"},
		{"CDLABEL as udev writes it", `CDLABEL=a\x20disc`, "sr0"},
		{"a stick and its partitions", "LABEL=CDROM", "sdc1"},
		{"two ways to one disk", "/dev/disk/by-id/wwn-0x5000", "sdd"},
	} {
		if got, err := Find(shelf(), tt.in); got.Name != tt.want || err != nil {
			t.Errorf("%s: Find(%s) = %s, %v, want %s", tt.name, tt.in, got.Name, err, tt.want)
		}
	}
}

func TestFindFails(t *testing.T) {
	missing, ambiguous := new(NotFoundError), new(AmbiguousError)
	for _, tt := range []struct {
		name, in string
		as       any
		says     string
	}{
		{"no such disk", "/dev/sdz", &missing,
			"find device /dev/sdz: it is not there; there are /dev/cciss/c0d0 (1.0 GiB), /dev/sda (8.0 GiB, Fast Disk), "},
		{"no such label", "LABEL=x", &missing, "find device LABEL=x: it is not there; "},
		{"labels in other letters", "LABEL=cdrom", &missing, `(1.0 GiB, udf "a disc"); partitions have the labels "CDROM" on /dev/sdc1`},
		{"by-id in other letters", "/dev/disk/by-id/ATA-Fast_Disk_1", &missing, "not there"},
		{"CDLABEL of what is no disc", "CDLABEL=same", &missing, "not there"},
		{"two disks of one label", "LABEL=same", &ambiguous,
			"find device LABEL=same: it could be any of /dev/sda (8.0 GiB, Fast Disk), /dev/sdb (1.0 GiB); use"},
		{"two partitions of one disk", "LABEL=twice", &ambiguous, "any of /dev/sdc2 (256.0 MiB), /dev/sdc3 (256.0 MiB); "},
		{"one World Wide Name, two sizes", "/dev/disk/by-id/wwn-0x9", &ambiguous, "any of /dev/sdf (1.0 GiB), /dev/sdg (2.0 GiB); "},
		{"one serial number, two disks", "/dev/disk/by-id/virtio-x", &ambiguous, "any of /dev/vda"},
		{"nothing", "", nil, "this is no name"},
		{"not in /dev", "/etc/passwd", nil, "this is no name"},
		{"a folder", "/dev/disk/by-id", nil, "a name is missing behind by-id/"},
		{"no value", "LABEL=", nil, "nothing stands behind the ="},
		{"an unknown key", "LABLE=x", nil, "LABLE= is unknown"},
	} {
		got, err := Find(shelf(), tt.in)
		if err == nil || !strings.Contains(err.Error(), tt.says) || tt.as != nil && !errors.As(err, tt.as) {
			t.Errorf("%s: Find(%s) = %s, %v, want %q", tt.name, tt.in, got.Name, err, tt.says)
		}
	}
	if _, err := Find(nil, "sda"); err == nil || err.Error() != "find device sda: there is no disk at all" {
		t.Errorf("without disks: %v", err)
	}
	err := &NotFoundError{Name: "x", Empty: []string{"/dev/sr0"}, Silent: []string{"/dev/sdb"}}
	if want := "find device x: it is not there; there are /dev/sr0 (no medium in it), /dev/sdb (does not answer)"; err.Error() != want {
		t.Errorf("NotFoundError: %q, want %q", err, want)
	}
}

func TestSizeText(t *testing.T) {
	for in, want := range map[int64]string{
		512: "512 B", 1 << 10: "1.0 KiB", 64 << 20: "64.0 MiB", 8001563222016: "7.3 TiB", 1 << 62: "4.0 EiB",
	} {
		if got := sizeText(in); got != want {
			t.Errorf("sizeText(%d) = %s, want %s", in, got, want)
		}
	}
}

func FuzzFind(f *testing.F) {
	for _, s := range []string{"LABEL=my data/1", "/dev/disk/by-uuid/95a1-af59", `"CDLABEL=x"`, "sda"} {
		f.Add(s)
	}
	devices := shelf()
	f.Fuzz(func(t *testing.T, name string) {
		if d, err := Find(devices, name); err == nil && d.Name == "" {
			t.Errorf("Find(%q) = nothing and no error", name)
		}
	})
}
