package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/wire"
)

const (
	// DefaultRanges is how many connections read at the same time where Source.Connections is 0.
	DefaultRanges = 4
	// openSize in bytes is what is asked for first, and kept: a few kilobytes more cost nothing beside the answer that is waited for, and
	// hold the descriptors of most file systems.
	openSize = 64 << 10
)

// Ranges is an image at a server that is read at any offset, part by part. All of its methods may be called at the same time.
//
// What goes wrong is tried again as in a Stream: at the same server or at a mirror that has the same file, behind the bytes that have
// arrived. Bytes of two files are never mixed: each answer must have the size and the strong validator of the first, see
// Environment.Verifies.
//
// Nothing is verified beyond that: digest and signature are of a whole image. Who uses parts of it before the whole has arrived verifies
// them by other means, where they must be, and tells Distrust of those that are wrong.
type Ranges struct {
	// URL is where the image was found, after redirects.
	URL URL
	// Size in bytes.
	Size int64

	source  Source
	env     Environment
	dial    dialer
	options Options // of each connection: its share of the whole
	ctx     context.Context
	cancel  context.CancelCauseFunc
	pacer   *pacer         // is everybody's
	most    int            // connections at most
	first   wire.Validator // of the file that gave the first answer

	received atomic.Int64
	telling  sync.Mutex // one event after the other

	mutex   sync.Mutex
	err     error  // ends all reading
	head    []byte // the first bytes of the image
	places  []*place
	given   []span        // who gave the last parts
	current *place        // gave the last bytes
	changed chan struct{} // is closed, and replaced, when one of the following changes
	busy    int           // requests that are under way
	may     int           // requests that may be: up to most, fewer where the server wants fewer
	resized time.Time     // when that was last changed
	outage  *reading      // finds out when servers are back; nil for none
	answers int           // how many attempts had one
	speaker *reading      // tells of what goes wrong in the name of all; nil for none
	told    bool          // and told of something, since which nothing went right
	readers sync.WaitGroup
}

// A NoRangesError says that an image cannot be read at any offset, though it may well be had as a whole, by Open. A read has it, in a
// *SourceError, where no server sends parts any more; that may pass.
type NoRangesError struct {
	URL URL
	// Reason is a sentence's end: "the image is compressed with xz".
	Reason string
	Err    error // what led to it, if anything
}

// Error gives the reason.
func (e *NoRangesError) Error() string {
	text := fmt.Sprintf("read %v by ranges: %s", e.URL, e.Reason)
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap returns the cause.
func (e *NoRangesError) Unwrap() error { return e.Err }

// Permanent is true: it is how the server works.
func (*NoRangesError) Permanent() bool { return true }

// OpenRanges asks for the image, and returns when its parts can be read. Its error is a *NoRangesError if it can be had, but not by parts:
// the protocol or the server has no ranges, nothing tells its size, or one of its versions from another, or Environment.Decompress finds
// that it is compressed. It is a *SourceError if no server has it.
//
// The context bounds all reading. Options.MaxTime, Retry and RetryMaxTime are of each read, where a Stream has them for the whole.
// Source.Connections of 0 means DefaultRanges; a server that wants fewer gets fewer.
func OpenRanges(ctx context.Context, s Source, e Environment) (*Ranges, error) {
	e = e.withDefaults()
	s.Options = s.Options.withDefaults(e)
	dial, err := s.dialer(e)
	if err != nil {
		return nil, err
	}
	r := &Ranges{Size: -1, source: s, env: e, dial: dial, options: s.Options, changed: make(chan struct{}), pacer: newPacer(s.LimitRate)}
	r.most = min(s.Connections, MaxConnections)
	if r.most <= 0 {
		r.most = DefaultRanges
	}
	r.may = r.most
	r.options.LimitRate = 0 // the pacer's
	r.options.SpeedLimit = (s.SpeedLimit + int64(r.most) - 1) / int64(r.most)
	for _, m := range newMirrors(s.URLs, dial) {
		r.places = append(r.places, newPlace(m))
	}
	r.ctx, r.cancel = context.WithCancelCause(ctx)
	if err := r.open(); err != nil {
		_ = r.Close() // the error that led here is the one to tell
		return nil, err
	}
	return r, nil
}

// open reads the first bytes.
func (r *Ranges) open() error {
	to := make([]byte, openSize)
	n, err := r.read(r.ctx, to, 0)
	if err != nil {
		return err
	}
	r.head = to[:n]
	return r.plain()
}

// ReadAt implements io.ReaderAt. It waits for as long as there is hope for the bytes. An error that is not a *ChangedError, and not the end
// of the context or of the Ranges, need not be the last word: the servers may answer another read.
func (r *Ranges) ReadAt(p []byte, offset int64) (int, error) {
	return r.ReadAtContext(r.ctx, p, offset)
}

// ReadAtContext is ReadAt for as long as ctx lasts.
func (r *Ranges) ReadAtContext(ctx context.Context, p []byte, offset int64) (int, error) {
	var end error
	switch rest := r.Size - offset; {
	case offset < 0:
		return 0, fmt.Errorf("read %v: byte %d is before its first", r.URL, offset)
	case int64(len(p)) > rest:
		p, end = p[:max(0, rest)], io.EOF
	}
	if len(p) == 0 {
		return 0, end
	}
	n := 0
	if head := r.kept(); offset < int64(len(head)) {
		n = copy(p, head[offset:])
	}
	if n < len(p) {
		got, err := r.read(ctx, p[n:], offset+int64(n))
		n += got
		if err != nil {
			return n, fmt.Errorf("read byte %d: %w", offset+int64(n), err)
		}
	}
	return n, end
}

// Received returns how many bytes of the image have travelled, those included that were not used in the end. What an FTP server sends
// behind a part before it notices that nobody reads on is not among them.
func (r *Ranges) Received() int64 { return r.received.Load() }

// errRangesClosed is what a read gets after Close.
var errRangesClosed = errors.New("the image is closed")

// Close ends all reads, waits for them, and gives the connections up.
func (r *Ranges) Close() error {
	r.cancel(errRangesClosed)
	r.mutex.Lock()
	if r.err == nil {
		r.err = fmt.Errorf("read %v: %w", r.source.URLs[0], errRangesClosed)
	}
	r.mutex.Unlock()
	r.readers.Wait()
	r.mutex.Lock()
	defer r.mutex.Unlock()
	for _, p := range r.places {
		p.hangUp()
	}
	return nil
}

// SameFile reports whether o, which was opened later, has the file that r was opened with, as far as size and strong validator tell. It does
// not matter what r has come to since.
func (r *Ranges) SameFile(o *Ranges) bool {
	had := r.first
	if serverOf(string(r.URL)) != serverOf(string(o.URL)) {
		had.Modified = "" // it may be that of anything
	}
	return r.Size == o.Size && had.Same(o.first)
}

// tell reports an event.
func (r *Ranges) tell(e Event) {
	if r.env.Report != nil {
		r.telling.Lock()
		defer r.telling.Unlock()
		r.env.Report(e)
	}
}
