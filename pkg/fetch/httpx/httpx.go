// Package httpx reads one resource over HTTP/1.1, HTTP/2 and TLS (RFC 9110, RFC 9112, RFC 9113, RFC 8446), from the beginning or by
// range.
package httpx

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/wire"
)

// Options say how to ask.
type Options struct {
	// Dial connects to servers and proxies.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// TLS is how TLS is spoken. Its RootCAs are asked of Roots, when TLS is first needed: reading the authorities takes a slow machine a
	// tenth of a second.
	TLS   *tls.Config
	Roots func() (*x509.CertPool, error)
	// HandshakeTimeout bounds the set-up of TLS.
	HandshakeTimeout time.Duration
	// Proxy returns the proxy to ask for a URL, nil for none. A nil function means none for any.
	Proxy func(*url.URL) *url.URL

	// Gateway is a proxy that is asked for a target of another protocol, nil for none.
	Gateway *url.URL

	// Login for the server of the target, nil for that in the target itself. Neither it nor Header are sent to a server that a
	// redirect leads to.
	Login *url.Userinfo
	// Header takes the place of fields sent by default; a field with no values leaves it out.
	Header http.Header
	// MaxRedirects is how many redirects are followed; negative for any number.
	MaxRedirects int
	// NoRedirects follows none, and says so.
	NoRedirects bool
	// Downgrade lets a redirect lead from https to http.
	Downgrade bool
}

// A File is a resource of a server.
type File struct {
	target     *url.URL
	options    Options
	trust      func() (*x509.CertPool, error)
	found      atomic.Pointer[url.URL] // where redirects led its sessions; nil if they lead nowhere
	doubt      atomic.Bool             // something went wrong there
	uncompared atomic.Bool             // If-Range does not work, and plain ranges do
}

// New returns the resource at target. Nothing is asked yet.
func New(target *url.URL, o Options) *File {
	return &File{target: target, options: o, trust: sync.OnceValues(o.Roots)}
}

// readBuffer holds what arrives between two calls of Read. What is written to the device comes in larger blocks, which are read
// into directly, but for the last bytes of a block that are fewer than the buffer holds: those are copied.
const readBuffer = 32 << 10

// Open asks for the resource from p on.
func (f *File) Open(ctx context.Context, p wire.Position) (*wire.Body, error) {
	client, _, err := f.client(single)
	if err != nil {
		return nil, err
	}
	return f.open(ctx, client, p, nil)
}

// open asks at an address that a redirect led to, or at the target if it is nil. A server that answers If-Range with the whole of the very file
// whose validator that is, or whose proxy does, cannot compare it: it is asked without, and the validator of its answer tells what the comparison
// would have told.
func (f *File) open(ctx context.Context, client *http.Client, p wire.Position, at *url.URL) (*wire.Body, error) {
	bare := p
	bare.Validator = wire.Validator{}
	if f.uncompared.Load() {
		return f.ask(ctx, client, bare, at)
	}
	body, err := f.ask(ctx, client, p, at)
	if err != nil || !p.Part() || body.End > 0 || !p.Validator.Same(body.Validator) {
		return body, err
	}
	_ = body.Close() // it is not what was asked for
	if body, err = f.ask(ctx, client, bare, at); err != nil {
		return nil, err
	}
	part := body.End > 0
	if part && !body.Validator.Known() {
		_ = body.Close() // nothing would tell what it is of
		return nil, &wire.RangeError{Offset: p.Offset, Answer: "the whole file, and without If-Range a part with no validator"}
	}
	f.uncompared.Store(part)
	return body, nil
}

// ask asks once.
func (f *File) ask(ctx context.Context, client *http.Client, p wire.Position, at *url.URL) (*wire.Body, error) {
	request, err := f.request(ctx, p)
	if err != nil {
		return nil, err
	}
	if at != nil {
		to := *at
		request.URL, request.Host = &to, ""
		f.introduce(request)
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, plain(err)
	}
	body, err := f.answer(response, p)
	if err != nil {
		_ = response.Body.Close() // the error that led here is the one to tell
		return nil, err
	}
	return body, nil
}

// address returns the target as it is asked for.
func (f *File) address() string {
	target := *f.target
	target.User, target.Fragment, target.RawFragment = nil, "", ""
	return target.String()
}

func (f *File) request(ctx context.Context, p wire.Position) (*http.Request, error) {
	target := f.address()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, plain(err)
	}
	if g := f.options.Gateway; g != nil {
		// To net/http it is a server like any other, with strange paths.
		request.URL, request.Host = &url.URL{Scheme: g.Scheme, Host: g.Host, Opaque: target}, f.target.Host
		if password, _ := g.User.Password(); g.User != nil {
			request.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(g.User.Username()+":"+password)))
		}
	}
	f.identify(request)
	if p.Part() {
		request.Header.Set("Range", rangeOf(p))
		if validator := ifRange(p.Validator); validator != "" {
			request.Header.Set("If-Range", validator)
		}
	}
	return request, nil
}

// identify sets the login and the fields that were asked for.
func (f *File) identify(request *http.Request) {
	login := f.options.Login
	if login == nil {
		login = f.target.User
	}
	if login != nil {
		password, _ := login.Password()
		request.SetBasicAuth(login.Username(), password)
	}
	for name, values := range f.options.Header {
		if name == "Host" {
			request.Host = strings.Join(values, "")
			continue
		}
		// net/http sends its own User-Agent unless there is an empty one; every other field without values is simply not sent.
		if request.Header.Del(name); name == "User-Agent" && len(values) == 0 {
			values = []string{""}
		}
		request.Header[name] = values
	}
	// Last, so that nothing else can be asked for: what is counted and verified is the resource as it lies on the server.
	request.Header.Set("Accept-Encoding", "identity")
}

// answer makes a body of a response, or tells what is wrong with it.
func (f *File) answer(response *http.Response, p wire.Position) (*wire.Body, error) {
	header := response.Header
	at := response.Request.URL.String()
	if response.Request.URL.Opaque != "" {
		at = response.Request.URL.Opaque
	}
	body := &wire.Body{
		ReadCloser: response.Body,
		URL:        at,
		Validator:  validator(header),
		Ranges:     header.Get("Accept-Ranges") == "bytes",
	}
	switch {
	case response.StatusCode == http.StatusOK:
		body.Size = response.ContentLength
		// A body of HTTP/1 with neither a length nor chunks ends with the connection (RFC 9112 section 6.3).
		body.Unframed = body.Size < 0 && response.ProtoMajor == 1 && len(response.TransferEncoding) == 0
	case response.StatusCode == http.StatusPartialContent && p.Part():
		if err := partial(body, response, p); err != nil {
			return nil, err
		}
	case response.StatusCode == http.StatusRequestedRangeNotSatisfiable && p.Part():
		return nil, &wire.RangeError{Offset: p.Offset, Answer: response.Status}
	case f.options.NoRedirects && response.StatusCode >= 300 && response.StatusCode < 400:
		return nil, &RedirectError{"the server redirects to " + locationOf(response) + ", and redirects were not to be followed"}
	default:
		return nil, &StatusError{Code: response.StatusCode, Status: response.Status, After: retryAfter(header, time.Now())}
	}
	if err := checkEncoding(header, response.Request.URL); err != nil {
		return nil, err
	}
	return body, nil
}

// checkEncoding refuses bytes that are not those of the resource. A server that names the compression of a compressed file means the
// file as it lies there.
func checkEncoding(header http.Header, u *url.URL) error {
	encoding := strings.TrimPrefix(strings.ToLower(header.Get("Content-Encoding")), "x-")
	stored := map[string]string{".gz": "gzip", ".tgz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zst": "zstd"}
	if encoding == "" || encoding == "identity" || encoding == stored[path.Ext(u.Path)] {
		return nil
	}
	return &EncodingError{encoding}
}

// plain returns the reason of an error of net/http in the fewest words: without the URL, which the caller adds.
func plain(err error) error {
	var wrapped *url.Error
	if !errors.As(err, &wrapped) {
		return err
	}
	// net/http has no type for this one, and quotes what the server sent, which may hold a password.
	if strings.HasPrefix(wrapped.Err.Error(), "failed to parse Location header") {
		return &RedirectError{"the server redirects to something that is no address"}
	}
	return wrapped.Err
}

// limited reads n bytes of a body at most.
type limited struct {
	io.Reader
	io.Closer
}

func limit(body io.ReadCloser, n int64) io.ReadCloser { return limited{io.LimitReader(body, n), body} }
