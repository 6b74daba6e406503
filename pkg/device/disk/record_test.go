package disk

import (
	"bytes"
	"encoding/json"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/liveboot/liveboot/pkg/device/disk/disktest"
)

// recorded are the machines of the test in package integration, which also says how they were recorded.
func recorded(t *testing.T) map[string]*disktest.Machine {
	t.Helper()
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recorded machines: %v", err)
	}
	all := make(map[string]*disktest.Machine)
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var m disktest.Machine
		if err := json.Unmarshal(data, &m); err != nil {
			t.Fatal(err)
		}
		all[strings.TrimSuffix(filepath.Base(file), ".json")] = &m
	}
	return all
}

// replay is a recorded machine. What was on its disks is not recorded.
func replay(m *disktest.Machine) System {
	return System{Sys: m.FS(), Command: m.Answer, Open: func(file string) (Reader, error) {
		if m.Names[path.Base(file)] == nil {
			return nil, ErrNoMedium
		}
		return image{Reader: bytes.NewReader(make([]byte, 1<<10))}, nil
	}}
}

// Devices of recorded machines have the names that udev gave them, except for those by what is on them.
func TestRecorded(t *testing.T) {
	byContent := regexp.MustCompile(`^disk/by-(uuid|label|partuuid|partlabel)/`)
	for name, m := range recorded(t) {
		devices, err := replay(m).List()
		if err != nil {
			t.Fatal(err)
		}
		if len(devices) != len(m.Names) {
			t.Errorf("%s: List finds %d devices, and udev %d", name, len(devices), len(m.Names))
		}
		for _, d := range devices {
			for _, link := range m.Names[d.Name] {
				if !byContent.MatchString(link) && !slices.Contains(d.Links, link) {
					t.Errorf("%s: %s has no name %s, only %q", name, d.Name, link, d.Links)
				}
				if got, err := Find(devices, "/dev/"+link); !byContent.MatchString(link) && err == nil && got.Name != d.Name {
					t.Errorf("%s: Find(%s) = %s, want %s", name, link, got.Name, d.Name)
				}
			}
		}
	}
}

// All that is known of devices of a recorded machine.
func TestRecordedDevices(t *testing.T) {
	m := recorded(t)["express"]
	devices, err := replay(m).List()
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]Device)
	for _, d := range devices {
		got[d.Name] = d
	}
	for _, want := range []Device{
		{
			Name: "sda", Path: "/dev/sda", Size: 64 << 20, SectorSize: 512, Model: "Fast Disk/2 (v1)", Links: []string{
				"disk/by-diskseq/7",
				"disk/by-id/ata-Fast_Disk_2__v1__QM_0001",
				"disk/by-id/scsi-0ATA_Fast_Disk_2__v1_QM_0001",
				"disk/by-id/scsi-0ATA_Fast_Disk_2__v1__QM_0001",
				"disk/by-id/scsi-1ATA_Fast_Disk_2__v1__QM_0001",
				"disk/by-id/scsi-35000c50015ea71aa",
				"disk/by-id/scsi-SATA_Fast_Disk_2__v1_QM_0001",
				"disk/by-id/scsi-SATA_Fast_Disk_2__v1__QM_0001",
				"disk/by-id/wwn-0x5000c50015ea71aa",
				"disk/by-path/pci-0000:00:1f.2-ata-1",
				"disk/by-path/pci-0000:00:1f.2-ata-1.0",
				"disk/by-path/pci-0000:00:1f.2-scsi-0:0:0:0",
			},
		},
		{
			Name: "mmcblk0p5", Path: "/dev/mmcblk0p5", Disk: "mmcblk0", Partition: 5, Start: 17 << 20, Size: 8 << 20, SectorSize: 512,
			Model: "QEMU!", Links: []string{"disk/by-diskseq/1-part5", "disk/by-id/mmc-QEMU__0xdeadbeef-part5"},
		},
		{
			Name: "sr0", Path: "/dev/sr0", Size: got["sr0"].Size, SectorSize: 2048, Removable: true, ReadOnly: got["sr0"].ReadOnly,
			Model: "QEMU DVD-ROM", Links: []string{
				"cdrom", "disk/by-diskseq/11", "disk/by-id/ata-QEMU_DVD-ROM_CD0001", "disk/by-id/scsi-0QEMU_QEMU_DVD-ROM_CD0001",
				"disk/by-id/scsi-1ATA_QEMU_DVD-ROM_CD0001", "disk/by-path/pci-0000:00:1f.2-ata-3", "disk/by-path/pci-0000:00:1f.2-ata-3.0",
				"disk/by-path/pci-0000:00:1f.2-scsi-0:0:0:0",
			},
		},
	} {
		if diff := cmp.Diff(want, got[want.Name]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", want.Name, diff)
		}
	}
}
