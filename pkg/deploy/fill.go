package deploy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"time"

	"github.com/liveboot/liveboot/pkg/iso"
	"github.com/liveboot/liveboot/pkg/kernel/block"
	"github.com/liveboot/liveboot/pkg/live"
	"github.com/liveboot/liveboot/pkg/mkfs"
	"github.com/liveboot/liveboot/pkg/partition"
	"github.com/liveboot/liveboot/pkg/target"
)

// A Deployment is a disk that is about to get an image, or is getting it. Until its first block has arrived and is that of an ISO that
// fits, nothing is written.
type Deployment struct {
	dev       Device
	disk      partition.Disk
	spec      Spec
	announced int64

	begun   bool
	dropped error    // why there is no layer
	head    []byte   // the image's first headSize bytes, kept back
	sums    []uint32 // CRC-32C of the blocks behind it
	size    int64
}

// Prepare makes sure that an image of size bytes, -1 if unknown, fits. Its error is a *SpaceError when it does not.
func Prepare(dev Device, d partition.Disk, s Spec, size int64) (*Deployment, error) {
	job := &Deployment{dev: dev, disk: d, spec: s, announced: size}
	return job, job.fits(max(size, 0))
}

// fits makes sure that an image of so many bytes fits. Where only the layer does not, and may be left out, it is.
func (d *Deployment) fits(image int64) error {
	err := checkSpace(d.disk, image, d.spec.Layer)
	if err != nil && d.spec.LayerOptional && checkSpace(d.disk, image, "") == nil {
		d.dropped, d.spec.Layer = err, ""
		return nil
	}
	return err
}

// LayerDropped says why the disk gets no writable layer although one was wanted; nil if it does.
func (d *Deployment) LayerDropped() error { return d.dropped }

// Fill brings the image from r to the disk, and returns its size in bytes. The disk stays recognisably incomplete: Finish makes it complete.
func (d *Deployment) Fill(ctx context.Context, r io.Reader) (int64, error) {
	n, err := target.Copy(ctx, r, sink{d, ctx})
	if err != nil {
		return n, err
	}
	d.size = n
	// The image may be longer than what was known of it, and there must be a place for what comes behind.
	if err := d.fits(n); err != nil {
		return n, err
	}
	// Its directory may lie where the first block did not show it.
	if err := d.checkLive(assembled{d.head, d.dev}); err != nil {
		return n, err
	}
	if err := d.dev.Sync(); err != nil {
		return n, fmt.Errorf("flush the image: %w", err)
	}
	return n, nil
}

// Size returns that of the image in bytes, once Fill has returned.
func (d *Deployment) Size() int64 { return d.size }

// sink is the side of a Deployment that takes the image, until ctx ends.
type sink struct {
	*Deployment
	ctx context.Context
}

// First implements target.Sink: what is an ISO and fits is worth to lose for it what the disk holds.
func (s sink) First(b []byte) (int64, error) {
	volume, err := target.Volume(b, s.announced)
	if err != nil {
		return 0, err
	}
	if err := s.fits(max(volume, s.announced)); err != nil {
		return 0, err
	}
	if err := s.checkLive(bytes.NewReader(b)); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return 0, err
	}
	return volume, s.clearOnce()
}

// checkLive makes sure that an image is a live one. Its error is a *live.NoRootError, or an io.EOF or
// io.ErrUnexpectedEOF where r ends too early to tell.
func (d *Deployment) checkLive(r io.ReaderAt) error {
	image, err := iso.Open(r)
	if err != nil {
		return err
	}
	_, _, err = image.Find(d.spec.Container)
	if errors.Is(err, fs.ErrNotExist) {
		return &live.NoRootError{Missing: "it has no file " + d.spec.Container, VolumeID: image.VolumeID}
	}
	return err
}

// assembled is an image of which the beginning is at hand, and the rest, at its own offset, in another place.
type assembled struct {
	head []byte
	rest io.ReaderAt
}

// ReadAt implements io.ReaderAt.
func (a assembled) ReadAt(p []byte, offset int64) (int, error) {
	n := 0
	if offset < int64(len(a.head)) {
		n = copy(p, a.head[offset:])
	}
	if n == len(p) {
		return n, nil
	}
	m, err := a.rest.ReadAt(p[n:], offset+int64(n))
	return n + m, err
}

// clearOnce is clear the first time: an image that begins anew finds a disk that was cleared.
func (s sink) clearOnce() error {
	if s.begun {
		return nil
	}
	s.begun = true
	if err := s.clear(); err != nil {
		return fmt.Errorf("clear the disk: %w", err)
	}
	return nil
}

// clear takes away everything by which the disk is known. The order makes it a deployment under way from the first write on.
func (s sink) clear() error {
	first := make([]byte, s.disk.SectorSize)
	copy(first, mark)
	if err := write(s.dev, first, 0); err != nil {
		return err
	}
	if err := s.dev.Sync(); err != nil {
		return err
	}
	s.discard()
	return mkfs.WipeSignatures(marked{s.dev, int64(s.disk.SectorSize)}, s.disk.Size)
}

const (
	// discardStep is how much of the disk is discarded at a time, in bytes, and discardTime how long it goes on: some disks take
	// minutes, and it is only a kindness to them.
	discardStep = 1 << 30
	discardTime = 20 * time.Second
)

// discard tells the disk that it need not keep what is there. Many cannot, and what they do about it does not matter.
func (s sink) discard() {
	began := time.Now()
	end := s.disk.Size / headSize * headSize
	for at := int64(headSize); at < end && time.Since(began) < discardTime && s.ctx.Err() == nil; at += discardStep {
		if s.dev.Discard(at, min(discardStep, end-at)) != nil {
			return
		}
	}
}

// marked is a disk whose first sector is not to be touched.
type marked struct {
	dev    Device
	sector int64
}

// WriteAt implements io.WriterAt.
func (m marked) WriteAt(b []byte, offset int64) (int, error) {
	kept := min(max(m.sector-offset, 0), int64(len(b)))
	n, err := m.dev.WriteAt(b[kept:], offset+kept)
	return n + int(kept), err
}

// ZeroRange makes a range read as zeros.
func (m marked) ZeroRange(offset, length int64) error {
	kept := min(max(m.sector-offset, 0), length)
	return m.dev.ZeroRange(offset+kept, length-kept)
}

// Sync hands on to the disk's own.
func (m marked) Sync() error { return m.dev.Sync() }

// Restart implements target.Sink.
func (s sink) Restart(size int64) error {
	s.announced, s.head, s.sums = size, nil, nil
	return s.fits(max(size, 0))
}

// Write implements target.Sink. The first block is kept back.
func (s sink) Write(b []byte, offset int64) error {
	if offset == 0 {
		s.head = bytes.Clone(b)
		return nil
	}
	if place(offset+int64(len(b))) > s.disk.Size {
		return checkSpace(s.disk, offset+int64(len(b)), s.spec.Layer)
	}
	padded := target.Pad(b, recordSize) // up to the record
	if err := s.dev.WriteDirect(padded, offset); err != nil {
		return fmt.Errorf("write at byte %d: %w", offset, err)
	}
	s.sums = append(s.sums, crc32.Checksum(padded, castagnoli()))
	return nil
}

// A CompareError says that the disk does not give back what was written to it.
type CompareError struct {
	// Offset is where the piece of a MiB begins that differs, in bytes.
	Offset int64
}

// Error names the place.
func (e *CompareError) Error() string {
	return fmt.Sprintf("the disk does not hold what was written to it: it differs in the MiB at byte %d", e.Offset)
}

// Compare reads the image back from the disk, past the kernel's cache. progress is told how much was compared. Its error is a *CompareError
// where the disk gives something else.
func (d *Deployment) Compare(ctx context.Context, progress func(done int64)) error {
	buffer, err := block.Buffer(target.BlockSize)
	if err != nil {
		return err
	}
	defer block.Free(buffer)
	for i, sum := range d.sums {
		if err := ctx.Err(); err != nil {
			return err
		}
		at := headSize + int64(i)*target.BlockSize
		b := buffer[:min(target.BlockSize, place(d.size-at))]
		if err := d.dev.ReadDirect(b, at); err != nil {
			return fmt.Errorf("read back at byte %d: %w", at, err)
		}
		if crc32.Checksum(b, castagnoli()) != sum {
			return &CompareError{Offset: at}
		}
		progress(min(at+target.BlockSize, d.size))
	}
	return nil
}
