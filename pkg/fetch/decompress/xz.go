package decompress

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"hash/crc32"
	"io"
)

// An xzSplitter takes the container apart, in the order of the file, and gives every block away as a stream of its own: that is the
// form in which the library reads it, verifies its check, and can do so beside others. What holds for the whole is verified here.
type xzSplitter struct {
	src     *bufio.Reader
	blocks  chan<- *xzPiece
	jobs    chan<- *xzPiece
	pool    *xzPool
	largest int64 // what one block may take in memory, so that there is room for two; 0 if there are no workers

	flags     xzFlags
	checkSize int
	records   hash.Hash // of the stream's blocks so far, as the index will list them
	count     uint64
}

// A xzPiece is one block on its way.
type xzPiece struct {
	// packed is a stream of this one block. A worker makes unpacked of it, of size bytes, or err, and closes done.
	packed   []byte
	size     int
	unpacked []byte
	err      error
	done     chan struct{}
	cost     int64 // of memory, in bytes

	// arriving, where it is not nil, is the stream as it comes from the source: whoever reads the pieces unpacks it, and closes done.
	arriving io.Reader
}

// run reads streams and padding until the end of the source.
func (s *xzSplitter) run(ctx context.Context) error {
	for {
		if err := s.stream(ctx); err != nil {
			return err
		}
		// Stream padding: zeros, a multiple of four of them.
		zeros := 0
		c, err := s.src.ReadByte()
		for ; err == nil && c == 0; c, err = s.src.ReadByte() {
			zeros++
		}
		switch {
		case err != nil && err != io.EOF:
			return err
		case err == io.EOF && zeros%4 == 0:
			return nil
		case err == io.EOF:
			return errTruncated
		case zeros%4 != 0:
			return errXZDamaged
		}
		if err := s.src.UnreadByte(); err != nil {
			return err
		}
	}
}

func (s *xzSplitter) stream(ctx context.Context) error {
	var header [xzHeaderSize]byte
	if _, err := io.ReadFull(s.src, header[:]); err != nil {
		return truncated(err)
	}
	var err error
	if s.flags, err = parseXZHeader(header[:]); err != nil {
		return err
	}
	if s.checkSize, err = s.flags.checkSize(); err != nil {
		return err
	}
	s.records, s.count = sha256.New(), 0
	for {
		size, err := s.src.ReadByte()
		if err != nil {
			return truncated(err)
		}
		if size == 0 {
			return s.index()
		}
		block, err := readXZBlock(s.src, size)
		if err != nil {
			return err
		}
		record, err := s.block(ctx, block)
		if err != nil {
			return err
		}
		s.records.Write(record.append(nil))
		s.count++
	}
}

// block gives a block away.
func (s *xzSplitter) block(ctx context.Context, b xzBlock) (xzRecord, error) {
	// Each of the sizes is compared before they are added, so that their sum cannot overflow.
	limit := uint64(s.largest)
	if b.compressed == 0 || b.compressed > limit || b.uncompressed > limit || b.compressed+b.uncompressed+b.dictionary > limit {
		return s.arriving(ctx, b)
	}
	p := &xzPiece{size: int(b.uncompressed), done: make(chan struct{}), cost: int64(b.compressed + b.uncompressed + b.dictionary)}
	if err := s.pool.memory.Acquire(ctx, p.cost); err != nil {
		return xzRecord{}, err
	}
	record := b.record(b.compressed, b.uncompressed, s.checkSize)
	content := int(b.compressed+3)&^3 + s.checkSize
	p.packed = appendXZHeader(buffer(s.pool.packed, len(b.raw)+content+xzAround)[:0], s.flags)
	p.packed = append(p.packed, b.raw...)
	start := len(p.packed)
	p.packed = p.packed[:start+content]
	if _, err := io.ReadFull(s.src, p.packed[start:]); err != nil {
		return xzRecord{}, truncated(err)
	}
	p.packed = appendXZEnd(p.packed, s.flags, record)
	if err := send(ctx, s.blocks, p); err != nil {
		return xzRecord{}, err
	}
	return record, send(ctx, s.jobs, p)
}

// arriving lets a block be unpacked while it is read, and waits until that is done.
func (s *xzSplitter) arriving(ctx context.Context, b xzBlock) (xzRecord, error) {
	var record xzRecord
	content := &lzma2Framer{src: s.src}
	end := &lateReader{make: func() ([]byte, error) {
		record = b.record(content.compressed, content.uncompressed, s.checkSize)
		tail := make([]byte, int(-content.compressed&3)+s.checkSize)
		if _, err := io.ReadFull(s.src, tail); err != nil {
			return nil, truncated(err)
		}
		return appendXZEnd(tail, s.flags, record), nil
	}}
	head := append(appendXZHeader(nil, s.flags), b.raw...)
	p := &xzPiece{arriving: io.MultiReader(bytes.NewReader(head), content, end), done: make(chan struct{})}
	if err := send(ctx, s.blocks, p); err != nil {
		return record, err
	}
	select {
	case <-p.done:
		return record, nil
	case <-ctx.Done():
		return record, ctx.Err()
	}
}

// index compares the index and the footer of a stream with the blocks that it had.
func (s *xzSplitter) index() error {
	r := &summing{r: s.src, sum: crc32.Update(0, crc32.IEEETable, []byte{0}), n: 1}
	count, err := readVLI(r)
	if err != nil {
		return err
	}
	if count != s.count {
		return errXZIndex
	}
	listed := sha256.New()
	for range count {
		unpadded, err := readVLI(r)
		if err != nil {
			return err
		}
		uncompressed, err := readVLI(r)
		if err != nil {
			return err
		}
		listed.Write(xzRecord{unpadded, uncompressed}.append(nil))
	}
	if !bytes.Equal(listed.Sum(nil), s.records.Sum(nil)) {
		return errXZIndex
	}
	for r.n%4 != 0 {
		if c, err := r.ReadByte(); err != nil {
			return truncated(err)
		} else if c != 0 {
			return errXZDamaged
		}
	}
	var end [4 + xzHeaderSize]byte
	if _, err := io.ReadFull(s.src, end[:]); err != nil {
		return truncated(err)
	}
	size, err := parseXZFooter(end[4:], s.flags)
	if err != nil {
		return err
	}
	if binary.LittleEndian.Uint32(end[:4]) != r.sum || size != r.n+4 {
		return errXZDamaged
	}
	return nil
}

// summing reads bytes and keeps their number and CRC-32.
type summing struct {
	r   io.ByteReader
	sum uint32
	n   int64
}

func (s *summing) ReadByte() (byte, error) {
	c, err := s.r.ReadByte()
	if err == nil {
		s.sum = crc32.Update(s.sum, crc32.IEEETable, []byte{c})
		s.n++
	}
	return c, err
}

// A lateReader reads bytes that are made when they are wanted.
type lateReader struct {
	make func() ([]byte, error)
	made *bytes.Reader
}

func (l *lateReader) Read(p []byte) (int, error) {
	if l.made == nil {
		b, err := l.make()
		if err != nil {
			return 0, err
		}
		l.made = bytes.NewReader(b)
	}
	return l.made.Read(p)
}

func send(ctx context.Context, to chan<- *xzPiece, p *xzPiece) error {
	select {
	case to <- p:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
