package fetch

import (
	"errors"
	"fmt"
	"io"
	"sync"
)

// Read reads the image. It returns io.EOF only after the whole image, with the announced length and the known digest. A *RestartError
// says that the image begins anew, any other error that it cannot be had.
func (s *Stream) Read(p []byte) (int, error) { return s.read(p, nil) }

// Lend is Read into a block, from an index on, for one that is filled by several calls: what was read may be read there once more until Settle
// returns for the block, to take its digest beside whatever the caller does meanwhile. The caller does not change it until then.
func (s *Stream) Lend(block []byte, from int) (int, error) { return s.read(block[from:], block) }

// Settle returns when nothing of a block is read any more. It is called by the goroutine that reads the stream, for each block that was lent
// before it is used for something else, or freed, even if the stream was closed.
func (s *Stream) Settle(block []byte) { s.tap.settle(block) }

// read reads into p, which is the end of a block if one is lent.
func (s *Stream) read(p, block []byte) (n int, err error) {
	s.reading.Lock()
	defer s.reading.Unlock()
	if s.err != nil {
		return 0, s.err
	}
	if s.reader == io.Reader(s.tap) {
		n, err = s.tap.read(p, block)
	} else {
		n, err = s.reader.Read(p)
	}
	if err == nil {
		return n, nil
	}
	err = s.ended(err)
	var restart *RestartError
	if errors.As(err, &restart) {
		n = 0
		if err = s.begin(); err == nil {
			return 0, &RestartError{Size: s.Size, Cause: restart.Cause}
		}
	}
	if s.closed.Load() && err != io.EOF {
		err = fmt.Errorf("get %v: %w", s.URL, errClosed) // that is why the context ended, or the decompressor had no more to read
	}
	s.err = err
	return n, err
}

// ended tells what an error of the reader means: what the download said goes before what a decompressor made of it.
func (s *Stream) ended(err error) error {
	s.release()
	own := s.tap.end()
	if err == io.EOF {
		// A decompressor may be content before the last byte; the digest is not.
		for scratch := make([]byte, 4<<10); own == nil; {
			_, own = s.tap.Read(scratch)
		}
		return own
	}
	if own != nil && own != io.EOF {
		return own
	}
	return s.undecodable(err)
}

// release frees what a decompressor holds.
func (s *Stream) release() {
	if closer, ok := s.reader.(io.Closer); ok {
		_ = closer.Close() // its work is over, and what it said of it was said by Read
	}
	s.reader = s.tap
}

// Verified returns the digest that the stream was checked against after its end; the zero Digest if none is known.
func (s *Stream) Verified() Digest { return s.download.want }

// Received returns how many bytes of the image, as it travels, were read since its last beginning, and how many there are: -1 if that
// is not known.
func (s *Stream) Received() (n, size int64) {
	return s.download.offset.Load(), s.download.length.Load()
}

// Close gives the connection up. It may be called beside a Read, which then ends with an error, and returns after it.
func (s *Stream) Close() error {
	s.closed.Store(true)
	s.download.cancel() // whoever waits for the network stops waiting, be it a Read or a decompressor that reads ahead
	s.reading.Lock()
	defer s.reading.Unlock()
	s.tap.set(errClosed)
	s.release()
	s.tap.reading.Lock() // against a Settle, and a decompressor that reads ahead
	defer s.tap.reading.Unlock()
	s.download.close()
	return nil
}

// A tap lets a decompressor read from one beginning of a download to its end or to the next beginning, and never beyond, not even with a
// goroutine that was left behind. It remembers the beginning, so that what turns out not to be compressed goes no further way round.
type tap struct {
	download *download
	reading  sync.Mutex
	lends    bool // blocks, to the goroutine that reads the stream, and so to no decompressor

	mutex   sync.Mutex
	err     error
	looking bool   // at the beginning: nobody knows what it is
	head    []byte // the beginning, for as long as it is looked at, and no longer than headSize
	again   []byte // what is to be read once more
}

// headSize in bytes is more than a decompressor reads before it knows what it has.
const headSize = 512 << 10

// Read reads what travels.
func (t *tap) Read(p []byte) (int, error) { return t.read(p, nil) }

// read reads into p, which is the end of a block if one is lent.
func (t *tap) read(p, block []byte) (int, error) {
	t.reading.Lock()
	defer t.reading.Unlock()
	if n := t.repeat(p); n > 0 {
		return n, nil
	}
	if err := t.end(); err != nil {
		return 0, err
	}
	if t.download.lent = block; block != nil {
		t.lends = true
	}
	n, err := t.download.Read(p)
	t.download.lent = nil
	t.remember(p[:n])
	if err != nil {
		t.set(err)
	}
	return n, err
}

// remember keeps p if it is of a beginning that is looked at.
func (t *tap) remember(p []byte) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	switch {
	case t.looking && len(t.head)+len(p) <= headSize:
		t.head = append(t.head, p...)
	default:
		t.looking, t.head = false, nil
	}
}

// looked ends the look at the beginning, and reports whether it will be read once more, as is wished: it is, if all of it is remembered.
func (t *tap) looked(again bool) bool {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	again = again && t.looking
	if again {
		t.again = t.head
	}
	t.looking, t.head = false, nil
	return again
}

// repeat gives what is to be read once more.
func (t *tap) repeat(p []byte) int {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	n := copy(p, t.again)
	if t.again = t.again[n:]; len(t.again) == 0 {
		t.again = nil
	}
	return n
}

// settle returns when nothing of a block is read any more. What a decompressor gave was lent by nobody, and one that reads ahead may wait for the
// server.
func (t *tap) settle(block []byte) {
	if !t.lends {
		return
	}
	t.reading.Lock()
	defer t.reading.Unlock()
	t.download.digest.settle(block)
}

// end returns the error that ended the reading; nil if nothing has.
func (t *tap) end() error {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	return t.err
}

func (t *tap) set(err error) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if t.err == nil {
		t.err = err
	}
}

// undecodable says that what arrived is not what its beginning promised.
func (s *Stream) undecodable(err error) error {
	return fmt.Errorf("get %v: decompress the image after %d bytes: %w", s.URL, s.download.offset.Load(), err)
}
