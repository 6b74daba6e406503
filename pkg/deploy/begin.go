package deploy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/liveboot/liveboot/pkg/partition"
	"github.com/liveboot/liveboot/pkg/target"
)

// Streamed is a disk on which Begin has made everything ready for an image that arrives in any order, while the live system runs from it. It
// can be sent to another process as JSON.
type Streamed struct {
	// Disk is what the image comes to, and Size that of the image in bytes.
	Disk partition.Disk
	Size int64
	// Head is the SHA-256, in hexadecimal digits, of the first MiB of the image, or of all of it if it is smaller.
	Head string
	// Layer is the place of the writable layer, which can be used at once; the zero value if there is none.
	Layer Layer
	// Record is what the disk will tell of the image. URL and Digest are the caller's to set; the other fields are found out at the end.
	Record Record
}

// A Layer is the place of the writable layer on a disk whose partition table does not have it yet.
type Layer struct {
	// Start and Size are in bytes, of what will be the partition.
	Start, Size int64
	// FileSystem is the kernel's name for what was made there.
	FileSystem string
}

// streamSector is the size in bytes of the sectors of a disk that an image can be streamed to: a live system reads its image in such.
const streamSector = 512

// Begin makes the disk ready for an image, of the size that Prepare was told, that will arrive in any order: it clears the disk, and makes
// the file system of the writable layer where Finish would. Nothing is written before it is known that image is a live one for which there is
// space. image is read where its beginning and its directory are; what is wrong with it is told as by Fill.
//
// The disk is then as one on which a deployment was interrupted, and stays so until Arrival.Complete. Instead of that, and after an error,
// Fill and Finish can still be used.
func (d *Deployment) Begin(ctx context.Context, image io.ReaderAt) (Streamed, error) {
	s, err := d.begin(ctx, image)
	if err != nil {
		return Streamed{}, fmt.Errorf("begin the deployment: %w", err)
	}
	return s, nil
}

func (d *Deployment) begin(ctx context.Context, image io.ReaderAt) (Streamed, error) {
	if d.disk.SectorSize != streamSector {
		return Streamed{}, fmt.Errorf("the disk has sectors of %d bytes, and an image can only be streamed to one with %d: download it as a whole",
			d.disk.SectorSize, streamSector)
	}
	size := d.announced
	if size <= 0 {
		return Streamed{}, errors.New("the size of the image is not known: download it as a whole")
	}
	head := make([]byte, min(headSize, size))
	if n, err := image.ReadAt(head, 0); n < len(head) {
		return Streamed{}, fmt.Errorf("read the beginning of the image: %w", err)
	}
	edit, err := d.check(head, image)
	if err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return Streamed{}, err
	}
	if err := (sink{d, ctx}).clearOnce(); err != nil {
		return Streamed{}, err
	}
	sum := sha256.Sum256(head)
	s := Streamed{Disk: d.disk, Size: size, Head: hex.EncodeToString(sum[:])}
	if edit == nil {
		return s, nil
	}
	s.Layer = Layer{Start: edit.Entry.Start, Size: edit.Entry.Size, FileSystem: d.spec.Layer}
	if err := makeLayer(d.dev, d.disk, d.spec.Layer, edit.Entry); err != nil {
		return Streamed{}, err
	}
	return s, flush(d.dev)
}

// check makes sure that the image that begins with head is a live one for which there is space, and plans the layer.
func (d *Deployment) check(head []byte, image io.ReaderAt) (*partition.Edit, error) {
	if _, err := target.Volume(head, d.announced); err != nil {
		return nil, err
	}
	if err := d.fits(d.announced); err != nil {
		return nil, err
	}
	if err := d.checkLive(assembled{head, image}); err != nil {
		return nil, err
	}
	return d.planLayer(head, d.announced)
}
