package stream

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/liveboot/liveboot/pkg/kernel/dm"
	"github.com/liveboot/liveboot/pkg/kernel/nbd"
)

// A Device shows a Store as a block device, which can be mounted at once: a device of the device mapper on a network block device. It is
// read-only.
type Device struct {
	// Path is that of the device mapper's device: what is to be mounted. Beneath is that of the network block device, which is not to be used.
	Path, Beneath string

	store   *Store
	size    int64
	control *dm.Control
	mapped  *dm.Device
	served  *nbd.Device // nil when it is not needed any more
	serving *errgroup.Group
}

// Attach makes the device, with a name for the device mapper. The modules nbd, see nbd.Parameters, and dm_mod must be loaded. Run is to be
// running. When ctx ends, reads of what is not mapped elsewhere fail.
func (s *Store) Attach(ctx context.Context, name string) (_ *Device, err error) {
	d := &Device{store: s, size: (s.config.Size + nbd.BlockSize - 1) / nbd.BlockSize * nbd.BlockSize, serving: new(errgroup.Group)}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	if d.control, err = dm.Open(); err != nil {
		return nil, err
	}
	if d.served, err = nbd.Attach(d.size); err != nil {
		return nil, err
	}
	d.Beneath = d.served.Path
	socket := d.served.Socket
	d.serving.Go(func() error { return nbd.Serve(ctx, socket, d.size, s) })
	if d.mapped, err = d.control.Create(name, dm.Linear{Device: d.served.Number, Size: d.size}); err != nil {
		return nil, err
	}
	d.Path = d.mapped.Path
	return d, nil
}

// Settle lets the device show what is in place, where the whole image is, and lets go of the network block device. What is mounted stays
// mounted. From then on nothing of this process is needed.
func (d *Device) Settle(place *DevicePlace) error {
	if err := d.store.isComplete(); err != nil {
		return err
	}
	if err := d.mapped.Switch(dm.Linear{Device: place.Number, Offset: place.Offset, Size: d.size}); err != nil {
		return err
	}
	return d.letGo()
}

// letGo frees the network block device.
func (d *Device) letGo() error {
	if d.served == nil {
		return nil
	}
	served := d.served
	d.served = nil
	err := served.Disconnect()
	if err != nil {
		err = errors.Join(err, served.Socket.Close()) // or serving would never end
	}
	return errors.Join(err, d.serving.Wait())
}

// Wait returns when the device is served no more, and why.
func (d *Device) Wait() error { return d.serving.Wait() }

// Status returns what the device shows, as dmsetup(8) has it, and how many use it.
func (d *Device) Status() (table string, users int, err error) {
	st, err := d.mapped.Status()
	return st.Table, st.Open, err
}

// Release closes what is open for the device, and leaves the device as it is.
func (d *Device) Release() error { return d.control.Close() }

// Close takes the device away, which nobody may be using.
func (d *Device) Close() error {
	var errs []error
	if d.mapped != nil {
		errs = append(errs, d.mapped.Remove())
	}
	errs = append(errs, d.letGo())
	if d.control != nil {
		errs = append(errs, d.Release())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("take the streamed device away: %w", err)
	}
	return nil
}
