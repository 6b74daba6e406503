package target

import (
	"bytes"
	"context"
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

// Fill writes the image from r to the disk, from its beginning, and returns its size in bytes. What is read must be an ISO: its
// first block is looked at before the others are read. Reading and writing run beside each other in constant memory.
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

	free, full := make(chan []byte, blocks), make(chan []byte, blocks)
	for i := range blocks {
		free <- memory[i*blockSize : (i+1)*blockSize]
	}
	var volume int64
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(full)
		return readBlocks(ctx, r, free, full)
	})
	group.Go(func() error {
		for b := range full {
			if size == 0 {
				v, err := d.inspect(b)
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
func readBlocks(ctx context.Context, r io.Reader, free <-chan []byte, full chan<- []byte) error {
	for {
		var b []byte
		select {
		case b = <-free:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		n, err := io.ReadFull(r, b)
		// An error of the stream itself may wrap io.ErrUnexpectedEOF; only ReadFull's own, of that very value, means the end.
		end := err == io.EOF || err == io.ErrUnexpectedEOF
		if err != nil && !end {
			return err
		}
		if n > 0 {
			full <- b[:n]
		}
		if end {
			return nil
		}
	}
}

// inspect looks at the first block and returns the size of the volume that it begins. Where the size was not known, this is
// the first moment to find out that it cannot fit.
func (d *Disk) inspect(first []byte) (int64, error) {
	image, err := iso.Open(bytes.NewReader(first))
	if err != nil {
		return 0, err
	}
	if d.announced >= 0 && image.Size > d.announced {
		return 0, &TruncatedError{Volume: image.Size, Received: d.announced}
	}
	if _, err := checkMemory(image.Size, d.env); err != nil {
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
