package boot

import (
	"context"
	"strings"

	"github.com/liveboot/liveboot/pkg/device"
	"github.com/liveboot/liveboot/pkg/kernel/loop"
	"github.com/liveboot/liveboot/pkg/kernel/mount"
	"github.com/liveboot/liveboot/pkg/network"
)

// explained returns m with each step told to debugf, as the command that does the same, before it is taken: with rd.debug the last line
// on the console is what the boot is waiting for.
func explained(m Machine, debugf func(format string, args ...any)) Machine {
	open := m.Modules
	m.Modules = func(s device.Spec) (Modules, error) {
		modules, err := open(s)
		return explainedModules{modules, debugf}, err
	}
	m.Mounter = explainedMounter{m.Mounter, debugf}
	m.Loops = explainedLoops{m.Loops, debugf}
	m.Links = explainedLinks{m.Links, debugf}
	ask := m.DHCP
	m.DHCP = func(ctx context.Context, l network.Link, attempted func(int)) (network.Lease, error) {
		lease, err := ask(ctx, l, func(n int) {
			debugf("%s: DHCP request %d", l.Name, n)
			attempted(n)
		})
		debugf("%s: lease of %v for %v%s", l.Name, lease.Address, lease.Valid, but(err))
		return lease, err
	}
	return m
}

// but returns what to say behind a step that may have failed.
func but(err error) string {
	if err == nil {
		return ""
	}
	return ": " + err.Error()
}

type debugf func(format string, args ...any)

type explainedModules struct {
	Modules
	debugf
}

func (e explainedModules) Load(name string) ([]string, error) {
	names, err := e.Modules.Load(name)
	if len(names) > 0 || err != nil && !strings.Contains(name, ":") {
		// Most devices have no driver in the image, and need none: these are not told.
		e.debugf("modprobe %s: %s%s", name, strings.Join(names, " "), but(err))
	}
	return names, err
}

func (e explainedModules) LoadWith(name, parameters string) error {
	err := e.Modules.LoadWith(name, parameters)
	e.debugf("modprobe %s %s%s", name, parameters, but(err))
	return err
}

type explainedMounter struct {
	mount.Mounter
	debugf
}

func (e explainedMounter) Mount(p mount.Point) error {
	e.debugf("%v", p)
	return e.Mounter.Mount(p)
}

func (e explainedMounter) Unmount(target string) error {
	e.debugf("umount %s", target)
	return e.Mounter.Unmount(target)
}

type explainedLoops struct {
	loop.Attacher
	debugf
}

func (e explainedLoops) Attach(c loop.Config) (string, error) {
	device, err := e.Attacher.Attach(c)
	e.debugf("%v: %s%s", c, device, but(err))
	return device, err
}

func (e explainedLoops) Detach(device string) error {
	e.debugf("losetup -d %s", device)
	return e.Attacher.Detach(device)
}

type explainedLinks struct {
	network.Kernel
	debugf
}

func (e explainedLinks) Watch(ctx context.Context) (<-chan network.Link, error) {
	links, err := e.Kernel.Watch(ctx)
	if err != nil {
		return nil, err
	}
	told := make(chan network.Link)
	go func() {
		defer close(told)
		for l := range links {
			e.debugf("link %s (%v): up %v, carrier %v, gone %v", l.Name, l.MAC, l.Up, l.Carrier, l.Gone)
			select {
			case told <- l:
			case <-ctx.Done():
			}
		}
	}()
	return told, nil
}

func (e explainedLinks) SetUp(l network.Link) error {
	e.debugf("ip link set %s up", l.Name)
	return e.Kernel.SetUp(l)
}

func (e explainedLinks) Configure(l network.Link, lease network.Lease) error {
	e.debugf("ip address replace %v dev %s, routes %v", lease.Address, l.Name, lease.Routes)
	return e.Kernel.Configure(l, lease)
}
