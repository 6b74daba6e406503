// Package boot runs a plan: it brings the live ISO to the machine, mounts the root inside it, and makes sure that the
// machine can be handed over. Run is the list of what happens.
package boot

import (
	"context"
	"fmt"
	"io/fs"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/liveboot/liveboot/pkg/clock"
	"github.com/liveboot/liveboot/pkg/device"
	"github.com/liveboot/liveboot/pkg/fetch"
	"github.com/liveboot/liveboot/pkg/handoff"
	"github.com/liveboot/liveboot/pkg/kernel/kexec"
	"github.com/liveboot/liveboot/pkg/kernel/loop"
	"github.com/liveboot/liveboot/pkg/kernel/memory"
	"github.com/liveboot/liveboot/pkg/kernel/mount"
	"github.com/liveboot/liveboot/pkg/kernel/uevent"
	"github.com/liveboot/liveboot/pkg/live"
	"github.com/liveboot/liveboot/pkg/network"
	"github.com/liveboot/liveboot/pkg/network/reach"
	"github.com/liveboot/liveboot/pkg/overlay"
	"github.com/liveboot/liveboot/pkg/plan"
	"github.com/liveboot/liveboot/pkg/stream/daemon"
	"github.com/liveboot/liveboot/pkg/target"
)

// Console is what a boot tells people; *console.Console is one.
type Console interface {
	Stagef(stage, format string, args ...any)
	Warnf(format string, args ...any)
	Debugf(format string, args ...any)
	Progress(stage string, done, size int64)
	ProgressDone()
}

// Modules loads drivers; *module.Loader is one.
type Modules interface {
	Load(name string) ([]string, error)
	Names(name string) []string
	LoadWith(name, parameters string) error
}

// A Machine is what is booted.
type Machine struct {
	// Root is the path of the root folder of the initramfs: "/".
	Root string
	// Sys is the folder /sys, Proc the file system that holds "proc".
	Sys, Proc fs.FS
	// Version is that of the image, Release that of the running kernel.
	Version, Release string
	// Modules opens the drivers of the image.
	Modules func(device.Spec) (Modules, error)
	// Uevents starts to listen for devices.
	Uevents func() (Uevents, error)
	Mounter mount.Mounter
	Loops   loop.Attacher
	// Network is the kernel's network, and Clients get addresses, earlier ones of DHCP (by the cards' hardware addresses) once more where the
	// server lets them; Up's other needs come from the plan.
	Network network.Environment
	Clients func(t network.Timeouts, earlier map[string]netip.Addr) map[network.Method]network.Client
	// Reach returns a network.Environment.Reach for the image's servers.
	Reach func([]reach.Endpoint) func(context.Context, network.Link, network.Lease) error
	// Size, OpenTarget and Open look at devices.
	Size       func(device string) (int64, error)
	OpenTarget func(device string) (target.Writer, error)
	Open       func(path string) (live.File, error)
	// Disks finds disks, OpenDisk opens one for a deployment, ReadPartitions makes the kernel read its partition table again.
	Disks          Disks
	OpenDisk       func(path string) (DiskWriter, error)
	ReadPartitions func(path string) error
	// StartStream starts the process that streams an image.
	StartStream func(daemon.Job) (Streaming, error)
	// Map shows a part of a disk as a device of the given name, which can be written to, and returns the device's path.
	Map func(name, disk string, offset, size int64) (string, error)
	// Kexec loads another kernel.
	Kexec kexec.Loader
	// Clock is that of the machine.
	Clock clock.Clock
	// Uptime is the time since the kernel started.
	Uptime func() time.Duration
	// Base and NewRoot are where the parts of the live system, and its root, are mounted.
	Base, NewRoot string
	// Pause opens a shell before a stage and returns when a person left it.
	Pause func(plan.Stage) error
}

// Uevents are the kernel's events of devices; *uevent.Listener is one.
type Uevents interface {
	Receive() (uevent.Event, error)
	Close() error
}

// Run carries the plan out, up to the point where nothing is left but to hand the machine over: to the live system, or to its kernel, which
// carries the plan out once more. Its error is a *StageError.
// What it set up before an error stays, for a person to look at.
func Run(ctx context.Context, p plan.Plan, m Machine, ui Console) (handoff.Ready, error) {
	b := newRun(p, m, ui)
	defer b.close()

	if err := b.begin(ctx); err != nil {
		return handoff.Ready{}, err
	}
	bring := b.fromDisk
	switch {
	case p.Local.There():
		bring = b.fromLocal
	case p.Target.Device == target.RAMDisk:
		bring = b.fromMemory
	}
	from, err := bring(ctx)
	if err == nil && from.next == nil {
		err = b.checkMedium(ctx, from.Device)
	}
	if err == nil && from.next == nil && from.Device != target.RAMDisk && !from.streamed {
		from.next, err = b.kernelOn(ctx, from.Device)
	}
	if err != nil {
		return handoff.Ready{}, err
	}
	if from.next != nil {
		return *from.next, nil
	}
	root, err := stage(ctx, b, plan.Live, func(context.Context) (*live.Root, string, error) { return b.mountLive(from) })
	if err != nil {
		return handoff.Ready{}, err
	}
	if _, err := stage(ctx, b, plan.Overlay, func(context.Context) (string, string, error) { return b.mountOverlay(root, from) }); err != nil {
		return handoff.Ready{}, err
	}
	b.rootMounted()
	return stage(ctx, b, plan.Handoff, func(ctx context.Context) (handoff.Ready, string, error) { return b.check(ctx, from) })
}

// begin opens the drivers and starts to load those of devices that turn up.
func (b *run) begin(ctx context.Context) error {
	// Both pauses come before either stage: a network without drivers would run out of time while a person looks around.
	for _, name := range []plan.Stage{plan.Devices, plan.Network} {
		if err := b.pause(name); err != nil {
			return &StageError{name, err}
		}
	}
	return b.loadModules(ctx)
}

// fromMemory brings the image to the RAM disk.
func (b *run) fromMemory(ctx context.Context) (medium, error) {
	defer b.holdDrivers()()
	if err := b.bringUp(ctx); err != nil {
		return medium{}, err
	}
	// Before the connection is opened: a server does not wait while a person looks around.
	if err := b.pause(plan.Target); err != nil {
		return medium{}, &StageError{plan.Target, err}
	}
	if next, err := b.kernelFromServer(ctx); err != nil || next != nil {
		return medium{next: next}, err
	}
	if from, err := b.fromStream(ctx); err != nil || from != nil {
		if err != nil {
			return medium{}, err
		}
		return *from, nil
	}
	b.releaseDrivers() // before memory is counted
	image, err := stage(ctx, b, plan.Fetch, b.open)
	if err != nil {
		return medium{}, err
	}
	defer image.Close()
	disk, err := stage(ctx, b, plan.Target, func(context.Context) (*target.Disk, string, error) { return b.prepare(image) })
	if err != nil {
		return medium{}, err
	}
	_, err = stage(ctx, b, plan.Fetch, func(ctx context.Context) (int64, string, error) { return b.fill(ctx, disk, image) })
	return medium{Medium: live.Medium{Device: disk.Device}}, err
}

// bringUp loads drivers and brings the network up, one beside the other: a card may have its lease while the drivers of
// the sound chip are still loading.
func (b *run) bringUp(ctx context.Context) error {
	group, both := errgroup.WithContext(ctx)
	connected, done := context.WithCancel(ctx)
	group.Go(func() error {
		// The drivers outlive the stage, so they have the boot's context, not the stage's.
		if err := b.driversUp(ctx); err != nil {
			return err
		}
		b.loadAhead(connected)
		return nil
	})
	group.Go(func() error {
		defer done()
		// The network outlives the stage too, but does not come up where the drivers failed.
		live, cancel := context.WithCancel(ctx)
		stop := context.AfterFunc(both, cancel)
		defer stop()
		_, err := stage(live, b, plan.Network, b.connect)
		return err
	})
	return group.Wait()
}

func (b *run) driversUp(ctx context.Context) error {
	_, err := stage(ctx, b, plan.Devices, b.coldPlug)
	return err
}

// loadAhead loads what streaming and the mounts of most live systems, KIWI's above all, will ask for, until ctx ends: while the network is waited for. Who asks
// for a module that could not be loaded is told then. The driver nbd is not among them: it gets parameters that a live system that is not streamed has no use for.
func (b *run) loadAhead(ctx context.Context) {
	names := []string{"loop", "fs-iso9660", "fs-squashfs", "fs-overlay", "fs-ext4"}
	if b.plan.Stream.Wanted() {
		names = append([]string{"dm_mod"}, names...)
	}
	for _, name := range names {
		if ctx.Err() != nil {
			return
		}
		_, _ = b.modules.Load(name)
	}
}

// loadModules opens the drivers and starts to listen for devices, before anything can come that must not be missed.
func (b *run) loadModules(ctx context.Context) (err error) {
	if b.modules, err = b.Modules(b.plan.Devices); err != nil {
		return &StageError{plan.Devices, err}
	}
	uevents, err := b.Uevents()
	if err != nil {
		return &StageError{plan.Devices, err}
	}
	b.uevents = uevents
	b.devices = device.NewManager(b.Sys, b.modules, func(err error) { b.ui.Debugf("%v", err) })
	b.background.Go(func() {
		if err := b.devices.HotPlug(ctx, b.uevents); err != nil && ctx.Err() == nil {
			b.ui.Warnf("devices that appear from now on get no driver: %v", err)
		}
	})
	return nil
}

func (b *run) coldPlug(ctx context.Context) (struct{}, string, error) {
	if err := b.patiently(func() error { return b.devices.ColdPlug(ctx, b.plan.Devices.First) }); err != nil {
		return struct{}{}, "", err
	}
	counts := b.devices.Counts()
	return struct{}{}, fmt.Sprintf("%d drivers for %d kinds of device", counts.Drivers, counts.Kinds), nil
}

func (b *run) prepare(image *fetch.Stream) (*target.Disk, string, error) {
	return b.prepareDisk(image.Size, b.plan.Image.Memory())
}

// prepareDisk makes the RAM disk for an image of size bytes, -1 if unknown, that arrives through so many bytes of buffers.
func (b *run) prepareDisk(size, buffers int64) (*target.Disk, string, error) {
	spec := b.plan.Target
	spec.Buffers = buffers
	disk, err := target.Prepare(spec, size, target.Environment{
		LoadModule: b.modules.LoadWith,
		Memory:     func() (memory.Info, error) { return memory.Read(b.Proc) },
		Size:       b.Size,
		Open:       b.OpenTarget,
	})
	if err != nil {
		return nil, "", err
	}
	b.report.Device = disk.Device
	return disk, fmt.Sprintf("%s of up to %s", disk.Device, target.MiB(disk.Capacity)), nil
}

func (b *run) mountLive(from medium) (*live.Root, string, error) {
	if err := overlay.MountTmpfs(b.plan.Overlay, b.Base, b.overlayEnvironment()); err != nil {
		return nil, "", err
	}
	root, err := live.Mount(b.plan.Live, from.Medium, live.Paths{Base: b.Base}, live.Environment{
		Mounter: b.Mounter, Attacher: b.Loops, LoadModule: b.loadModule, Open: b.Open,
	})
	if err != nil {
		return nil, "", err
	}
	b.report.Live = liveReport(root)
	return root, fmt.Sprintf("volume %q, %s (%s)", root.VolumeID, root.Layout.Name, b.report.Live.FileSystems), nil
}

func (b *run) overlayEnvironment() overlay.Environment {
	return overlay.Environment{Mounter: b.Mounter, LoadModule: b.loadModule}
}

func (b *run) mountOverlay(root *live.Root, from medium) (string, string, error) {
	kept := "in memory up to " + b.plan.Overlay.Size
	if from.layer.Device != "" {
		switch err := overlay.MountLayer(from.layer, b.Base, b.overlayEnvironment()); {
		case err == nil:
			kept = fmt.Sprintf("kept on %s (%s)", from.layer.Device, from.layer.FileSystem)
		case b.plan.Overlay.Persistence == overlay.PersistentIfPossible:
			b.warnNotKept(err)
		default:
			return "", "", err
		}
	}
	err := overlay.Mount(b.plan.Overlay, root.Path, b.Base, b.NewRoot, b.overlayEnvironment())
	return b.NewRoot, fmt.Sprintf("%s, changes %s", overlay.Source, kept), err
}

func (b *run) check(ctx context.Context, from medium) (handoff.Ready, string, error) {
	if err := b.verifiedSoFar(); err != nil {
		return handoff.Ready{}, "", err
	}
	spec := b.plan.Handoff
	spec.Streamed = from.streamed
	ready, err := handoff.Check(spec, b.NewRoot)
	if err != nil {
		return ready, "", err
	}
	if b.network != nil {
		b.handOverNetwork()
	}
	b.compareModules()
	if from.streamed && !b.leavesDrivers(ready.Init) {
		b.allDrivers(ctx)
		if err := b.verifiedSoFar(); err != nil { // that took a while
			return handoff.Ready{}, "", err
		}
	}
	// Without it the live system ends as well, but not cleanly.
	if err := handoff.InstallShutdown(b.Root, filepath.Join(b.Root, "run")); err != nil {
		b.ui.Warnf("%v", err)
	}
	return ready, "switch_root to " + ready.Init + ": " + b.stays, nil
}

// compareModules says when the live system has modules, and none of them for the kernel that goes on running: whatever needs one fails then, long
// after the boot.
func (b *run) compareModules() {
	versions, err := handoff.ModuleVersions(b.NewRoot)
	switch {
	case err != nil:
		b.ui.Warnf("%v", err)
	case len(versions) > 0 && !slices.Contains(versions, b.Release):
		b.ui.Warnf("the live system has no modules for the running kernel %s, only for %s: build kernel and initrd out of its ISO (mkinitramfs -iso)",
			b.Release, strings.Join(versions, ", "))
	}
}
