package fetch

import (
	"context"
	"io"

	"github.com/liveboot/liveboot/pkg/fetch/wire"
)

// A request is how a part of a file is asked for.
type request struct {
	session wire.File
	options Options
	pacer   *pacer
	// check tells whether an answer is of the file that is being read, from offset on.
	check func(b *wire.Body, offset int64) error
	// arrived takes note of an answer that is right, with 0, and then of every n bytes; it reports whether more is wanted.
	arrived func(n int) bool
}

// fill reads what is asked for into what room returns before every read: where the bytes go that come next. An error of it ends the reading.
// It is no error that the file or the answer ends before, or that no more is wanted.
func (q request) fill(ctx context.Context, asked wire.Position, room func() ([]byte, error)) error {
	c, err := open(ctx, q.session, asked, q.options)
	if err != nil {
		return err
	}
	defer c.Close() // what counts has been read
	c.pacer = q.pacer
	if err := q.check(c.Body, asked.Offset); err != nil {
		return err
	}
	left := asked.Length
	if end := c.end(); end >= 0 {
		left = min(left, end-asked.Offset)
	}
	for more := q.arrived(0); more && left > 0; {
		to, err := room()
		if err != nil {
			return err
		}
		n, err := c.Read(to[:min(int64(len(to)), left)])
		left -= int64(n)
		if more = q.arrived(n); !more || left == 0 {
			return nil
		}
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// sameFile tells whether an answer is of the file of that size and validator, from offset on. Where a digest is known it proves at the end
// what the validator does not.
func sameFile(b *wire.Body, offset, size int64, had wire.Validator, digest bool) error {
	has := b.Validator
	switch {
	case b.Size != size:
		return &ChangedError{sizeChanged(size, b.Size)}
	case had.Known() && has.Known() && !had.Same(has):
		return &ChangedError{versionChanged(had, has)}
	case !(had.Known() && has.Known()) && !digest:
		return &ChangedError{"nothing tells whether the file on the server is still the same"}
	case b.Offset != offset:
		return &wire.RangeError{Offset: offset, Answer: "the whole file"}
	}
	return nil
}
