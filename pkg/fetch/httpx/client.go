package httpx

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// A keeping is what becomes of a connection after an answer.
type keeping int

const (
	// single ends it: a second request on a connection that went dead would be stuck there, too.
	single keeping = iota
	// kept asks again by it: what follows comes without the wait for a new connection, which would begin slowly, too. It is of HTTP/1.1,
	// since all streams of HTTP/2 share one connection.
	kept
)

// client returns a client that asks for the resource, and what it is told before it asks for that at another address.
func (f *File) client(k keeping) (*http.Client, func(*url.URL) error, error) {
	proxy := func(u *url.URL) *url.URL {
		if f.options.Proxy == nil {
			return nil
		}
		return f.options.Proxy(u)
	}
	config := f.options.TLS.Clone() // net/http writes into it
	need := func(u *url.URL) error {
		if p := proxy(u); config.RootCAs != nil || u.Scheme != "https" && (p == nil || p.Scheme != "https") {
			return nil
		}
		roots, err := f.trust()
		config.RootCAs = roots
		return err
	}
	first := f.target
	if f.options.Gateway != nil {
		first = f.options.Gateway
	}
	if err := need(first); err != nil {
		return nil, nil, err
	}
	var versions http.Protocols
	versions.SetHTTP1(true)
	versions.SetHTTP2(k == single)
	transport := &http.Transport{
		Proxy:               func(r *http.Request) (*url.URL, error) { return proxy(r.URL), nil },
		DialContext:         f.options.Dial,
		TLSClientConfig:     config,
		TLSHandshakeTimeout: f.options.HandshakeTimeout,
		Protocols:           &versions,
		DisableCompression:  true,
		DisableKeepAlives:   k == single,
		ReadBufferSize:      readBuffer,
		OnProxyConnectResponse: func(_ context.Context, _ *url.URL, _ *http.Request, answer *http.Response) error {
			if answer.StatusCode == http.StatusOK {
				return nil
			}
			return &StatusError{Code: answer.StatusCode, Status: answer.Status, After: retryAfter(answer.Header, time.Now()), Proxy: true}
		},
	}
	return &http.Client{Transport: transport, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		return f.redirect(r, via, need)
	}}, need, nil
}
