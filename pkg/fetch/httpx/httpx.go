// Package httpx reads one resource over HTTP/1.1, HTTP/2 and TLS (RFC 9110, RFC 9112, RFC 9113, RFC 8446).
package httpx

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Options say how to ask.
type Options struct {
	// Root is the path of the folder below which a site's own CA certificates are, see Roots.
	Root string
	// Insecure accepts any certificate.
	Insecure bool
	// Proxy is asked instead of the server, unless it is nil.
	Proxy *url.URL
	// Stall is how long the server may send nothing, before its answer or in the middle of it.
	Stall time.Duration
}

// maxRedirects is curl's default.
const maxRedirects = 50

// connectTimeout bounds name resolution and the TCP handshake; a machine that is switched off does not answer at all.
const connectTimeout = 30 * time.Second

// A Body is a resource that is being read.
type Body struct {
	// URL is where it was found after redirects, password included.
	URL string
	// Size in bytes, or -1 if it was not announced.
	Size int64

	body   io.ReadCloser
	cancel context.CancelCauseFunc
	ctx    context.Context
	timer  *time.Timer
	stall  time.Duration
}

// A StatusError is an answer other than 200.
type StatusError struct {
	Code   int
	Status string
}

// Error shows the server's own words, "404 Not Found" for example.
func (e *StatusError) Error() string { return "the server answered " + e.Status }

// A RedirectError says that a redirect was not followed.
type RedirectError struct{ reason string }

// Error gives the reason.
func (e *RedirectError) Error() string { return e.reason }

// A StallError says that the server kept silent.
type StallError struct{ For time.Duration }

// Error says for how long.
func (e *StallError) Error() string { return fmt.Sprintf("the server sent nothing for %v", e.For) }

// Get asks for target. The context bounds the reading too.
func Get(ctx context.Context, target *url.URL, o Options) (*Body, error) {
	client, err := o.client(target)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	b := &Body{ctx: ctx, cancel: cancel, stall: o.Stall}
	b.timer = time.AfterFunc(o.Stall, func() { cancel(&StallError{o.Stall}) })

	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, b.fail(err)
	}
	// What is counted and verified is the image as it lies on the server, so no encoding in between.
	request.Header.Set("Accept-Encoding", "identity")
	request.Header.Set("User-Agent", "liveboot")
	response, err := client.Do(request)
	if err != nil {
		return nil, b.fail(err)
	}
	b.body = response.Body
	switch {
	case response.StatusCode != http.StatusOK:
		return nil, b.fail(&StatusError{response.StatusCode, response.Status})
	case response.Header.Get("Content-Encoding") != "" && response.Header.Get("Content-Encoding") != "identity":
		return nil, b.fail(fmt.Errorf("the server sends the image with Content-Encoding %s, which was not asked for", response.Header.Get("Content-Encoding")))
	}
	b.timer.Stop()
	b.URL, b.Size = response.Request.URL.String(), response.ContentLength
	return b, nil
}

// fail gives the request up and returns the reason of err in the fewest words: without the URL, which the caller adds, and with the
// stall in the place of the cancellation that it caused.
func (b *Body) fail(err error) error {
	err = b.cause(err)
	_ = b.Close() // the error that led here is the one to tell
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

// place returns scheme and server of an address: path and query often hold a token.
func place(u *url.URL) string { return u.Scheme + "://" + u.Host }

func (b *Body) cause(err error) error {
	var stall *StallError
	if errors.As(context.Cause(b.ctx), &stall) {
		return stall
	}
	return err
}

// Read reads the resource.
func (b *Body) Read(p []byte) (int, error) {
	// The clock runs only while the server is waited for, not while the reader is busy with what came.
	b.timer.Reset(b.stall)
	n, err := b.body.Read(p)
	b.timer.Stop()
	if err != nil && err != io.EOF {
		err = b.cause(err)
	}
	return n, err
}

// Close gives the connection up.
func (b *Body) Close() error {
	b.timer.Stop()
	b.cancel(nil)
	if b.body == nil {
		return nil
	}
	return b.body.Close()
}

func (o Options) client(target *url.URL) (*http.Client, error) {
	config := &tls.Config{InsecureSkipVerify: o.Insecure, MinVersion: tls.VersionTLS12}
	// Reading the authorities takes a slow machine a tenth of a second: only who needs them pays for them.
	trust := func(u *url.URL) (err error) {
		if u != nil && u.Scheme == "https" && config.RootCAs == nil {
			config.RootCAs, err = Roots(o.Root)
		}
		return err
	}
	if err := errors.Join(trust(target), trust(o.Proxy)); err != nil {
		return nil, err
	}
	transport := &http.Transport{
		Proxy:               http.ProxyURL(o.Proxy),
		DialContext:         (&net.Dialer{Timeout: connectTimeout}).DialContext,
		TLSClientConfig:     config,
		TLSHandshakeTimeout: connectTimeout,
		ForceAttemptHTTP2:   true,
		DisableCompression:  true,
		DisableKeepAlives:   true, // one request is all there is
		// Fewer system calls for the same bytes: what arrives is written in blocks of a megabyte anyway.
		ReadBufferSize: 256 << 10,
	}
	return &http.Client{
		Transport: transport,
		CheckRedirect: func(request *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects {
				return &RedirectError{fmt.Sprintf("stopped after %d redirects, the last to %s", maxRedirects, place(request.URL))}
			}
			if request.URL.Scheme == "http" && via[len(via)-1].URL.Scheme == "https" {
				return &RedirectError{fmt.Sprintf("the server redirects from https to http (%s), where nothing protects the image", place(request.URL))}
			}
			return trust(request.URL)
		},
	}, nil
}
