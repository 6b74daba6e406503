package boot

import (
	"context"
	"fmt"

	"github.com/liveboot/liveboot/pkg/deploy"
	"github.com/liveboot/liveboot/pkg/device/disk"
	"github.com/liveboot/liveboot/pkg/iso"
	"github.com/liveboot/liveboot/pkg/live"
	"github.com/liveboot/liveboot/pkg/overlay"
	"github.com/liveboot/liveboot/pkg/plan"
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
	found, err := stage(ctx, b, plan.Target, b.findLocal)
	switch {
	case err != nil:
		return medium{}, err
	case found.Image != nil:
		return b.mediumOn(ctx, found.inspected)
	}
	m := medium{Medium: live.Medium{Device: found.disk.Path, Buffered: found.disk.SectorSize > iso.SectorSize}}
	if m.Buffered {
		m.Size = found.size
	}
	return m, nil
}

// localImage is a device with an image. Where what is written is kept it is the whole disk, whose Image was looked at for that; else Image is nil.
type localImage struct {
	inspected
	// size of the ISO, in bytes.
	size int64
}

// findLocal waits for the device that holds the image, and finds out whether what is written can be kept on it.
func (b *run) findLocal(ctx context.Context) (localImage, string, error) {
	d, err := b.waitForDisk(ctx, b.plan.Local.Device)
	if err != nil {
		return localImage{}, "", err
	}
	b.report.Device = d.Path
	size, err := b.isoSize(d.Path)
	if err != nil {
		return localImage{}, "", fmt.Errorf("%v: %w", d, err)
	}
	found := localImage{inspected{disk: d}, size}
	if b.plan.Overlay.Persistence == overlay.Volatile {
		return found, name(d), nil
	}
	whole, err := b.withPlace(ctx, d)
	if err = b.kept(err); err == nil && whole.Image != nil {
		found.inspected = whole
	}
	return found, name(found.disk), err
}

// withPlace returns the disk d, or the one that d is a partition of, on which a writable layer goes behind the image.
func (b *run) withPlace(ctx context.Context, d disk.Device) (inspected, error) {
	d, err := b.wholeDisk(ctx, d)
	if err != nil {
		return inspected{}, err
	}
	if d.ReadOnly {
		return inspected{}, fmt.Errorf("%s cannot be written to", name(d))
	}
	found, err := b.look(d)
	if err == nil && found.State != deploy.Complete {
		err = fmt.Errorf("%s holds %s; a writable layer goes behind a whole live image only, with a boot sector at the disk's first byte", name(d), found.What)
	}
	if err != nil {
		return inspected{}, err
	}
	return found, nil
}

// A NotKeptError says why what the live system writes cannot be kept beside an image that the machine has already.
type NotKeptError struct{ err error }

// Error is the cause.
func (e *NotKeptError) Error() string { return e.err.Error() }

// Unwrap returns the cause.
func (e *NotKeptError) Unwrap() error { return e.err }

// kept takes the error of a place for what the live system writes: with rd.live.overlay.persistent=auto it is a warning only.
func (b *run) kept(err error) error {
	if err == nil {
		return nil
	}
	if b.plan.Overlay.Persistence == overlay.PersistentIfPossible {
		b.warnNotKept(err)
		return nil
	}
	return &NotKeptError{err}
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
		return 0, err
	}
	return image.Size, nil
}
