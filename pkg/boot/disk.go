package boot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/deploy"
	"github.com/liveboot/liveboot/pkg/device/disk"
	"github.com/liveboot/liveboot/pkg/fetch"
	"github.com/liveboot/liveboot/pkg/handoff"
	"github.com/liveboot/liveboot/pkg/iso"
	"github.com/liveboot/liveboot/pkg/live"
	"github.com/liveboot/liveboot/pkg/overlay"
	"github.com/liveboot/liveboot/pkg/partition"
	"github.com/liveboot/liveboot/pkg/plan"
)

// Disks finds the machine's disks; disk.System is one.
type Disks interface {
	// Wait waits for the device that has the name, until ctx ends, and tells changed which others there are meanwhile.
	Wait(ctx context.Context, name string, changed func([]disk.Device)) (disk.Device, error)
	// Watch tells changed which devices there are, at first and whenever they have become others, until it returns true or ctx ends.
	Watch(ctx context.Context, changed func([]disk.Device) (done bool)) error
}

// A DiskWriter is a disk that is open for a deployment; *block.Disk is one.
type DiskWriter interface {
	deploy.Device
	io.Closer
}

// diskPatience is how long a disk may take to appear: a USB stick, or an array behind a controller that counts its drives.
const diskPatience = 60 * time.Second

// a medium is what the live system is mounted from.
type medium struct {
	live.Medium
	// next is the image's own kernel, ready to be started, instead of all that.
	next *handoff.Ready
	// streamed tells that not all of it is there yet.
	streamed bool
	// layer keeps what the live system writes; empty if it is in memory.
	layer overlay.Layer
}

// fromDisk makes the disk of the plan hold the image, and only if it does not yet, with the network's help.
func (b *run) fromDisk(ctx context.Context) (medium, error) {
	if err := b.driversUp(ctx); err != nil {
		return medium{}, err
	}
	found, err := stage(ctx, b, plan.Target, b.decide)
	if err != nil {
		return medium{}, err
	}
	if found.deploy {
		if from, err := b.deploy(ctx, found.disk); err != nil || from != nil {
			if err != nil {
				return medium{}, err
			}
			return *from, nil
		}
		// What is on the disk now is found out as if somebody else had written it.
		if found, err = b.look(found.disk); err == nil && found.State != deploy.Complete {
			err = fmt.Errorf("%s was written, and yet holds %s", found.disk.Path, found.What)
		}
		if err != nil {
			return medium{}, &StageError{plan.Target, err}
		}
	}
	return b.mediumOn(ctx, found)
}

// inspected is a disk, and what is on it.
type inspected struct {
	disk disk.Device
	deploy.Finding
	// deploy tells that it is to be written to.
	deploy bool
}

// A ForeignDiskError says that a disk holds something that was not to be overwritten.
type ForeignDiskError struct {
	Disk disk.Device
	deploy.Finding
}

// Error names what was found.
func (e *ForeignDiskError) Error() string {
	return fmt.Sprintf("%s holds %s; nothing on it was changed", name(e.Disk), e.What)
}

// decide waits for the disk of the plan, and decides what is to be done with it.
func (b *run) decide(ctx context.Context) (inspected, string, error) {
	// A reset that the kernel before this one has carried out is not one to carry out again.
	reset := b.plan.Target.Reset && !b.previous.Deployed
	d, err := b.waitForDisk(ctx, b.plan.Target.Device)
	if err != nil {
		return inspected{}, "", err
	}
	part := d // a live image's label is that of its first partition too
	if d, err = b.wholeDisk(ctx, d); err != nil {
		return inspected{}, "", err
	}
	found, err := b.look(d)
	if err != nil && reset && part.Disk == "" {
		// A sector that cannot be read can often be written, and then read again.
		b.ui.Warnf("%v", err)
		found, err = inspected{disk: d, Finding: deploy.Finding{State: deploy.Foreign, What: "something that cannot be read"}}, nil
	}
	switch {
	case err != nil:
		return inspected{}, "", err
	case part.Disk != "" && !meansDisk(part, found):
		return inspected{}, "", fmt.Errorf("%s is a partition of %s: name the whole disk in rd.kiwi.live.system=, the image brings its own partition table", part.Path, d.Path)
	}
	b.report.Device = d.Path
	writable := func() error {
		if d.ReadOnly {
			return fmt.Errorf("%s cannot be written to", d.Path)
		}
		return nil
	}
	switch {
	case reset:
		found.deploy = true
		return found, fmt.Sprintf("%s holds %s, and is overwritten (rd.kiwi.live.reset)", name(d), found.What), writable()
	case found.State == deploy.Blank, found.State == deploy.Interrupted:
		found.deploy = true
		return found, fmt.Sprintf("%s holds %s: it gets the image", name(d), found.What), writable()
	case found.State == deploy.Complete:
		return found, fmt.Sprintf("%s holds the live image %q%s: no network is needed", name(d), found.Image.VolumeID, from(found.Image)), b.sameImage(found)
	}
	return inspected{}, "", &ForeignDiskError{d, found.Finding}
}

// meansDisk reports whether who names a partition means its disk: the partition that shows the ISO once more has the ISO's label.
func meansDisk(part disk.Device, found inspected) bool {
	return found.State == deploy.Complete && found.Image.ISO != nil && found.Image.ISO.Number == part.Partition
}

// An OtherImageError says that a disk holds another image than the one with the digest that was asked for.
type OtherImageError struct{ Disk, Has, Wanted string }

// Error gives both digests.
func (e *OtherImageError) Error() string {
	return fmt.Sprintf("%s holds an image whose digest was %s when it was deployed, and the kernel command line asks for %s", e.Disk, e.Has, e.Wanted)
}

// sameImage compares what is on a disk with the digest that was asked for.
func (b *run) sameImage(found inspected) error {
	has, wanted := "", b.plan.Image.Digest
	if found.Image.Record != nil {
		has = found.Image.Record.Digest
	}
	switch algorithm, _, _ := strings.Cut(has, ":"); {
	case wanted == (fetch.Digest{}) && b.plan.Key == "":
	case wanted != (fetch.Digest{}) && algorithm == wanted.Algorithm:
		if has != wanted.String() {
			return &OtherImageError{name(found.disk), has, wanted.String()}
		}
	case has == "":
		b.ui.Warnf("%s: the image on it was not verified when it was deployed", found.disk.Path)
	}
	return nil
}

// origin is the address for the record, which stays on the disk: without name and password, which may be a token.
func origin(u fetch.URL) string {
	parsed, err := url.Parse(string(u))
	if err != nil {
		return u.String()
	}
	parsed.User = nil
	return fetch.URL(parsed.String()).String()
}

// from tells where an image came from.
func from(image *deploy.Image) string {
	if image.Record == nil || image.Record.URL == "" {
		return ""
	}
	return " from " + image.Record.URL
}

// name names a disk for people, without what is on it.
func name(d disk.Device) string {
	d.Contents, d.Err = nil, nil
	return d.String()
}

// waitForDisk waits for a device, and says so when it takes long.
func (b *run) waitForDisk(ctx context.Context, name string) (disk.Device, error) {
	patience, cancel := context.WithTimeout(ctx, diskPatience)
	defer cancel()
	slow := time.AfterFunc(5*time.Second, func() { b.ui.Warnf("waiting for %s, up to %.0f s", name, diskPatience.Seconds()) })
	defer slow.Stop()
	return b.Disks.Wait(patience, name, func(there []disk.Device) { b.ui.Debugf("waiting for %s; there are %v", name, there) })
}

// wholeDisk returns d, or the disk that d is a partition of.
func (b *run) wholeDisk(ctx context.Context, d disk.Device) (disk.Device, error) {
	if d.Disk == "" {
		return d, nil
	}
	return b.waitForDisk(ctx, d.Disk)
}

// warnNotKept says why what the live system writes is lost at its end, where that is no reason to stop.
func (b *run) warnNotKept(err error) {
	b.ui.Warnf("nothing that the live system writes is kept: %v", err)
}

func geometry(d disk.Device) partition.Disk {
	return partition.Disk{Size: d.Size, SectorSize: d.SectorSize}
}

// container is the path of the live system's container in an ISO.
func (b *run) container() string { return b.plan.Live.Dir + "/" + b.plan.Live.Container }

// look inspects a disk.
func (b *run) look(d disk.Device) (inspected, error) {
	f, err := b.Open(d.Path)
	if err != nil {
		return inspected{}, err
	}
	defer f.Close()
	finding, err := deploy.Inspect(f, geometry(d), b.container())
	if err != nil {
		return inspected{}, fmt.Errorf("%s: %w", d.Path, err)
	}
	return inspected{disk: d, Finding: finding}, nil
}

// deploy brings the image from its server to the disk; or it returns the image's own kernel, under which that is to be done, or what the live system
// is mounted from while that is being done.
func (b *run) deploy(ctx context.Context, d disk.Device) (*medium, error) {
	if _, err := stage(ctx, b, plan.Network, b.connect); err != nil {
		return nil, err
	}
	next, err := b.kernelFromServer(ctx)
	switch {
	case err != nil:
		return nil, err
	case next != nil:
		return &medium{next: next}, nil
	}
	if from, err := b.streamToDisk(ctx, d); err != nil || from != nil {
		return from, err
	}
	image, err := stage(ctx, b, plan.Fetch, b.open)
	if err != nil {
		return nil, err
	}
	defer image.Close()
	writer, job, err := b.openDisk(d, image.Size)
	if err != nil {
		return nil, &StageError{plan.Target, err}
	}
	defer writer.Close() // on the way out of an error; finish has closed it otherwise
	if _, err := stage(ctx, b, plan.Fetch, func(ctx context.Context) (int64, string, error) { return b.fill(ctx, job, image) }); err != nil {
		return nil, err
	}
	_, err = stage(ctx, b, plan.Target, func(ctx context.Context) (struct{}, string, error) {
		what, err := b.finish(ctx, writer, job, d, image)
		b.deployed = err == nil
		return struct{}{}, what, err
	})
	return nil, err
}

// exclusively opens a disk for writing.
func (b *run) exclusively(d disk.Device) (DiskWriter, error) {
	writer, err := b.OpenDisk(d.Path)
	if errors.Is(err, unix.EBUSY) {
		err = fmt.Errorf("%w: something on it is mounted, or it is part of an array", err)
	}
	return writer, err
}

// openDisk opens the disk for an image of size bytes, -1 if unknown.
func (b *run) openDisk(d disk.Device, size int64) (DiskWriter, *deploy.Deployment, error) {
	writer, err := b.exclusively(d)
	if err != nil {
		return nil, nil, err
	}
	spec := deploy.Spec{Container: b.container(), LayerOptional: b.plan.Overlay.Persistence == overlay.PersistentIfPossible}
	if b.plan.Overlay.Persistence != overlay.Volatile {
		spec.Layer = b.plan.Overlay.FileSystem
	}
	job, err := deploy.Prepare(writer, geometry(d), spec, size)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("%s: %w", d.Path, err), writer.Close())
	}
	return writer, job, nil
}

// finish makes the disk complete. What was verified while it arrived is read back, since it may be years until it is downloaded again.
func (b *run) finish(ctx context.Context, writer io.Closer, job *deploy.Deployment, d disk.Device, image *fetch.Stream) (string, error) {
	compared := ""
	record := deploy.Record{URL: origin(image.URL)}
	if digest := image.Verified(); digest != (fetch.Digest{}) {
		record.Digest = digest.String()
		if err := b.compare(ctx, job); err != nil {
			return "", err
		}
		compared = ", read back and compared"
	}
	if err := job.Finish(record); err != nil {
		return "", err
	}
	// The kernel still has the partitions of before, and does not look at the table of a disk that somebody holds for himself.
	if err := errors.Join(writer.Close(), b.readPartitions(ctx, d)); err != nil {
		return "", err
	}
	if err := job.LayerDropped(); err != nil {
		b.warnNotKept(err)
		b.plan.Overlay.Persistence = overlay.Volatile
	}
	return fmt.Sprintf("%s holds the live image%s", d.Path, compared), nil
}

// readPartitions makes the kernel read the partition table of d again. Somebody may look at a partition at that moment.
func (b *run) readPartitions(ctx context.Context, d disk.Device) error {
	ctx, cancel := context.WithTimeout(ctx, partitionPatience)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		err := b.ReadPartitions(d.Path)
		if !errors.Is(err, unix.EBUSY) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

// compare reads the image back from the disk.
func (b *run) compare(ctx context.Context, job *deploy.Deployment) error {
	var done atomic.Int64
	stop := b.showProgress(plan.Target, func() (int64, int64) { return done.Load(), job.Size() })
	defer stop()
	return job.Compare(ctx, done.Store)
}

// mediumOn returns how the image on a disk is mounted, and gives the disk a writable layer where one is wanted and missing.
func (b *run) mediumOn(ctx context.Context, found inspected) (medium, error) {
	image := found.Image
	if image.TableProblem != nil {
		b.ui.Warnf("%s: %v: mend it with gdisk or sgdisk", found.disk.Path, image.TableProblem)
	}
	m := medium{Medium: live.Medium{Device: found.disk.Path, Buffered: found.disk.SectorSize > iso.SectorSize}}
	if b.plan.Overlay.Persistence != overlay.Volatile {
		layer, err := b.layer(ctx, found)
		switch {
		case err == nil:
			m.layer = layer
		case b.plan.Overlay.Persistence == overlay.PersistentIfPossible:
			b.warnNotKept(err)
		default:
			return m, &StageError{plan.Overlay, err}
		}
	}
	// A whole disk cannot be mounted while one of its partitions is, nor the other way round.
	if image.ISO != nil && found.disk.SectorSize <= iso.SectorSize {
		part, err := b.partition(ctx, found.disk, image.ISO.Number)
		if err != nil {
			return m, &StageError{plan.Target, err}
		}
		m.ISO = part
		return m, nil
	}
	m.Size = image.Length / iso.SectorSize * iso.SectorSize
	if found.disk.SectorSize > iso.SectorSize {
		b.ui.Warnf("%s has sectors of %d bytes: this machine's firmware cannot boot the image from it by itself", found.disk.Path, found.disk.SectorSize)
	}
	return m, nil
}

// layer returns the writable layer on the image's disk, and makes it when there is none.
func (b *run) layer(ctx context.Context, found inspected) (overlay.Layer, error) {
	image, kind := found.Image, found.Image.LayerFS
	if found.disk.ReadOnly {
		return overlay.Layer{}, fmt.Errorf("%s cannot be written to: without rd.live.overlay.persistent the changes are kept in memory", found.disk.Path)
	}
	if image.Layer == nil {
		var err error
		if image.Layer, err = b.addLayer(ctx, found); err != nil {
			return overlay.Layer{}, err
		}
		kind = b.plan.Overlay.FileSystem
	}
	part, err := b.partition(ctx, found.disk, image.Layer.Number)
	return overlay.Layer{Device: part, FileSystem: kind}, err
}

func (b *run) addLayer(ctx context.Context, found inspected) (*partition.Entry, error) {
	writer, err := b.exclusively(found.disk)
	if err != nil {
		return nil, err
	}
	entry, err := deploy.AddLayer(writer, geometry(found.disk), *found.Image, b.plan.Overlay.FileSystem)
	if err := errors.Join(err, writer.Close()); err != nil {
		return nil, fmt.Errorf("%s: %w", found.disk.Path, err)
	}
	b.ui.Debugf("%s: made the writable layer (%s) in partition %d", found.disk.Path, b.plan.Overlay.FileSystem, entry.Number)
	return &entry, b.readPartitions(ctx, found.disk)
}

// partitionPatience is how long the kernel may take to show a partition that is in the table.
const partitionPatience = 10 * time.Second

// partition returns the device of a partition of d. The kernel puts a p between the disk's name and the number where the name ends with a
// digit (block/partitions/core.c).
func (b *run) partition(ctx context.Context, d disk.Device, number int) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, partitionPatience)
	defer cancel()
	path := d.Path + strconv.Itoa(number)
	if last := d.Path[len(d.Path)-1]; '0' <= last && last <= '9' {
		path = d.Path + "p" + strconv.Itoa(number)
	}
	if _, err := b.Disks.Wait(ctx, path, nil); err != nil {
		return "", fmt.Errorf("the kernel does not show partition %d of %s: %w", number, d.Path, err)
	}
	return path, nil
}
