package boot

import (
	"context"
	"net/netip"
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
	m.Network.Kernel = explainedNetwork{m.Network.Kernel, debugf}
	clients := m.Clients
	m.Clients = func(t network.Timeouts, earlier map[string]netip.Addr) map[network.Method]network.Client {
		all := clients(t, earlier)
		for method, client := range all {
			all[method] = explainedClient{client, method, debugf}
		}
		return all
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

type explainedNetwork struct {
	network.Kernel
	debugf
}

func (e explainedNetwork) Watch(ctx context.Context) (<-chan network.Link, error) {
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

func (e explainedNetwork) Change(l network.Link, c network.Change) error {
	err := e.Kernel.Change(l, c)
	e.debugf("ip link set %s %+v%s", l.Name, c, but(err))
	return err
}

func (e explainedNetwork) Make(v network.Virtual, parent network.Link) error {
	err := e.Kernel.Make(v, parent)
	e.debugf("ip link add %s: %+v%s", v.LinkName(), v, but(err))
	return err
}

func (e explainedNetwork) Join(port network.Link, master string) error {
	err := e.Kernel.Join(port, master)
	e.debugf("ip link set %s master %s%s", port.Name, master, but(err))
	return err
}

func (e explainedNetwork) Configure(ctx context.Context, l network.Link, lease network.Lease) error {
	err := e.Kernel.Configure(ctx, l, lease)
	e.debugf("ip address replace %v dev %s, routes %v%s", lease.Address, l.Name, lease.Routes, but(err))
	return err
}

func (e explainedNetwork) Remove(l network.Link, lease network.Lease) error {
	e.debugf("ip address del %v dev %s", lease.Address, l.Name)
	return e.Kernel.Remove(l, lease)
}

type explainedClient struct {
	network.Client
	method network.Method
	debugf
}

func (e explainedClient) Acquire(ctx context.Context, l network.Link, attempt func(int)) (network.Lease, error) {
	lease, err := e.Client.Acquire(ctx, l, func(n int) {
		e.debugf("%s: %s: try %d", l.Name, e.method, n)
		attempt(n)
	})
	e.debugf("%s: %s: lease of %v for %v from %v%s", l.Name, e.method, lease.Address, lease.Valid, lease.Server, but(err))
	return lease, err
}
