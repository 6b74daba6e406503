package target

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"

	"github.com/liveboot/liveboot/pkg/iso"
	"github.com/liveboot/liveboot/pkg/kernel/block"
)

const (
	// blockSize is what is written at a time: large enough that the cost of a call does not count, and larger than the
	// volume descriptor of an ISO, so that the first block tells what is coming.
	blockSize = 1 << 20
	// blocks is how many are under way: one that is being filled, one that is being written, and one between them.
	blocks = 3
)

// TruncatedError says that the image claims to be longer than it is.
type TruncatedError struct{ Volume, Received int64 }

// Error gives both figures.
func (e *TruncatedError) Error() string {
	return fmt.Sprintf("the image is truncated: its volume descriptor says %d bytes, the server has %d", e.Volume, e.Received)
}

// A Restarter is an error of a reader that says that the image begins anew with the next Read: with its size in bytes, -1 if unknown.
type Restarter interface {
	error
	Restart() int64
}

// A piece is what the reading side of Fill hands to the writing side: a block, or the news that the image begins anew.
type piece struct {
	block   []byte
	restart Restarter
}

// Fill writes the image from r to the disk, from its beginning, and returns its size in bytes. What is read must be an ISO: its
// first block is looked at before the others are read. Reading and writing run beside each other in constant memory. Where a Read ends with
// a Restarter, all begins anew.
func (d *Disk) Fill(ctx context.Context, r io.Reader) (size int64, err error) {
	device, err := d.env.Open(d.Device)
	if err != nil {
		return 0, fmt.Errorf("fill %s: %w", d.Device, err)
	}
	defer func() {
		if closeErr := device.Close(); closeErr != nil && err == nil {
			err = fmt.Errorf("fill %s: %w", d.Device, closeErr)
		}
	}()
	memory, err := block.Buffer(blocks * blockSize)
	if err != nil {
		return 0, fmt.Errorf("fill %s: %w", d.Device, err)
	}
	defer block.Free(memory)

	free, full := make(chan []byte, blocks), make(chan piece, blocks)
	for i := range blocks {
		free <- memory[i*blockSize : (i+1)*blockSize]
	}
	var volume, held int64 // held is what the RAM disk has of an image that began anew
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(full)
		return readBlocks(ctx, r, free, full)
	})
	group.Go(func() (err error) {
		// A reader that waits for its server does not see that the device has failed.
		defer func() {
			if closer, ok := r.(io.Closer); ok && err != nil {
				_ = closer.Close()
			}
		}()
		for p := range full {
			if p.restart != nil {
				held, size, d.announced = max(held, size), 0, p.restart.Restart()
				if d.announced > d.Capacity {
					return &TooLargeError{Image: d.announced, Room: d.Capacity}
				}
				continue
			}
			b := p.block
			if size == 0 {
				v, err := d.inspect(b, held)
				if err != nil {
					return err
				}
				volume = v
			}
			if err := d.write(device, b, size); err != nil {
				return err
			}
			size += int64(len(b))
			free <- b[:blockSize]
		}
		return nil
	})
	if err := group.Wait(); err != nil {
		return size, err
	}
	if size == 0 {
		return 0, fmt.Errorf("the image is empty: %w", iso.ErrNotISO)
	}
	if size < volume {
		return size, &TruncatedError{Volume: volume, Received: size}
	}
	return size, nil
}

// readBlocks fills free blocks from r and hands them on, each full but for the last.
func readBlocks(ctx context.Context, r io.Reader, free <-chan []byte, full chan<- piece) error {
	var b []byte
	for {
		if b == nil {
			select {
			case b = <-free:
			case <-ctx.Done():
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		n, err := io.ReadFull(r, b)
		var restart Restarter
		if errors.As(err, &restart) {
			select {
			case full <- piece{restart: restart}:
				continue
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		// An error of the stream itself may wrap io.ErrUnexpectedEOF; only ReadFull's own, of that very value, means the end.
		end := err == io.EOF || err == io.ErrUnexpectedEOF
		if err != nil && !end {
			return err
		}
		if n > 0 {
			select {
			case full <- piece{block: b[:n]}:
				b = nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if end {
			return nil
		}
	}
}

// inspect looks at the first block and returns the size of the volume that it begins. Where the size was not known, this is
// the first moment to find out that it cannot fit. The RAM disk holds so many bytes already.
func (d *Disk) inspect(first []byte, held int64) (int64, error) {
	image, err := iso.Open(bytes.NewReader(first))
	if err != nil {
		return 0, err
	}
	if d.announced >= 0 && image.Size > d.announced {
		return 0, &TruncatedError{Volume: image.Size, Received: d.announced}
	}
	if _, err := checkMemory(image.Size-held, d.env); err != nil {
		return 0, err
	}
	if image.Size > d.Capacity {
		return 0, &TooLargeError{Image: image.Size, Room: d.Capacity}
	}
	return image.Size, nil
}

// write writes a block, the last one filled with zeros up to the sector's end.
func (d *Disk) write(device Writer, b []byte, offset int64) error {
	n := len(b)
	padded := b[:roundUp(int64(n))]
	clear(padded[n:])
	if offset+int64(len(padded)) > d.Capacity {
		return &TooLargeError{Image: offset + int64(n), Room: d.Capacity}
	}
	if _, err := device.WriteAt(padded, offset); err != nil {
		return fmt.Errorf("write to %s at byte %d: %w", d.Device, offset, err)
	}
	return nil
}
