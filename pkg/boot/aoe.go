package boot

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/liveboot/liveboot/pkg/network"
)

// aoe sets up every link that there is, under the name that it is to keep, and asks for disks behind them until end is called: the kernel
// asks by itself only once a minute. The links stay as they are, since the live system's root is behind one of them.
func (b *run) aoe(ctx context.Context) (end func(), err error) {
	if err := b.loadModule("aoe"); err != nil {
		return nil, err
	}
	name, err := namer(b.plan.Network.Naming, b.Sys)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	links, err := b.Network.Kernel.Watch(ctx)
	if err != nil {
		cancel()
		return nil, err
	}
	b.background.Go(func() {
		for l := range links {
			if !l.Up && !l.Gone && l.Kind == "" {
				b.setUp(l, name)
			}
		}
	})
	b.background.Go(func() {
		ticks := time.NewTicker(time.Second)
		defer ticks.Stop()
		for {
			// Without a link nobody can answer, and the next attempt will say so.
			_ = os.WriteFile(filepath.Join(b.Root, "dev/etherd/discover"), []byte("discover"), 0o200)
			select {
			case <-ticks.C:
			case <-ctx.Done():
				return
			}
		}
	})
	return cancel, nil
}

// setUp gives a card its name, and sets it up. Once it is up the live system could not rename it any more.
func (b *run) setUp(l network.Link, name func(network.Link) (string, error)) {
	named, err := name(l)
	if err == nil && named != "" && named != l.Name {
		err = b.Network.Kernel.Change(l, network.Change{Name: named})
	}
	if err != nil {
		b.ui.Warnf("%s keeps the kernel's name: %v", l.Name, err)
	}
	if err := b.Network.Kernel.Change(l, network.Change{Up: true}); err != nil {
		b.ui.Warnf("%s: %v", l.Name, err)
	}
}
