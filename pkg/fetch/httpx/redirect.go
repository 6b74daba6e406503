package httpx

import (
	"fmt"
	"net/http"
	"net/url"
)

// redirect decides whether a redirect is followed, and what the next server is told.
func (f *File) redirect(request *http.Request, via []*http.Request, need func(*url.URL) error) error {
	switch last := via[len(via)-1].URL; {
	case f.options.NoRedirects:
		return http.ErrUseLastResponse
	case f.options.Gateway != nil:
		return &RedirectError{"the proxy redirects to " + place(request.URL) + ", which is not followed"}
	case request.URL.Scheme != "http" && request.URL.Scheme != "https":
		return &RedirectError{fmt.Sprintf("the server redirects to the protocol %q, which is not followed", request.URL.Scheme)}
	case f.options.MaxRedirects >= 0 && len(via) > f.options.MaxRedirects:
		return &RedirectError{fmt.Sprintf("stopped after %d redirects, the last to %s", f.options.MaxRedirects, place(request.URL))}
	case request.URL.Scheme == "http" && last.Scheme == "https" && !f.options.Downgrade:
		return &RedirectError{fmt.Sprintf("the server redirects from https to http (%s), where nothing protects the image", place(request.URL))}
	}
	f.introduce(request)
	return need(request.URL)
}

// introduce tells the server that a redirect leads to what it may know. net/http keeps what it does not know to be secret, and thinks that a
// server may know the secrets of those whose name ends in its own.
func (f *File) introduce(request *http.Request) {
	request.Header.Del("Referer")
	if place(request.URL) == place(f.target) {
		f.identify(request)
	} else {
		request.Header.Del("Authorization")
		request.Header.Del("Proxy-Authorization")
		for name := range f.options.Header {
			if name != "User-Agent" {
				request.Header.Del(name)
			}
		}
	}
	request.Header.Set("Accept-Encoding", "identity")
}

// place returns scheme and server of an address: path and query often hold a token.
func place(u *url.URL) string { return u.Scheme + "://" + u.Host }

func locationOf(response *http.Response) string {
	u, err := response.Location()
	if err != nil {
		return "something that is no address"
	}
	return place(u)
}
