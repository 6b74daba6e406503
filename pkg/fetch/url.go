package fetch

import (
	"errors"
	"fmt"
	"net/url"
	"path"
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
	if u.Host == "" {
		return "", fmt.Errorf("%q names no server: write %s://server/path", URL(s), u.Scheme)
	}
	return URL(s), nil
}

// parse never shows the text in its error: it may hold a password that did not parse.
func (u URL) parse() (*url.URL, error) {
	parsed, err := url.Parse(string(u))
	if err != nil {
		var inner *url.Error
		if errors.As(err, &inner) {
			err = inner.Err
		}
		return nil, fmt.Errorf("not a URL: %w", err)
	}
	return parsed, nil
}

// Scheme returns the part before the first colon, in lower case.
func (u URL) Scheme() string {
	scheme, _, _ := strings.Cut(string(u), ":")
	return strings.ToLower(scheme)
}

// String returns the URL with "xxxxx" for the password, and without query, which often holds a token.
func (u URL) String() string {
	parsed, err := u.parse()
	if err != nil {
		return u.Scheme() + ":…"
	}
	if parsed.Opaque != "" {
		return u.Scheme() + ":…"
	}
	if parsed.RawQuery != "" {
		parsed.RawQuery = "…"
	}
	return parsed.Redacted()
}

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
