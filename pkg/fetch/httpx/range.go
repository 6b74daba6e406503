package httpx

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/wire"
)

// rangeOf returns the value of Range (RFC 9110 section 14.2): the last byte is named, and included.
func rangeOf(p wire.Position) string {
	if p.Length == 0 {
		return fmt.Sprintf("bytes=%d-", p.Offset)
	}
	return fmt.Sprintf("bytes=%d-%d", p.Offset, p.Offset+p.Length-1)
}

// ifRange returns the value of If-Range (RFC 9110 section 13.1.5).
func ifRange(v wire.Validator) string {
	if v.ETag != "" {
		return v.ETag
	}
	return v.Modified
}

// validator returns what is strong of an answer's validators. A date is strong if the file was not changed again within the
// second in which the server read it (RFC 9110 section 8.8.2.2).
func validator(h http.Header) wire.Validator {
	var v wire.Validator
	if tag := h.Get("ETag"); len(tag) > 2 && tag[0] == '"' && tag[len(tag)-1] == '"' {
		v.ETag = tag
	}
	modified, err := http.ParseTime(h.Get("Last-Modified"))
	if err != nil {
		return v
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil && date.Sub(modified) >= time.Second {
		v.Modified = h.Get("Last-Modified")
	}
	return v
}

// partial fills body from an answer 206, and tells if it is not what was asked for.
func partial(body *wire.Body, response *http.Response, p wire.Position) error {
	wrong := func(what string) error {
		return &wire.RangeError{Offset: p.Offset, Answer: fmt.Sprintf("%s with %s", response.Status, what)}
	}
	text := response.Header.Get("Content-Range")
	got, err := parseContentRange(text)
	switch {
	case err != nil:
		return wrong(err.Error())
	case got.first != p.Offset:
		return wrong("Content-Range: " + text)
	case response.ContentLength >= 0 && response.ContentLength != got.last-got.first+1:
		return wrong(fmt.Sprintf("Content-Range: %s and Content-Length: %d", text, response.ContentLength))
	}
	body.Offset, body.End, body.Size, body.Ranges = got.first, got.last+1, got.total, true
	// A server may send less than it was asked for; then the rest is asked for after it.
	body.ReadCloser = limit(body.ReadCloser, got.last-got.first+1)
	// In answer to If-Range a server may leave out what did not change (RFC 9110 section 15.3.7).
	if !body.Validator.Known() {
		body.Validator = p.Validator
	}
	return nil
}

// A contentRange is a range of bytes of a resource, both ends included.
type contentRange struct{ first, last, total int64 }

// parseContentRange reads the value of Content-Range (RFC 9110 section 14.4). The total must be there.
func parseContentRange(text string) (contentRange, error) {
	var r contentRange
	malformed := fmt.Errorf("the Content-Range %q", text)
	unit, rest, _ := strings.Cut(text, " ")
	span, total, ok := strings.Cut(strings.TrimSpace(rest), "/")
	if first, last, dash := strings.Cut(span, "-"); ok && dash && strings.EqualFold(unit, "bytes") {
		for _, field := range []struct {
			text string
			to   *int64
		}{{first, &r.first}, {last, &r.last}, {total, &r.total}} {
			n, err := strconv.ParseUint(field.text, 10, 63)
			if err != nil {
				return contentRange{}, malformed
			}
			*field.to = int64(n)
		}
	}
	if r.last < r.first || r.total <= r.last {
		return contentRange{}, malformed
	}
	return r, nil
}

// retryAfter returns how long a server asks to be left alone: 0 if it does not say (RFC 9110 section 10.2.3). A date is compared with
// the server's own clock where it tells its time, since the clock of a machine that boots may be wrong.
func retryAfter(h http.Header, now time.Time) time.Duration {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	until, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return max(0, until.Sub(now))
}
