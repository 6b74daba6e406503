package deploy

import (
	"errors"
	"fmt"
	"io"

	"github.com/liveboot/liveboot/pkg/mkfs"
	"github.com/liveboot/liveboot/pkg/partition"
)

// planLayer plans the writable layer of a disk with an image of size bytes that begins with head; nil if it gets none. Where only the layer
// does not fit, and may be left out, it is.
func (d *Deployment) planLayer(head []byte, size int64) (*partition.Edit, error) {
	if d.spec.Layer == "" {
		return nil, nil
	}
	edit, err := planLayer(head, d.disk, size, d.spec.Layer)
	var space *SpaceError
	switch {
	case err == nil:
		return &edit, nil
	case d.spec.LayerOptional && (errors.As(err, &space) || errors.Is(err, partition.ErrNoSpace)):
		d.dropped, d.spec.Layer = err, ""
		return nil, nil
	}
	return nil, err
}

// planLayer plans the partition of a layer with the file system kind, behind the record of an image of size bytes that begins with head.
func planLayer(head []byte, d partition.Disk, size int64, kind string) (partition.Edit, error) {
	f, err := formatter(kind)
	if err != nil {
		return partition.Edit{}, err
	}
	whole := make([]byte, roundUp(int64(len(head)), int64(d.SectorSize)))
	copy(whole, head)
	edit, err := partition.Append(whole, d, place(size)+recordSize, LayerLabel)
	if err == nil && edit.Entry.Size < f.MinSize {
		err = &SpaceError{Disk: d.Size, Image: edit.Entry.Start, Needed: edit.Entry.Start + f.MinSize, Layer: kind}
	}
	return edit, err
}

// makeLayer makes the file system of the writable layer.
func makeLayer(dev Device, d partition.Disk, kind string, e partition.Entry) error {
	f, err := formatter(kind)
	if err != nil {
		return err
	}
	size := min(e.Size, f.MaxSize)
	if err := f.Format(window{dev, e.Start, size}, size, mkfs.Options{Label: LayerLabel, SectorSize: d.SectorSize}); err != nil {
		return fmt.Errorf("make the writable layer (%s): %w", kind, err)
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
	edit, err := planLayer(head, d, image.Length, kind)
	if err != nil && image.Behind != "" {
		err = &OccupiedError{image.Behind, err}
	}
	if err != nil {
		return partition.Entry{}, err
	}
	if err := makeLayer(dev, d, kind, edit.Entry); err != nil {
		return partition.Entry{}, err
	}
	for _, w := range edit.Backup {
		if err := write(dev, w.Data, w.Offset); err != nil {
			return partition.Entry{}, err
		}
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
