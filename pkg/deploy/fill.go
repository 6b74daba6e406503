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
	if !s.begun {
		s.begun = true
		if err := s.clear(); err != nil {
			return 0, fmt.Errorf("clear the disk: %w", err)
		}
	}
	return volume, nil
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

// assembled is the image as it will be on the disk.
type assembled struct {
	head []byte
	dev  Device
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
	rest, err := a.dev.ReadAt(p[n:], offset+int64(n))
	return n + rest, err
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
	if offset+int64(len(b)) > s.disk.Size {
		return checkSpace(s.disk, offset+int64(len(b)), s.spec.Layer)
	}
	padded := target.Pad(b, s.disk.SectorSize)
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
		b := buffer[:min(target.BlockSize, roundUp(d.size-at, int64(d.disk.SectorSize)))]
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

// Finish makes the disk complete: it adds the writable layer and the record, which gets its lengths here, and writes the beginning of the
// image last.
func (d *Deployment) Finish(record Record) error {
	if err := d.finish(record); err != nil {
		return fmt.Errorf("finish the deployment: %w", err)
	}
	return nil
}

func (d *Deployment) finish(record Record) error {
	volume, err := iso.Open(bytes.NewReader(d.head))
	if err != nil {
		return err
	}
	sector := int64(d.disk.SectorSize)
	head := make([]byte, roundUp(int64(len(d.head)), sector))
	copy(head, d.head)
	first := head[:sector]
	end := place(d.size) + recordSize
	if d.spec.Layer != "" {
		edit, err := partition.Append(head, d.disk, end, LayerLabel)
		if err != nil {
			return err
		}
		// Nothing points to it yet.
		if err := makeLayer(d.dev, d.disk, d.spec.Layer, edit); err != nil {
			return err
		}
		for _, w := range edit.Table {
			if w.Offset < sector || w.Offset+int64(len(w.Data)) > int64(len(head)) {
				return fmt.Errorf("the partition table lies outside of the disk's first %d bytes", len(head))
			}
			copy(head[w.Offset:], w.Data)
		}
		first = edit.First
	}
	record.Length, record.Volume, record.VolumeID = d.size, volume.Size, volume.VolumeID
	record.Unbootable = bytes.Count(first, []byte{0}) == len(first)
	if err := write(d.dev, record.encode(), place(d.size)); err != nil {
		return err
	}
	if err := flush(d.dev); err != nil {
		return err
	}
	if err := errors.Join(write(d.dev, head[sector:], sector), flush(d.dev)); err != nil {
		return err
	}
	if err := compareHead(d.dev, head[sector:], sector); err != nil {
		return err
	}
	return errors.Join(write(d.dev, first, 0), flush(d.dev))
}

// compareHead reads back what lies at an offset in the disk's first headSize bytes.
func compareHead(dev Device, want []byte, offset int64) error {
	buffer, err := block.Buffer(headSize)
	if err != nil {
		return err
	}
	defer block.Free(buffer)
	b := buffer[:offset+int64(len(want))]
	if err := dev.ReadDirect(b, 0); err != nil {
		return fmt.Errorf("read back at byte 0: %w", err)
	}
	if !bytes.Equal(b[offset:], want) {
		return &CompareError{Offset: 0}
	}
	return nil
}

func flush(dev Device) error {
	if err := dev.Sync(); err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	return nil
}

func write(dev io.WriterAt, b []byte, offset int64) error {
	if _, err := dev.WriteAt(b, offset); err != nil {
		return fmt.Errorf("write at byte %d: %w", offset, err)
	}
	return nil
}

// makeLayer makes the file system of the writable layer, and the copies of the table.
func makeLayer(dev Device, d partition.Disk, kind string, edit partition.Edit) error {
	f, err := formatter(kind)
	if err != nil {
		return err
	}
	e := edit.Entry
	if e.Size < f.MinSize {
		return &SpaceError{Disk: d.Size, Image: e.Start, Needed: e.Start + f.MinSize, Layer: kind}
	}
	size := min(e.Size, f.MaxSize)
	if err := f.Format(window{dev, e.Start, size}, size, mkfs.Options{Label: LayerLabel, SectorSize: d.SectorSize}); err != nil {
		return fmt.Errorf("make the writable layer (%s): %w", kind, err)
	}
	for _, w := range edit.Backup {
		if err := write(dev, w.Data, w.Offset); err != nil {
			return err
		}
	}
	return nil
}

// An OccupiedError says that there is no space for a writable layer behind the image, because of something else that is there.
type OccupiedError struct {
	// Behind tells what is there.
	Behind string
	err    error
}

// Error names what is there, which may be a layer that is not recognised any more.
func (e *OccupiedError) Error() string {
	return fmt.Sprintf("behind the image is %s, which is no file system labelled %q, or a damaged one: %v", e.Behind, LayerLabel, e.err)
}

// Unwrap returns the cause.
func (e *OccupiedError) Unwrap() error { return e.err }

// AddLayer gives a disk with a complete image a writable layer of the file system kind in the free space behind the image, and returns where it is.
// Its error is an *OccupiedError where another partition, a damaged layer for one, is in the way.
func AddLayer(dev Device, d partition.Disk, image Image, kind string) (partition.Entry, error) {
	e, err := addLayer(dev, d, image, kind)
	if err != nil {
		return e, fmt.Errorf("add a writable layer: %w", err)
	}
	return e, nil
}

func addLayer(dev Device, d partition.Disk, image Image, kind string) (partition.Entry, error) {
	head := make([]byte, min(headSize, d.Size))
	if _, err := dev.ReadAt(head, 0); err != nil {
		return partition.Entry{}, err
	}
	edit, err := partition.Append(head, d, place(image.Length)+recordSize, LayerLabel)
	if err != nil && image.Behind != "" {
		err = &OccupiedError{image.Behind, err}
	}
	if err != nil {
		return partition.Entry{}, err
	}
	if err := makeLayer(dev, d, kind, edit); err != nil {
		return partition.Entry{}, err
	}
	for _, w := range append(edit.Table, partition.Write{Data: edit.First}) {
		if err := flush(dev); err != nil {
			return partition.Entry{}, err
		}
		if err := write(dev, w.Data, w.Offset); err != nil {
			return partition.Entry{}, err
		}
	}
	return edit.Entry, flush(dev)
}

// window is a piece of a device.
type window struct {
	dev          Device
	offset, size int64
}

// WriteAt implements io.WriterAt.
func (w window) WriteAt(b []byte, offset int64) (int, error) {
	if offset < 0 || offset+int64(len(b)) > w.size {
		return 0, fmt.Errorf("write of %d bytes at %d of a piece of %d: %w", len(b), offset, w.size, io.ErrShortWrite)
	}
	return w.dev.WriteAt(b, w.offset+offset)
}

// ZeroRange makes a range read as zeros.
func (w window) ZeroRange(offset, length int64) error {
	return w.dev.ZeroRange(w.offset+offset, length)
}

// Sync hands on to the device's own.
func (w window) Sync() error { return w.dev.Sync() }
