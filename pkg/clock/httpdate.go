package clock

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// HTTPDate returns what time it is to the server of target, by the field Date of its answer (RFC 9110, section 6.6.1), to a second. With
// https its certificate is not judged, since the clock by which that would be done is what is wrong. So nothing is told to a server
// that may be any: the question is a HEAD for "/", without credentials, certificates or cookies, and redirects are not followed.
//
// Of client the transport is used, for its way to connect and its proxy; it must be an *http.Transport (or nil, the default).
func HTTPDate(ctx context.Context, client *http.Client, target *url.URL) (time.Time, error) {
	if target.Scheme != "http" && target.Scheme != "https" {
		return time.Time{}, fmt.Errorf("ask for the date: %s is not an address of http or https", target.Redacted())
	}
	root := &url.URL{Scheme: target.Scheme, Host: target.Host, Path: "/"}
	transport, err := anonymous(client.Transport)
	if err != nil {
		return time.Time{}, fmt.Errorf("ask %s for the date: %w", root, err)
	}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, root.String(), nil)
	if err != nil {
		return time.Time{}, fmt.Errorf("ask %s for the date: %w", root, err)
	}
	request.Header.Set("Cache-Control", "no-cache")
	response, err := transport.RoundTrip(request)
	if err != nil {
		return time.Time{}, fmt.Errorf("ask %s for the date: %w", root, err)
	}
	if err := response.Body.Close(); err != nil {
		return time.Time{}, fmt.Errorf("ask %s for the date: %w", root, err)
	}
	now, err := dateOf(response.Header)
	if err != nil {
		return time.Time{}, fmt.Errorf("ask %s for the date: %w", root, err)
	}
	return now, nil
}

// dateOf is the time of an answer. A proxy may have had it for a while, of which it says how long (RFC 9111, section 5.1).
func dateOf(h http.Header) (time.Time, error) {
	text := h.Get("Date")
	if text == "" {
		return time.Time{}, errors.New("the answer has no date")
	}
	t, err := http.ParseTime(text)
	if err != nil {
		return time.Time{}, fmt.Errorf("the answer's date is %q: %w", text, err)
	}
	if age, err := strconv.ParseUint(h.Get("Age"), 10, 31); err == nil {
		t = t.Add(time.Duration(age) * time.Second)
	}
	return t, nil
}

// anonymous is the transport with nothing in it that says who we are, and without judging certificates. A RoundTrip of it follows no
// redirect and has no cookies.
func anonymous(t http.RoundTripper) (*http.Transport, error) {
	if t == nil {
		t = http.DefaultTransport
	}
	original, ok := t.(*http.Transport)
	if !ok {
		return nil, fmt.Errorf("the client's transport is a %T, not an *http.Transport", t)
	}
	transport := original.Clone()
	config := transport.TLSClientConfig
	if config == nil {
		config = new(tls.Config)
	}
	config.InsecureSkipVerify = true
	// These would judge all the same.
	config.VerifyPeerCertificate, config.VerifyConnection = nil, nil
	config.Certificates, config.GetClientCertificate, config.ClientSessionCache = nil, nil, nil
	transport.TLSClientConfig = config
	transport.DialTLSContext = nil // it would do its own judging
	transport.ProxyConnectHeader, transport.GetProxyConnectHeader = nil, nil
	if proxy := transport.Proxy; proxy != nil {
		transport.Proxy = func(r *http.Request) (*url.URL, error) {
			u, err := proxy(r)
			if u == nil || u.Scheme != "https" {
				return u, err
			}
			// Its certificate is not judged either.
			return &url.URL{Scheme: u.Scheme, Host: u.Host}, err
		}
	}
	return transport, nil
}
