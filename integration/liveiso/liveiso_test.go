package liveiso

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Each layout has its volume id and its container, and is found again in the cache.
func TestBuild(t *testing.T) {
	tests := []struct {
		name string
		in   Config
		want string // what xorriso says of the ISO
	}{
		{"rootfs image", Config{Layout: RootfsImage}, "'/LiveOS/squashfs.img'"},
		{"flat", Config{Layout: Squashfs}, "'/LiveOS/squashfs.img'"},
		{"padded", Config{Layout: Squashfs, PadMiB: 1}, "'/padding'"},
		{"GPT", Config{Layout: Squashfs, Table: GPT}, "GPT entry array    :      2  248  separated"},
		{"MBR", Config{Layout: Squashfs, Table: MBR}, "MBR partition      :   1   0x80  0xcd           64"},
		{"no root", Config{Layout: NoRoot}, "'/boot'"},
		{"empty root", Config{Layout: EmptyRoot}, "'/LiveOS/squashfs.img'"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file, err := Build(t.Context(), tt.in)
			if err != nil {
				t.Fatal(err)
			}
			again, err := Build(t.Context(), tt.in)
			if err != nil || again != file {
				t.Errorf("Build(%+v) again = %s, %v, want %s", tt.in, again, err, file)
			}
			out, err := exec.CommandContext(t.Context(), "xorriso",
				"-indev", file, "-find", "/", "--", "-pvd_info", "-report_system_area", "plain").CombinedOutput()
			if err != nil {
				t.Fatalf("xorriso: %v\n%s", err, out)
			}
			if !strings.Contains(string(out), tt.want) || !strings.Contains(string(out), "Volume Id    : "+VolumeID) {
				t.Errorf("Build(%+v) is\n%s\nwant %s and volume id %s", tt.in, out, tt.want, VolumeID)
			}
			if info, err := os.Stat(file); err != nil || info.Size() > 16<<20 {
				t.Errorf("Build(%+v) has %d bytes, %v, want a few MB", tt.in, info.Size(), err)
			}
		})
	}
}
