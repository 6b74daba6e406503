package fetch

import (
	"errors"
	"fmt"
	"io"
	"sync"
)

// Read reads the image. It returns io.EOF only after the whole image, with the announced length and the known digest. A *RestartError
// says that the image begins anew, any other error that it cannot be had.
func (s *Stream) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.reader.Read(p)
	if err == nil {
		return n, nil
	}
	err = s.ended(err)
	var restart *RestartError
	if !errors.As(err, &restart) {
		s.err = err
		return n, err
	}
	if s.err = s.begin(); s.err != nil {
		return 0, s.err
	}
	return 0, &RestartError{Size: s.Size, Cause: restart.Cause}
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

// Close gives the connection up.
func (s *Stream) Close() error {
	s.download.cancel() // a decompressor that still reads ahead stops waiting
	s.tap.shut()
	s.release()
	s.download.close()
	return nil
}

// A tap lets a decompressor read from one beginning of a download to its end or to the next beginning, and never beyond, not even with a
// goroutine that was left behind.
type tap struct {
	download *download
	reading  sync.Mutex

	mutex sync.Mutex
	err   error
}

// Read reads what travels.
func (t *tap) Read(p []byte) (int, error) {
	t.reading.Lock()
	defer t.reading.Unlock()
	if err := t.end(); err != nil {
		return 0, err
	}
	n, err := t.download.Read(p)
	if err != nil {
		t.set(err)
	}
	return n, err
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

// shut waits for a read that is under way, and lets nobody begin another.
func (t *tap) shut() {
	t.set(errClosed)
	t.reading.Lock()
	defer t.reading.Unlock()
}

// undecodable says that what arrived is not what its beginning promised.
func (s *Stream) undecodable(err error) error {
	return fmt.Errorf("get %v: decompress the image after %d bytes: %w", s.URL, s.download.offset.Load(), err)
}
