package decompress

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/mikelolasagasti/xz"
	"golang.org/x/sync/semaphore"
)

// An xzReader puts the blocks together again, in their order.
type xzReader struct {
	blocks <-chan *xzPiece
	result <-chan error // of the splitter, behind the last block
	pool   *xzPool

	piece   *xzPiece
	rest    []byte     // of a piece that a worker unpacked
	decoder *xz.Reader // of pieces that are unpacked while they arrive
}

// An xzPool is what blocks are kept in and unpacked with. What was used once is used again, so that memory that was given back is not
// taken a second time before the garbage collector runs.
type xzPool struct {
	memory           *semaphore.Weighted
	packed, unpacked freeList[[]byte] // blocks are about as large as the one before
	decoders         freeList[*xz.Reader]
}

// A freeList keeps what is free at the moment.
type freeList[T any] chan T

// get returns the zero value if nothing is free.
func (l freeList[T]) get() (t T) {
	select {
	case t = <-l:
	default:
	}
	return t
}

func (l freeList[T]) put(t T) {
	select {
	case l <- t:
	default:
	}
}

// buffer returns one of that size.
func buffer(l freeList[[]byte], size int) []byte {
	if b := l.get(); cap(b) >= size {
		return b[:size]
	}
	return make([]byte, size)
}

func openXZ(src *bufio.Reader, o Options) (io.Reader, func(), error) {
	ctx, cancel := context.WithCancel(context.Background())
	// The queues have room for a block a worker, so that no worker waits for the reader; what bounds them is the memory.
	blocks, jobs, result := make(chan *xzPiece, o.Workers), make(chan *xzPiece, o.Workers), make(chan error, 1)
	pool := &xzPool{
		memory: semaphore.NewWeighted(o.Memory), packed: make(freeList[[]byte], o.Workers), unpacked: make(freeList[[]byte], o.Workers),
		decoders: make(freeList[*xz.Reader], o.Workers),
	}
	s := &xzSplitter{src: src, blocks: blocks, jobs: jobs, pool: pool}
	if o.Workers > 1 {
		s.largest = o.Memory / 2
		for range o.Workers {
			go unpackXZ(jobs, pool)
		}
	}
	go func() {
		result <- s.run(ctx)
		close(blocks)
		close(jobs)
	}()
	return &xzReader{blocks: blocks, result: result, pool: pool}, cancel, nil
}

// unpackXZ is a worker.
func unpackXZ(jobs <-chan *xzPiece, pool *xzPool) {
	for p := range jobs {
		var decoder *xz.Reader
		decoder, p.err = openBlock(pool.decoders.get(), bytes.NewReader(p.packed))
		if p.err == nil {
			p.unpacked = buffer(pool.unpacked, p.size)
			p.err = readWhole(decoder, p.unpacked)
		}
		pool.decoders.put(decoder)
		pool.packed.put(p.packed)
		close(p.done)
	}
}

// openBlock makes a decoder read another stream. It may be nil.
func openBlock(decoder *xz.Reader, r io.Reader) (*xz.Reader, error) {
	if decoder == nil {
		return xz.NewReader(r, MaxWindow)
	}
	return decoder, decoder.Reset(r)
}

// readWhole reads a stream of as many bytes as b has.
func readWhole(r io.Reader, b []byte) error {
	if _, err := io.ReadFull(r, b); err != nil {
		return noEOF(err)
	}
	switch n, err := io.ReadFull(r, make([]byte, 1)); {
	case n > 0:
		return errXZDamaged
	case err != io.EOF:
		return err
	}
	return nil
}

// noEOF is for a block that ends before the size in its header.
func noEOF(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return errXZDamaged
	}
	return err
}

func (r *xzReader) Read(p []byte) (int, error) {
	for len(p) > 0 {
		if r.piece == nil {
			piece, more := <-r.blocks
			if !more {
				err := <-r.result
				if err == nil {
					err = io.EOF
				}
				return 0, err
			}
			if err := r.begin(piece); err != nil {
				return 0, xzError(err)
			}
		}
		n, err := r.some(p)
		if n > 0 || err != nil {
			return n, xzError(err)
		}
	}
	return 0, nil
}

// begin takes the next block.
func (r *xzReader) begin(p *xzPiece) (err error) {
	r.piece = p
	if p.arriving != nil {
		r.decoder, err = openBlock(r.decoder, p.arriving)
		return err
	}
	<-p.done
	r.rest = p.unpacked
	return p.err
}

// some reads from the block, and lets it go at its end.
func (r *xzReader) some(b []byte) (n int, err error) {
	p := r.piece
	if p.arriving != nil {
		n, err = r.decoder.Read(b)
		if err == io.EOF {
			close(p.done)
			r.piece, err = nil, nil
		}
		return n, err
	}
	n = copy(b, r.rest)
	r.rest = r.rest[n:]
	if len(r.rest) == 0 {
		r.pool.unpacked.put(p.unpacked)
		r.pool.memory.Release(p.cost)
		r.piece = nil
	}
	return n, nil
}

// xzError says the library's errors in other words.
func xzError(err error) error {
	if errors.Is(err, xz.ErrData) || errors.Is(err, xz.ErrBuf) || errors.Is(err, xz.ErrFormat) {
		return fmt.Errorf("the file is damaged: %w", err)
	}
	return err
}
