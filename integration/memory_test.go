package integration

import (
	"os"
	"testing"

	"github.com/liveboot/liveboot/integration/liveiso"
	"github.com/liveboot/liveboot/qemu"
)

// overhead is what a live system of the tests has in use beside its image, in bytes: the kernel, its modules, and what
// liveinit reads.
const overhead = 150 << 20

// An image of 256 MiB is in memory once, and boots a machine with 640 MiB.
func TestOneCopyInMemory(t *testing.T) {
	full(t)
	t.Parallel()
	iso := liveISO(t, liveiso.Config{Layout: liveiso.RootfsImage, PadMiB: 256})
	info, err := os.Stat(iso)
	if err != nil {
		t.Fatal(err)
	}
	m := boot(t, "ip=dhcp root=live:"+nginx(t, iso, nil), func(c *qemu.Config) { c.MemoryMiB = 640 })
	f := m.facts()
	checkLive(t, f, liveiso.RootfsImage)
	used := f.Memory["MemTotal"] - f.Memory["MemAvailable"]
	if used > info.Size()+overhead {
		t.Errorf("%d MB of memory are in use, want at most the image's %d MB and %d", used/1e6, info.Size()/1e6, overhead/1000000)
	}
	t.Logf("in use: %d MB, of which the image %d", used/1e6, info.Size()/1e6)
}
