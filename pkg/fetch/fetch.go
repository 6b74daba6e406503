// Package fetch opens a URL as an image.
//
// A Source is data: where the image is and how to trust it. Open gives a Stream, which is read to its end; a stream that ends
// before its announced length, or whose digest is another than the one asked for, ends with an error and never with io.EOF.
package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/httpx"
)

// A Source says where an image is.
type Source struct {
	// URLs hold the same image; they are tried in this order.
	URLs []URL
	// Digest of the image as it travels; the zero Digest asks for none.
	Digest Digest
	// Insecure accepts any certificate.
	Insecure bool
	// Proxy for HTTP and HTTPS; empty for none.
	Proxy URL
}

// A Scheme is a wire protocol.
type Scheme struct {
	Name string
	Doc  string
	open func(context.Context, Source, URL, Environment) (*httpx.Body, error)
}

// Schemes returns the protocols, in the order in which they are documented.
func Schemes() []Scheme {
	return []Scheme{
		{"http", "HTTP/1.1", openHTTP},
		{"https", "HTTP over TLS 1.2 and later, HTTP/2 where the server has it", openHTTP},
	}
}

// Supported reports whether a URL of that scheme can be opened.
func Supported(scheme string) bool {
	return slices.ContainsFunc(Schemes(), func(s Scheme) bool { return s.Name == scheme })
}

// Environment is what a protocol takes from the machine.
type Environment struct {
	// Roots is the path of the root folder: below it a site's own certificates are looked for.
	Roots string
	// Stall is how long a server may send nothing before it is given up; 0 means DefaultStall.
	Stall time.Duration
}

// DefaultStall leaves a congested network time to recover, but not a person at the console time to give up hope.
const DefaultStall = 60 * time.Second

func openHTTP(ctx context.Context, s Source, u URL, e Environment) (*httpx.Body, error) {
	options := httpx.Options{Root: e.Roots, Insecure: s.Insecure, Stall: e.Stall}
	if s.Proxy != "" {
		proxy, err := s.Proxy.parse()
		if err != nil {
			return nil, err
		}
		options.Proxy = proxy
	}
	target, err := u.parse()
	if err != nil {
		return nil, err
	}
	return httpx.Get(ctx, target, options)
}

// A Stream is an image on its way.
type Stream struct {
	// URL is where it comes from, after redirects.
	URL URL
	// Size in bytes, or -1 if the server did not announce it.
	Size int64

	body   *httpx.Body
	digest *verifier
	read   int64
}

// Open connects to the first of the source's URLs that answers. Its error joins those of all of them.
func Open(ctx context.Context, s Source, e Environment) (*Stream, error) {
	if e.Stall == 0 {
		e.Stall = DefaultStall
	}
	var errs []error
	for _, u := range s.URLs {
		stream, err := openURL(ctx, s, u, e)
		if err == nil {
			return stream, nil
		}
		errs = append(errs, fmt.Errorf("get %v: %w", u, err))
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(errs...)
}

func openURL(ctx context.Context, s Source, u URL, e Environment) (*Stream, error) {
	for _, scheme := range Schemes() {
		if scheme.Name != u.Scheme() {
			continue
		}
		body, err := scheme.open(ctx, s, u, e)
		if err != nil {
			return nil, err
		}
		digest, err := newVerifier(s.Digest)
		if err != nil {
			return nil, errors.Join(err, body.Close())
		}
		return &Stream{URL: URL(body.URL), Size: body.Size, body: body, digest: digest}, nil
	}
	return nil, fmt.Errorf("the scheme %q is none of %s", u.Scheme(), strings.Join(schemeNames(), ", "))
}

func schemeNames() []string {
	var names []string
	for _, s := range Schemes() {
		names = append(names, s.Name)
	}
	return names
}

// Read reads the image. It returns io.EOF only after the whole image, with the announced length and the asked digest.
func (s *Stream) Read(p []byte) (int, error) {
	n, err := s.body.Read(p)
	s.digest.Write(p[:n])
	s.read += int64(n)
	if err == nil {
		return n, nil
	}
	if !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return n, fmt.Errorf("get %v: after %d of %s bytes: %w", s.URL, s.read, s.size(), err)
	}
	if s.Size >= 0 && s.read != s.Size {
		return n, fmt.Errorf("get %v: the server ended the image after %d of %d bytes: %w", s.URL, s.read, s.Size, io.ErrUnexpectedEOF)
	}
	if err := s.digest.check(); err != nil {
		return n, fmt.Errorf("get %v: %w", s.URL, err)
	}
	return n, io.EOF
}

func (s *Stream) size() string {
	if s.Size < 0 {
		return "an unknown number of"
	}
	return fmt.Sprint(s.Size)
}

// Verified returns the digest that the stream was checked against after its end; the zero Digest if none was asked for.
func (s *Stream) Verified() Digest { return s.digest.want }

// Close gives the connection up.
func (s *Stream) Close() error { return s.body.Close() }
