package fetch

import (
	"errors"
	"net/url"
	"path"
	"strconv"
	"strings"
)

// A URL is the address of an image. It is kept as it was written, password included; String shows it without.
type URL string

// ParseURL checks what was written on the command line.
func ParseURL(s string) (URL, error) {
	u, err := URL(s).parse()
	if err != nil {
		return "", err
	}
	if u.Host == "" && !URL(s).Pushed() {
		return "", errors.New("the URL names no server: write scheme://server/path")
	}
	return URL(s), nil
}

// parse never shows the text in its error, nor a part of it: that may be one of a password, which is what makes most URLs unreadable.
func (u URL) parse() (*url.URL, error) {
	parsed, err := url.Parse(string(u))
	if err != nil {
		return nil, errors.New(unreadable(err))
	}
	return parsed, nil
}

// unreadable says in words of its own what url.Parse, which quotes, did not like.
func unreadable(err error) string {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	var escape url.EscapeError
	var host url.InvalidHostError
	switch {
	case errors.As(err, &escape):
		return "not a URL: a % in it is not followed by two hexadecimal digits; % itself is written %25"
	case errors.As(err, &host):
		return "not a URL: the server's name has a character in it that no name has"
	case strings.Contains(err.Error(), "invalid port"):
		return "not a URL: what stands behind the server's name and a colon is no port; " +
			"in a name or password / is written %2F, ? is %3F, # is %23 and @ is %40"
	case strings.Contains(err.Error(), "invalid userinfo"):
		return "not a URL: name or password have a character in them that must be written as % and two hexadecimal digits"
	}
	return "not a URL: want scheme://server/path"
}

// Scheme returns the part before the first colon, in lower case.
func (u URL) Scheme() string {
	scheme, _, _ := strings.Cut(string(u), ":")
	return strings.ToLower(scheme)
}

// String returns the URL with "xxxxx" for the password, and without query, which often holds a token. Of what is no URL it shows no more
// than the scheme.
func (u URL) String() string {
	parsed, err := u.parse()
	if err != nil || parsed.Opaque != "" || parsed.Host == "" && strings.Contains(parsed.Path, "@") {
		scheme, _, found := strings.Cut(string(u), ":")
		if !found {
			return "…"
		}
		return strings.ToLower(scheme) + ":…"
	}
	if parsed.RawQuery != "" {
		parsed.RawQuery = "…"
	}
	if u.Pushed() && parsed.Host == "" && parsed.Path == "" {
		return parsed.Scheme + "://"
	}
	return parsed.Redacted()
}

// GoString is String in quotes, for %#v.
func (u URL) GoString() string { return strconv.Quote(u.String()) }

// MarshalText keeps secrets out of reports: it is String.
func (u URL) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// withSuffix returns the URL of a file beside the image, whose name is the image's and a suffix.
func (u URL) withSuffix(suffix string) (URL, error) {
	parsed, err := u.parse()
	if err != nil {
		return "", err
	}
	parsed.Path += suffix
	if parsed.RawPath != "" {
		parsed.RawPath += suffix
	}
	parsed.Fragment, parsed.RawFragment = "", ""
	return URL(parsed.String()), nil
}

// base returns the name of the file.
func (u URL) base() string {
	parsed, err := u.parse()
	if err != nil {
		return ""
	}
	return path.Base(parsed.Path)
}
