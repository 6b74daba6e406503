// Package fetch opens a URL as an image.
//
// A Source is data: where the image is, how to ask for it, and how to trust it. Open gives a Stream, which is read to its end. What
// Read gives is the image and nothing else: it returns io.EOF only after the whole image, with the announced length and the digest that
// is known.
//
// In between, connections may break, stall, be refused, or be answered with an error that passes: the download is taken up where it
// stopped, at the same server or at a mirror, for as long as Patience and Options allow. Bytes of two connections are put together only
// if a strong validator (RFC 9110 section 8.8), the digest, or the bytes themselves prove that they are of the same file. If they are
// not, Read returns a *RestartError, and the next Read begins anew with the first byte.
//
// OpenRanges gives Ranges, of which any part can be read at any time, from servers that can begin in the middle of a file. There is no new
// beginning then: what was read is in use, so that reading ends when no server has the file of which that was.
package fetch

import (
	"context"
	"errors"
	"hash"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A Source says where an image is.
type Source struct {
	// URLs hold the same image; they are tried in this order.
	URLs []URL
	// Digest of the image as it travels. If it is the zero Digest, that in the file "<url>.sha256" or "<url>.sha512" is used, where there
	// is one.
	Digest Digest
	// Signature verifies the file that holds the digest. If it is not nil there must be such a file, and it must be signed.
	Signature Verifier
	// Connections is how many download at once, up to MaxConnections, where a server serves ranges over HTTP and there is a strong validator
	// or a digest; 0 means 1. They help where packets are lost, and are used where the
	// first is slow. Each takes up to 8 MiB of memory. They are of HTTP/1.1: all streams of HTTP/2
	// share one connection. Options.SpeedLimit and Options.LimitRate are of all together.
	Connections int
	// Options say how to ask.
	Options
}

// Environment is what a download takes from the machine.
type Environment struct {
	// Roots is the path of the root folder: below it a site's own certificates are looked for.
	Roots string
	// Stall is how long a server may send nothing before the connection is given up; 0 means DefaultStall. Options.SpeedTime goes before it.
	Stall time.Duration
	// Patience says for how long servers are tried.
	Patience Patience
	// Report is told what happens, one event after the other; nil for nobody. Nothing is read while it runs.
	Report func(Event)
	// Decompress looks at the beginning of r, and returns a reader of what is compressed in it, and the name of the compression; or one of
	// the same bytes, and "". name is that of the file. It may read ahead. A reader that is also an io.Closer is closed, never
	// beside a Read of it, which ends when one of r fails. It is nil if nothing is to be decompressed. A reader of the same bytes is not read
	// where those that it was made from are still known.
	Decompress func(r io.Reader, name string) (io.Reader, string, error)
	// Hash returns an empty hash of an algorithm, "sha256" or "sha512", which is used in the place of Go's; nil where Go's is as good. One that is
	// an io.Closer is closed after its use. One that has a method Err() error may fail, and tells by it whether it did. Hash is nil for Go's.
	Hash func(algorithm string) hash.Hash
	// Verifies tells that who reads Ranges verifies each part: then a mirror's file of the same size is taken for the same, and no validator is
	// needed.
	Verifies bool

	// connect takes the place of the network in tests.
	connect func(ctx context.Context, network, address string) (net.Conn, error)
	// pieceSize takes the place of the constant in tests.
	pieceSize int64
	// eager spreads the work over several connections without a look at how fast the first one is, for tests.
	eager bool
}

// DefaultStall leaves a congested network time to recover, but not a person at the console time to give up hope.
const DefaultStall = 60 * time.Second

// withDefaults fills in what zero stands for.
func (e Environment) withDefaults() Environment {
	if e.Stall == 0 {
		e.Stall = DefaultStall
	}
	e.Patience = e.Patience.withDefaults()
	return e
}

// withDefaults fills in what zero stands for.
func (o Options) withDefaults(e Environment) Options {
	if o.ConnectTimeout == 0 {
		o.ConnectTimeout = DefaultConnectTimeout
	}
	if o.SpeedTime == 0 {
		o.SpeedTime = e.Stall
	}
	if o.UserAgent == "" {
		o.UserAgent = DefaultUserAgent
	}
	if o.MaxRedirects == nil {
		n := DefaultMaxRedirects
		o.MaxRedirects = &n
	}
	return o
}

// A Stream is an image on its way. It is read by one goroutine at a time; Received and Close may be called by another.
type Stream struct {
	// URL is where it comes from, after redirects. A mirror that takes over in the middle does not change it.
	URL URL
	// Size in bytes, or -1 if it is not known: the server did not announce it, or the image is compressed. Another beginning may change it.
	Size int64
	// Compression is the name of the compression in which it travels; empty for none.
	Compression string
	// Ranges tells that the server said it can begin at an offset.
	Ranges bool

	download *download
	closed   atomic.Bool

	// reading is held by whoever changes what is below, for as long as a Read is under way: a decompressor cannot be closed beside its Read,
	// nor a download beside a new beginning.
	reading sync.Mutex
	tap     *tap // what reader reads
	reader  io.Reader
	err     error
}

// Open asks for the image, and returns when its first bytes can be read. Its error is a *SourceError if no server has it.
func Open(ctx context.Context, s Source, e Environment) (*Stream, error) {
	e = e.withDefaults()
	e.Report = serial(e.Report)
	s.Options = s.Options.withDefaults(e)
	d, err := newDownload(ctx, s, e)
	if err != nil {
		return nil, err
	}
	stream := &Stream{download: d}
	if err := stream.begin(); err != nil {
		d.close()
		return nil, err
	}
	return stream, nil
}

// begin connects, and looks at how the image is compressed.
func (s *Stream) begin() error {
	d := s.download
	for {
		if d.conn == nil && d.err == nil {
			if d.err = d.connect(); d.err == nil {
				d.spread()
			}
		}
		if d.err != nil && d.err != io.EOF {
			return d.err
		}
		s.URL, s.Size, s.Ranges, s.Compression = d.at, d.size, d.ranges, ""
		s.tap = &tap{download: d, looking: d.env.Decompress != nil}
		s.reader = s.tap
		if d.env.Decompress == nil {
			return nil
		}
		reader, kind, err := d.env.Decompress(s.tap, d.current.url.base())
		if err == nil {
			if kind != "" {
				s.Size = -1
			}
			s.reader, s.Compression = reader, kind
			if s.tap.looked(kind == "") {
				s.release()
			}
			return nil
		}
		// Nobody has read anything yet, so that a new beginning is nobody's business.
		var restart *RestartError
		switch own := s.tap.end(); {
		case errors.As(own, &restart):
		case own != nil && own != io.EOF:
			return own
		default:
			return s.undecodable(err)
		}
	}
}
