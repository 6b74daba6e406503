package target

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/liveboot/liveboot/pkg/iso"
	"github.com/liveboot/liveboot/pkg/kernel/block"
)

const (
	// BlockSize is what is written at a time, in bytes: large enough that the cost of a call does not count, and larger than the
	// volume descriptor of an ISO, so that the first block tells what is coming.
	BlockSize = 1 << 20
	// blocks is how many are under way: one that is being filled, one whose digest is being taken, one that is being written, and one between them.
	blocks = 4
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

// A Lender is a reader that may read once more, beside its caller's work, what it has read into a block; *fetch.Stream is one.
type Lender interface {
	// Lend is Read into a block from an index on.
	Lend(block []byte, from int) (int, error)
	// Settle returns when nothing of a block is read any more, so that it can be used for something else.
	Settle(block []byte)
}

// A piece is what the reading side of Fill hands to the writing side: a block, or the news that the image begins anew.
type piece struct {
	block   []byte
	restart Restarter
}

// A Sink is where an image goes.
type Sink interface {
	// First looks at the first block of the image before it is written, and returns the size in bytes of the volume that it begins.
	First(block []byte) (volume int64, err error)
	// Write writes a block at an offset in bytes, a multiple of BlockSize. All but the last are of BlockSize; what is behind the last in
	// its slice, up to BlockSize, may be changed.
	Write(block []byte, offset int64) error
	// Restart says that the image begins anew, and its size in bytes, -1 if unknown.
	Restart(size int64) error
}

// Copy brings the image from r to s, from its beginning, and returns its size in bytes. What is read must be an ISO: its
// first block is looked at before the others are read. Reading and writing, and whatever a Lender does with what was read, run beside each
// other in constant memory. Where a Read ends with a Restarter, all begins anew.
func Copy(ctx context.Context, r io.Reader, s Sink) (size int64, err error) {
	memory, err := block.Buffer(blocks * BlockSize)
	if err != nil {
		return 0, err
	}
	defer block.Free(memory)
	defer func() {
		for b := range slices.Chunk(memory, BlockSize) {
			settle(r, b)
		}
	}()

	free, full := make(chan []byte, blocks), make(chan piece, blocks)
	for i := range blocks {
		free <- memory[i*BlockSize : (i+1)*BlockSize]
	}
	var volume int64
	var failed error // of the device; what the reader says of its end is only what came of it
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(full)
		return readBlocks(ctx, r, free, full)
	})
	group.Go(func() (err error) {
		// A reader that waits for its server does not see that the device has failed.
		defer func() {
			failed = err
			if closer, ok := r.(io.Closer); ok && err != nil {
				_ = closer.Close()
			}
		}()
		for p := range full {
			if p.restart != nil {
				if err := s.Restart(p.restart.Restart()); err != nil {
					return err
				}
				size = 0
				continue
			}
			if size == 0 {
				if volume, err = s.First(p.block); err != nil {
					return err
				}
			}
			if err := s.Write(p.block, size); err != nil {
				return err
			}
			size += int64(len(p.block))
			free <- p.block[:BlockSize]
		}
		return nil
	})
	if err := group.Wait(); err != nil {
		if failed != nil {
			err = failed
		}
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
				settle(r, b)
			case <-ctx.Done():
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		n, err := readFull(r, b)
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

func settle(r io.Reader, b []byte) {
	if lender, ok := r.(Lender); ok {
		lender.Settle(b)
	}
}

// readFull is io.ReadFull, with a block that is lent to a Lender.
func readFull(r io.Reader, b []byte) (n int, err error) {
	lender, ok := r.(Lender)
	if !ok {
		return io.ReadFull(r, b)
	}
	for n < len(b) && err == nil {
		var m int
		m, err = lender.Lend(b, n)
		n += m
	}
	switch {
	case n == len(b):
		return n, nil
	case n > 0 && err == io.EOF:
		return n, io.ErrUnexpectedEOF
	}
	return n, err
}

// Volume returns the size in bytes of the ISO that the block begins, of an image whose announced size is -1 if unknown. Its error is a
// *TruncatedError where less was announced.
func Volume(first []byte, announced int64) (int64, error) {
	image, err := iso.Open(bytes.NewReader(first))
	if err != nil {
		return 0, err
	}
	if announced >= 0 && image.Size > announced {
		return 0, &TruncatedError{Volume: image.Size, Received: announced}
	}
	return image.Size, nil
}

// Pad returns b with zeros behind it, up to the next multiple of alignment; its capacity must reach that far.
func Pad(b []byte, alignment int) []byte {
	n := len(b)
	padded := b[:(n+alignment-1)/alignment*alignment]
	clear(padded[n:])
	return padded
}
