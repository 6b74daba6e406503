package boot

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/liveboot/liveboot/pkg/device"
	"github.com/liveboot/liveboot/pkg/handoff"
)

const (
	// driverPatience is how long the boot waits for drivers before it goes on without those that are still being loaded: a driver may wait
	// minutes for hardware that is broken, and that the boot does not need.
	driverPatience = 15 * time.Second
	// holdPatience is how long drivers that the network does not need are kept back at most: after that somebody may come to look, who wants a
	// keyboard, and the guess which devices lead to a card may have been wrong.
	holdPatience = 5 * time.Second
	// quiet is for how long nothing turns up when all devices are there. A USB disk shows itself a second after its driver (usb-storage's
	// parameter delay_use).
	quiet = 1500 * time.Millisecond
)

// LoadDrivers loads the drivers of all devices that are there, and of those that are plugged in until ctx ends: for a person who looks at a machine that
// did not boot, at whatever point it stopped.
func LoadDrivers(ctx context.Context, spec device.Spec, m Machine, ui Console) error {
	modules, err := m.Modules(spec)
	if err != nil {
		return err
	}
	manager := device.NewManager(m.Sys, modules, func(err error) { ui.Debugf("%v", err) })
	var both errgroup.Group
	uevents, err := m.Uevents()
	if err == nil {
		defer context.AfterFunc(ctx, func() { _ = uevents.Close() })() // its end is all that is wanted of it
		both.Go(func() error { return manager.HotPlug(ctx, uevents) })
	}
	both.Go(func() error {
		err := manager.ColdPlug(ctx, spec.First)
		if err != nil && ctx.Err() == nil { // one of those to be first is no reason to do without the others
			err = errors.Join(err, manager.ColdPlug(ctx, nil))
		}
		return err
	})
	return errors.Join(err, both.Wait())
}

// holdDrivers keeps back the drivers that the network does not need, where the image is to be streamed: some take long for their hardware, such as those of
// many disks, and the live system's udev can load them as well. What it returns is to be called when it is known where the image comes from.
func (b *run) holdDrivers() (done func()) {
	if !b.plan.Stream.Wanted() || len(b.plan.Break) > 0 { // who is going to look around wants all
		return func() {}
	}
	b.held = true
	b.devices.Hold()
	late := time.AfterFunc(holdPatience, b.releaseDrivers)
	return func() {
		if !late.Stop() {
			b.releaseDrivers() // to end the boot's process amid a driver's start can leave its device without it
		}
	}
}

// releaseDrivers loads the drivers that were kept back, once. Whoever calls it waits for them, with patience.
func (b *run) releaseDrivers() {
	b.released.Do(func() {
		kinds, began := len(b.devices.Held()), b.Uptime()
		_ = b.patiently(func() error { b.devices.Release(); return nil }) // there is no error in it
		b.ui.Debugf("drivers for %d more kinds of device, which the network does not need (%.2f s)", kinds, (b.Uptime() - began).Seconds())
	})
}

// allDrivers waits, once, until also what the drivers that were kept back bring with them has its drivers. Where a driver hangs, it has been waited for
// long enough.
func (b *run) allDrivers(ctx context.Context) {
	if !b.held {
		return
	}
	b.releaseDrivers()
	b.complete.Do(func() {
		if b.hanging.Load() {
			return
		}
		if err := b.patiently(func() error { return b.devices.Settle(ctx, quiet) }); err != nil {
			b.ui.Debugf("wait for devices: %v", err)
		}
	})
}

// leavesDrivers says whether the live system, whose process 1 is init, loads the drivers that are kept back, all of which it has.
func (b *run) leavesDrivers(init string) bool {
	line, err := fs.ReadFile(b.Proc, "proc/cmdline")
	if err != nil || !handoff.ColdPlugs(b.NewRoot, init, strings.Fields(string(line))) {
		return false
	}
	var drivers []string
	for _, alias := range b.devices.Held() {
		drivers = append(drivers, b.modules.Names(alias)...)
	}
	has, err := handoff.HasModules(b.NewRoot, b.Release, drivers)
	if err != nil {
		b.ui.Debugf("%v", err)
	}
	return has
}

// patiently waits for drivers to be loaded, and no longer than it should.
func (b *run) patiently(load func() error) error {
	loaded := make(chan error, 1)
	go func() { loaded <- load() }()
	select {
	case err := <-loaded:
		return err
	case <-time.After(driverPatience):
		b.hanging.Store(true)
		b.ui.Warnf("going on without the drivers for %s, which are still being loaded", strings.Join(b.devices.Loading(), ", "))
		return nil
	}
}
