// Command kexecguest is process 1 of the machine that tries out how another kernel is started. Under the first kernel it has the images in
// /kernels refused, each for its reason, makes an initramfs out of the running one and the modules below /other, and starts /kernels/good with
// it. Under the second it compares what it finds with what it left. It says what comes of it in lines that begin with "kexecguest:", and
// powers the machine off.
package main

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/integration/guest"
	"github.com/liveboot/liveboot/pkg/kernel/mount"
	"github.com/liveboot/liveboot/pkg/kernel/power"
)

// previous is where the second kernel finds what the first has left: its release.
const previous = "/etc/kexecguest/previous"

// disk is what the first kernel writes to until the end.
const (
	disk       = "/dev/vda"
	mountPoint = "/run/disk"
	written    = "written before the other kernel started\n"
)

func main() {
	if err := run(); err != nil {
		fmt.Printf("kexecguest: failed: %v\n", err)
	}
	if err := power.Do(power.PowerOff); err != nil {
		fmt.Printf("kexecguest: %v\n", err)
	}
}

func run() error {
	for _, p := range []mount.Point{
		{Source: "proc", Target: "/proc", Type: "proc"},
		{Source: "sysfs", Target: "/sys", Type: "sysfs"},
		{Source: "devtmpfs", Target: "/dev", Type: "devtmpfs"},
		{Source: "tmpfs", Target: "/run", Type: "tmpfs"},
	} {
		if err := errors.Join(os.MkdirAll(p.Target, 0o755), mount.System{}.Mount(p)); err != nil {
			return err
		}
	}
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return err
	}
	release := unix.ByteSliceToString(name.Release[:])
	if err := guest.LoadModules(); err != nil {
		return fmt.Errorf("load the modules of %s: %w", release, err)
	}
	if before, err := os.ReadFile(previous); err == nil {
		return second(string(before), release)
	}
	return first(release)
}
