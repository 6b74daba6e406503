package boot

import (
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/console"
	"github.com/liveboot/liveboot/pkg/device"
	"github.com/liveboot/liveboot/pkg/device/disk"
	"github.com/liveboot/liveboot/pkg/kernel/block"
	"github.com/liveboot/liveboot/pkg/kernel/clock"
	"github.com/liveboot/liveboot/pkg/kernel/dm"
	"github.com/liveboot/liveboot/pkg/kernel/kexec"
	"github.com/liveboot/liveboot/pkg/kernel/loop"
	"github.com/liveboot/liveboot/pkg/kernel/module"
	"github.com/liveboot/liveboot/pkg/kernel/mount"
	"github.com/liveboot/liveboot/pkg/kernel/uevent"
	"github.com/liveboot/liveboot/pkg/live"
	"github.com/liveboot/liveboot/pkg/network"
	"github.com/liveboot/liveboot/pkg/network/arp"
	"github.com/liveboot/liveboot/pkg/network/dhcp4"
	"github.com/liveboot/liveboot/pkg/network/dhcp6"
	"github.com/liveboot/liveboot/pkg/network/reach"
	"github.com/liveboot/liveboot/pkg/network/router"
	"github.com/liveboot/liveboot/pkg/network/rtnl"
	"github.com/liveboot/liveboot/pkg/plan"
	"github.com/liveboot/liveboot/pkg/stream/daemon"
	"github.com/liveboot/liveboot/pkg/target"
)

// NewRoot is where the live system's root is mounted. It is outside of /run, which is moved into it.
const NewRoot = "/sysroot"

// ThisMachine returns the running machine. Pause is called before stages at which the plan stops for a person.
func ThisMachine(pause func(plan.Stage) error) (Machine, error) {
	root := os.DirFS("/")
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return Machine{}, fmt.Errorf("read the kernel's version: %w", err)
	}
	version := strings.TrimSpace(string(release))
	return Machine{
		Root: "/", Sys: os.DirFS("/sys"), Proc: root, Version: imageVersion(root), Release: version,
		Modules: func(s device.Spec) (Modules, error) {
			return module.Open("/", version, new(module.System), module.Options{Blacklist: s.Blacklist, Parameters: s.Parameters})
		},
		Uevents: func() (Uevents, error) { return uevent.Listen() },
		Mounter: mount.System{},
		Loops:   loop.System{},
		Network: network.Environment{
			Kernel: &rtnl.System{}, Prober: arp.Prober{},
			Prepare: func(l network.Link) error { return router.Prepare("/proc/sys", l.Name) },
		},
		Clients:        clients,
		Clock:          clock.System{},
		Reach:          reach.Any,
		Size:           block.Size,
		OpenTarget:     func(device string) (target.Writer, error) { return block.OpenWriter(device) },
		Open:           func(path string) (live.File, error) { return os.Open(path) },
		Disks:          disk.Local(),
		OpenDisk:       func(path string) (DiskWriter, error) { return block.OpenDisk(path) },
		ReadPartitions: block.ReadPartitions,
		StartStream:    func(j daemon.Job) (Streaming, error) { return daemon.Start("/proc/self/exe", os.Environ(), j) },
		Map:            mapPart,
		Kexec:          kexec.System{},
		Uptime:         console.Uptime,
		Base:           live.DefaultBase, NewRoot: NewRoot,
		Pause: pause,
	}, nil
}

// mapPart shows a part of a disk by the device mapper.
func mapPart(name, disk string, offset, size int64) (string, error) {
	var stat unix.Stat_t
	if err := unix.Stat(disk, &stat); err != nil {
		return "", &os.PathError{Op: "stat", Path: disk, Err: err}
	}
	control, err := dm.Open()
	if err != nil {
		return "", err
	}
	defer control.Close()
	d, err := control.Create(name, dm.Linear{Device: stat.Rdev, Offset: offset, Size: size, Writable: true})
	if err != nil {
		return "", err
	}
	return d.Path, nil
}

// clients returns those of the running kernel.
func clients(t network.Timeouts, earlier map[string]netip.Addr) map[network.Method]network.Client {
	all := dhcp6.Clients(t)
	all[network.DHCP4] = dhcp4.Client{Firmware: dhcp4.ReadFirmware(os.DirFS("/sys"), runtime.GOARCH), Earlier: earlier}
	return all
}
