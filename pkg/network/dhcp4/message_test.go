package dhcp4

import (
	"testing"
	"testing/fstest"
)

func TestReadFirmware(t *testing.T) {
	const uuid = "33221100-5544-7766-8899-aabbccddeeff\n"
	wire := [16]byte{0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}
	const id, size = "class/dmi/id/product_uuid", "firmware/efi/fw_platform_size"
	for _, tt := range []struct {
		name, goarch string
		sysfs        map[string]string
		want         Firmware
	}{
		{"BIOS", "amd64", map[string]string{id: uuid}, Firmware{0, [3]byte{1, 2, 1}, wire}},
		{"UEFI", "amd64", map[string]string{id: uuid, size: "64\n"}, Firmware{7, [3]byte{1, 3, 0}, wire}},
		{"UEFI of 32 bits", "amd64", map[string]string{id: uuid, size: "32\n"}, Firmware{6, [3]byte{1, 3, 0}, wire}},
		{"arm64", "arm64", map[string]string{size: "64\n"}, Firmware{11, [3]byte{1, 3, 0}, [16]byte{}}},
		{"arm64 with a device tree", "arm64", nil, Firmware{}},
		{"another", "riscv64", nil, Firmware{}},
		{"no UUID", "arm64", map[string]string{id: "Not Settable\n"}, Firmware{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sysfs := fstest.MapFS{}
			for name, data := range tt.sysfs {
				sysfs[name] = &fstest.MapFile{Data: []byte(data)}
			}
			if got := ReadFirmware(sysfs, tt.goarch); got != tt.want {
				t.Errorf("ReadFirmware = %+v, want %+v", got, tt.want)
			}
		})
	}
}
