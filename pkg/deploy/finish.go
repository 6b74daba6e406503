package deploy

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/liveboot/liveboot/pkg/iso"
	"github.com/liveboot/liveboot/pkg/kernel/block"
	"github.com/liveboot/liveboot/pkg/partition"
)

// Finish makes the disk complete: it adds the writable layer and the record, which gets its lengths here, and writes the beginning of the
// image last.
func (d *Deployment) Finish(record Record) error {
	if err := d.finish(record); err != nil {
		return fmt.Errorf("finish the deployment: %w", err)
	}
	return nil
}

func (d *Deployment) finish(record Record) error {
	edit, err := d.planLayer(d.head, d.size)
	if err != nil {
		return err
	}
	if edit != nil {
		// Nothing points to it yet.
		if err := makeLayer(d.dev, d.disk, d.spec.Layer, edit.Entry); err != nil {
			return err
		}
	}
	return ending{d.disk, d.head, d.size, edit}.write(d.dev, record)
}

// An ending is what makes a disk complete on which the image is already, and flushed, but for its first headSize bytes.
type ending struct {
	disk partition.Disk
	// head is the beginning of the image, up to headSize bytes of size.
	head []byte
	size int64
	// edit is the table with the layer's partition, whose file system was made; nil if there is no layer.
	edit *partition.Edit
}

// A finishing is the disk for an ending. What it is given to write are whole sectors.
type finishing interface {
	io.WriterAt
	ReadDirect(p []byte, offset int64) error
	Sync() error
}

// write writes all of it, what makes the disk recognisable last. The record gets its lengths here.
func (e ending) write(dev finishing, record Record) error {
	volume, err := iso.Open(bytes.NewReader(e.head))
	if err != nil {
		return err
	}
	head, first, backup, err := e.table()
	if err != nil {
		return err
	}
	record.Length, record.Volume, record.VolumeID = e.size, volume.Size, volume.VolumeID
	record.Unbootable = bytes.Count(first, []byte{0}) == len(first)
	for _, w := range append(backup, partition.Write{Offset: place(e.size), Data: record.encode()}) {
		if err := write(dev, w.Data, w.Offset); err != nil {
			return err
		}
	}
	if err := flush(dev); err != nil {
		return err
	}
	sector := int64(e.disk.SectorSize)
	if err := errors.Join(write(dev, head[sector:], sector), flush(dev)); err != nil {
		return err
	}
	if err := compareHead(dev, head[sector:], sector); err != nil {
		return err
	}
	return errors.Join(write(dev, first, 0), flush(dev))
}

// table returns the disk's beginning with the partition table in it, in whole sectors, and LBA 0, which does not count there; and the copies
// of the table at other places.
func (e ending) table() (head, first []byte, backup []partition.Write, err error) {
	sector := int64(e.disk.SectorSize)
	head = make([]byte, roundUp(int64(len(e.head)), sector))
	copy(head, e.head)
	if e.edit == nil {
		return head, head[:sector], nil, nil
	}
	for _, w := range e.edit.Table {
		if w.Offset < sector || w.Offset+int64(len(w.Data)) > int64(len(head)) {
			return nil, nil, nil, fmt.Errorf("the partition table lies outside of the disk's first %d bytes", len(head))
		}
		copy(head[w.Offset:], w.Data)
	}
	return head, e.edit.First, e.edit.Backup, nil
}

// compareHead reads back what lies at an offset in the disk's first headSize bytes.
func compareHead(dev finishing, want []byte, offset int64) error {
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

func flush(dev interface{ Sync() error }) error {
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
