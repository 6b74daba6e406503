package httpx

import (
	"fmt"
	"net/http"
	"time"
)

// A StatusError is an answer other than success.
type StatusError struct {
	Code   int
	Status string
	// After is how long the server asks to be left alone; 0 if it does not say.
	After time.Duration
	// Proxy tells that it is the proxy's answer to the wish for a connection to the server.
	Proxy bool
}

// Error shows the server's own words, "404 Not Found" for example.
func (e *StatusError) Error() string {
	if e.Proxy {
		return "the proxy answered " + e.Status
	}
	return "the server answered " + e.Status
}

// Permanent reports whether the same question will get the same answer.
func (e *StatusError) Permanent() bool {
	switch e.Code {
	case http.StatusRequestTimeout, http.StatusMisdirectedRequest, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported, http.StatusNetworkAuthenticationRequired:
		return true
	}
	return e.Code < 500
}

// RetryAfter returns how long the server asks to be left alone; 0 if it does not say.
func (e *StatusError) RetryAfter() time.Duration { return e.After }

// NotThere reports whether the server says, in one way or another, that it has no such resource for us. A login that lacks
// is another matter: with it there may be one.
func (e *StatusError) NotThere() bool {
	login := e.Code == http.StatusUnauthorized || e.Code == http.StatusProxyAuthRequired
	return !e.Proxy && e.Code >= 400 && e.Code < 500 && e.Permanent() && !login
}

// OfFile reports whether the answer is about the resource that was asked for.
func (e *StatusError) OfFile() bool { return !e.Proxy }

// A RedirectError says that a redirect was not followed.
type RedirectError struct{ reason string }

// Error gives the reason.
func (e *RedirectError) Error() string { return e.reason }

// Permanent is true: the server means it.
func (*RedirectError) Permanent() bool { return true }

// OfFile is true: where it leads to depends on what is asked for.
func (*RedirectError) OfFile() bool { return true }

// An EncodingError says that the server sends something else than the bytes of the file.
type EncodingError struct{ Encoding string }

// Error names the encoding.
func (e *EncodingError) Error() string {
	return fmt.Sprintf("the server sends the image with Content-Encoding %s, which was not asked for", e.Encoding)
}

// Permanent is true: it is how the server is configured.
func (*EncodingError) Permanent() bool { return true }

// OfFile is true: it is sent with each resource.
func (*EncodingError) OfFile() bool { return true }
