package integration

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/liveboot/liveboot/integration/livefacts"
	"github.com/liveboot/liveboot/integration/liveiso"
)

// mounted is what the contract says about a mount.
type mounted struct{ Source, Target, Type string }

// checkLive compares what a live system found with the contract: where everything is mounted, that the root is right and
// takes writes, and that nothing of the initramfs is left.
func checkLive(t *testing.T, f *livefacts.Facts, layout liveiso.Layout) {
	t.Helper()
	want := []mounted{
		{"LiveOS_rootfs", "/", "overlay"},
		{"", "/dev", "devtmpfs"}, {"", "/proc", "proc"}, {"", "/sys", "sysfs"}, {"", "/run", "tmpfs"},
		{"", "/run/overlay", "tmpfs"},
		{"/dev/ram0", "/run/overlay/live", "iso9660"},
	}
	if layout == liveiso.RootfsImage {
		want = append(want, mounted{"", "/run/overlay/squashfs_container", "squashfs"}, mounted{"", "/run/overlay/rootfsbase", "ext4"})
	} else {
		want = append(want, mounted{"", "/run/overlay/rootfsbase", "squashfs"})
	}
	for _, w := range want {
		got, ok := f.Mount(w.Target)
		if !ok || got.Type != w.Type || w.Source != "" && got.Source != w.Source {
			t.Errorf("mounted at %s is %+v, want type %s, source %q", w.Target, got, w.Type, w.Source)
		}
	}
	checkOverlay(t, f)
	if f.PID != 1 || len(f.Processes) != 1 {
		t.Errorf("the live init is process %d of %+v, want 1 and no other", f.PID, f.Processes)
	}
	if f.ISODevice != "/dev/ram0" {
		t.Errorf("/run/overlay/isodev points at %q, want /dev/ram0", f.ISODevice)
	}
	if f.KnownSHA256 != liveiso.KnownSHA256() || f.KnownError != "" {
		t.Errorf("digest of %s = %s, %s, want %s", livefacts.KnownFile, f.KnownSHA256, f.KnownError, liveiso.KnownSHA256())
	}
	if f.WriteError != "" {
		t.Errorf("write to /: %s", f.WriteError)
	}
	checkInitramfs(t, f)
	checkAddress(t, f)
	if len(f.Report) == 0 {
		t.Error("there is no report in /run/liveboot/report.json")
	}
}

// checkOverlay looks at the options of the root and of /run.
func checkOverlay(t *testing.T, f *livefacts.Facts) {
	t.Helper()
	root, _ := f.Mount("/")
	options := strings.Split(root.Options, ",")
	for _, want := range []string{"rw", "lowerdir=/run/overlay/rootfsbase", "upperdir=/run/overlay/overlayfs/rw", "workdir=/run/overlay/overlayfs/work"} {
		if !slices.Contains(options, want) {
			t.Errorf("/ is mounted with %s, want %s among it", root.Options, want)
		}
	}
	if run, _ := f.Mount("/run"); slices.Contains(strings.Split(run.Options, ","), "noexec") {
		t.Errorf("/run is mounted with %s, want no noexec", run.Options)
	}
}

// checkInitramfs says which files the handover left behind.
func checkInitramfs(t *testing.T, f *livefacts.Facts) {
	t.Helper()
	var left []livefacts.File
	for _, file := range f.Initramfs {
		if file.Size > 0 {
			left = append(left, file)
		}
	}
	if f.InitramfsError != "" || len(left) > 0 {
		t.Errorf("left in the initramfs: %+v, %s, want nothing", left, f.InitramfsError)
	}
}

// checkAddress says whether the link that the boot's report names has the address that it names.
func checkAddress(t *testing.T, f *livefacts.Facts) {
	t.Helper()
	var report struct {
		Network struct{ Interface, Address string }
	}
	if err := json.Unmarshal(f.Report, &report); err != nil {
		t.Errorf("read the boot's report: %v: %s", err, f.Report)
	}
	has := func(l livefacts.Link) bool {
		return l.Name == report.Network.Interface && slices.Contains(l.Addresses, report.Network.Address)
	}
	if report.Network.Address == "" || !slices.ContainsFunc(f.Links, has) {
		t.Errorf("the links are %+v, want what the boot's report says: %+v", f.Links, report.Network)
	}
}

// checkArguments says whether the live init got what stands behind -- on the kernel line.
func checkArguments(t *testing.T, f *livefacts.Facts, want ...string) {
	t.Helper()
	if diff := cmp.Diff(append([]string{"/sbin/init"}, want...), f.Args); diff != "" {
		t.Errorf("arguments of the live init (-want +got):\n%s", diff)
	}
}
