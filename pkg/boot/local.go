package boot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/liveboot/liveboot/pkg/deploy"
	"github.com/liveboot/liveboot/pkg/device/disk"
	"github.com/liveboot/liveboot/pkg/iso"
	"github.com/liveboot/liveboot/pkg/kernel/loop"
	"github.com/liveboot/liveboot/pkg/kernel/mount"
	"github.com/liveboot/liveboot/pkg/live"
	"github.com/liveboot/liveboot/pkg/mkfs"
	"github.com/liveboot/liveboot/pkg/network"
	"github.com/liveboot/liveboot/pkg/overlay"
	"github.com/liveboot/liveboot/pkg/plan"
	"github.com/liveboot/liveboot/pkg/probe"
)

// fromLocal finds an image that the machine has already.
func (b *run) fromLocal(ctx context.Context) (medium, error) {
	if err := b.driversUp(ctx); err != nil {
		return medium{}, err
	}
	if b.plan.Local.AoE {
		end, err := b.aoe(ctx)
		if err != nil {
			return medium{}, &StageError{plan.Network, err}
		}
		defer end()
	}
	if b.plan.Local.File != "" {
		return stage(ctx, b, plan.Target, b.scan)
	}
	return stage(ctx, b, plan.Target, b.findLocal)
}

// findLocal waits for the device that holds the image.
func (b *run) findLocal(ctx context.Context) (medium, string, error) {
	d, err := b.waitForDisk(ctx, b.plan.Local.Device)
	if err != nil {
		return medium{}, "", err
	}
	b.report.Device = d.Path
	if b.plan.Overlay.Persistence != overlay.Volatile {
		m, err := b.withLayer(ctx, d)
		switch {
		case err == nil:
			return m, name(d), nil
		case b.plan.Overlay.Persistence != overlay.PersistentIfPossible:
			return m, "", err
		}
		b.ui.Warnf("nothing that the live system writes is kept: %v", err)
	}
	m := medium{Medium: live.Medium{Device: d.Path, Buffered: d.SectorSize > iso.SectorSize}}
	if m.Buffered {
		if m.Size, err = b.isoSize(d.Path); err != nil {
			return m, "", err
		}
	}
	return m, name(d), nil
}

// withLayer returns the medium on the disk d, or the disk that d is a partition of, with a writable layer behind the image.
func (b *run) withLayer(ctx context.Context, d disk.Device) (medium, error) {
	if d.Disk != "" {
		whole, err := b.waitForDisk(ctx, d.Disk)
		if err != nil {
			return medium{}, err
		}
		d = whole
	}
	found, err := b.look(d)
	if err != nil {
		return medium{}, err
	}
	if found.State != deploy.Complete {
		return medium{}, fmt.Errorf("%s holds %s: a writable layer goes behind a live image that begins at the disk's first byte", name(d), found.What)
	}
	return b.mediumOn(ctx, found)
}

// isoSize returns the size in bytes of the ISO on a device or in a file.
func (b *run) isoSize(path string) (int64, error) {
	f, err := b.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	image, err := iso.Open(f)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return image.Size, nil
}

// scanFolder is where the file system with the ISO's file is mounted; dracut's iso-scan has it there.
const scanFolder = "run/initramfs/isoscan"

// scan looks for the ISO's file on all file systems of the machine, as long as another disk may still appear.
func (b *run) scan(ctx context.Context) (medium, string, error) {
	ctx, cancel := context.WithTimeout(ctx, diskPatience)
	defer cancel()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var seen, without []string
	for {
		devices, err := b.Disks.List()
		if err != nil {
			return medium{}, "", err
		}
		for _, d := range devices {
			if slices.Contains(seen, d.Path) || len(d.Contents) == 0 || d.Contents[0].Kind != probe.KindFileSystem {
				continue
			}
			seen = append(seen, d.Path)
			m, err := b.fileOn(d)
			switch {
			case err == nil:
				b.report.Device = d.Path
				return m, fmt.Sprintf("%s on %s", b.plan.Local.File, name(d)), nil
			case !errors.Is(err, errElsewhere):
				return m, "", err
			}
			without = append(without, fmt.Sprintf("%s: %v", d.Path, err))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return medium{}, "", fmt.Errorf("no file system of this machine has a file %s (%s)", b.plan.Local.File, strings.Join(without, "; "))
		}
	}
}

// errElsewhere says that a file system is not the one with the ISO.
var errElsewhere = errors.New("the ISO is not here")

// fileOn mounts the file system on d and returns the ISO on it. It stays mounted if the ISO is there.
func (b *run) fileOn(d disk.Device) (medium, error) {
	target := filepath.Join(b.Root, scanFolder)
	if err := os.MkdirAll(target, 0o755); err != nil {
		return medium{}, err
	}
	// Only to look: what belongs to another system, which may be hibernated, is not changed, not even by the replay of its journal.
	point := mount.Point{Source: d.Path, Target: target, Type: kernelName(d.Contents[0].Name), Flags: mount.ReadOnly}
	point.Data = map[string]string{"ext4": "noload", "xfs": "norecovery", "btrfs": "rescue=nologreplay"}[point.Type]
	err := b.loadModule("fs-" + point.Type)
	if err == nil {
		err = b.Mounter.Mount(point)
	}
	if err != nil {
		return medium{}, fmt.Errorf("%w: %w", errElsewhere, err)
	}
	path := filepath.Join(target, b.plan.Local.File)
	if _, err := os.Stat(path); err != nil {
		return medium{}, errors.Join(fmt.Errorf("%w: %w", errElsewhere, err), b.Mounter.Unmount(target))
	}
	if b.plan.Overlay.Persistence != overlay.Volatile {
		// The layer's file is to be written beside the ISO.
		point.Flags, point.Data = 0, ""
		if err := b.Mounter.Unmount(target); err != nil {
			return medium{}, err
		}
		if err := b.Mounter.Mount(point); err != nil {
			return medium{}, err
		}
	}
	size, err := b.isoSize(path)
	if err != nil {
		return medium{}, err
	}
	m := medium{Medium: live.Medium{Device: path, Size: size}}
	if b.plan.Overlay.Persistence == overlay.Volatile {
		return m, nil
	}
	m.layer, err = b.layerFile(filepath.Join(target, b.plan.Local.LayerFile))
	if err != nil && b.plan.Overlay.Persistence == overlay.PersistentIfPossible {
		b.ui.Warnf("nothing that the live system writes is kept: %v", err)
		return m, nil
	}
	return m, err
}

// kernelName is what the kernel calls a file system: ext4 mounts its predecessors too.
func kernelName(found string) string {
	if found == "ext2" || found == "ext3" {
		return "ext4"
	}
	return found
}

// layerFile makes a block device of the file that keeps what the live system writes, and the file itself if there is none.
func (b *run) layerFile(path string) (overlay.Layer, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := b.makeLayerFile(path); err != nil {
			return overlay.Layer{}, fmt.Errorf("make the writable layer's file: %w", err)
		}
	} else if err != nil {
		return overlay.Layer{}, err
	}
	f, err := b.Open(path)
	if err != nil {
		return overlay.Layer{}, err
	}
	kind, err := probe.FileSystem(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return overlay.Layer{}, fmt.Errorf("%s: %w", path, err)
	}
	if err := b.loadModule("loop"); err != nil {
		return overlay.Layer{}, err
	}
	device, err := b.Loops.Attach(loop.Config{File: path, Writable: true, DirectIO: true})
	return overlay.Layer{Device: device, FileSystem: kind}, err
}

// makeLayerFile makes it under another name first: half of one would be in the way at every later boot.
func (b *run) makeLayerFile(path string) error {
	unfinished := path + ".new"
	f, err := os.OpenFile(unfinished, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = errors.Join(b.format(f), f.Sync(), f.Close())
	if err != nil {
		return errors.Join(err, os.Remove(unfinished))
	}
	if err := os.Rename(unfinished, path); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// format makes the file system of the writable layer in a file.
func (b *run) format(f *os.File) error {
	size := b.plan.Local.LayerSize
	if err := f.Truncate(size); err != nil {
		return err
	}
	for _, kind := range mkfs.Formatters() {
		if kind.Name == b.plan.Overlay.FileSystem {
			return kind.Format(f, size, mkfs.Options{Label: deploy.LayerLabel})
		}
	}
	return fmt.Errorf("file system %s: %w", b.plan.Overlay.FileSystem, errors.ErrUnsupported)
}

// aoe sets up every link that there is, and asks for disks behind them until end is called: the kernel asks by itself only once a minute.
// The links stay as they are, since the live system's root is behind one of them.
func (b *run) aoe(ctx context.Context) (end func(), err error) {
	if err := b.loadModule("aoe"); err != nil {
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
			if l.Up || l.Gone {
				continue
			}
			if err := b.Network.Kernel.Change(l, network.Change{Up: true}); err != nil {
				b.ui.Warnf("%s: %v", l.Name, err)
			}
		}
	})
	b.background.Go(func() {
		for tick := time.NewTicker(time.Second); ; {
			// Without a link nobody can answer, and the next attempt will say so.
			_ = os.WriteFile(filepath.Join(b.Root, "dev/etherd/discover"), []byte("discover"), 0o200)
			select {
			case <-tick.C:
			case <-ctx.Done():
				tick.Stop()
				return
			}
		}
	})
	return cancel, nil
}
