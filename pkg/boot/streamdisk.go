package boot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/liveboot/liveboot/pkg/deploy"
	"github.com/liveboot/liveboot/pkg/device/disk"
	"github.com/liveboot/liveboot/pkg/fetch"
	"github.com/liveboot/liveboot/pkg/fetch/blockcache"
	"github.com/liveboot/liveboot/pkg/kernel/nbd"
	"github.com/liveboot/liveboot/pkg/live"
	"github.com/liveboot/liveboot/pkg/overlay"
	"github.com/liveboot/liveboot/pkg/plan"
)

// streamedLayer is the device mapper's name of the writable layer while its disk is not complete.
const streamedLayer = "liveboot-cow"

// streamToDisk mounts the live system from an image that is still at its server, to be complete on the disk d. It returns nil where the image is to be
// downloaded as a whole.
func (b *run) streamToDisk(ctx context.Context, d disk.Device) (*medium, error) {
	if b.plan.Stream.Wanted() && d.SectorSize != nbd.BlockSize {
		return nil, staged(plan.Fetch, b.asWhole(fmt.Sprintf("%s has sectors of %d bytes", d.Path, d.SectorSize)))
	}
	image, err := b.lookAtStream(ctx)
	if err != nil || image == nil {
		return nil, err
	}
	defer image.Close()
	return stage(ctx, b, plan.Target, func(ctx context.Context) (*medium, string, error) {
		begun, err := b.beginDeployment(ctx, d, image)
		if err != nil {
			return nil, "", err
		}
		job := b.job(image)
		job.Device = d.Path
		if job.Completion, err = json.Marshal(begun); err != nil {
			return nil, "", err
		}
		ready, err := b.stream(ctx, job)
		if err != nil || ready == nil {
			return nil, "", err
		}
		from := &medium{Medium: live.Medium{Device: ready.Device}, streamed: true}
		if begun.Layer.Size > 0 {
			path, err := b.Map(streamedLayer, d.Path, begun.Layer.Start, begun.Layer.Size)
			if err != nil {
				return nil, "", err
			}
			from.layer = overlay.Layer{Device: path, FileSystem: begun.Layer.FileSystem}
		}
		return from, b.streams(ready, job), nil
	})
}

// beginDeployment makes the disk ready for the image, with the writable layer behind where the image will be.
func (b *run) beginDeployment(ctx context.Context, d disk.Device, image *remote) (deploy.Streamed, error) {
	writer, job, err := b.openDisk(d, image.Size)
	if err != nil {
		return deploy.Streamed{}, err
	}
	begun, err := job.Begin(ctx, blockcache.New(image, image.Size, blockcache.Options{}))
	if err := errors.Join(err, writer.Close()); err != nil {
		return begun, fmt.Errorf("%s: %w", d.Path, err)
	}
	if err := job.LayerDropped(); err != nil {
		b.warnNotKept(err)
		b.plan.Overlay.Persistence = overlay.Volatile
	}
	begun.Record.URL = origin(image.Ranges.URL)
	if image.digest != (fetch.Digest{}) {
		begun.Record.Digest = image.digest.String()
	}
	return begun, nil
}
