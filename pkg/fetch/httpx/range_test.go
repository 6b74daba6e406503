package httpx

import (
	"net/http"
	"testing"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/wire"
)

func TestParseContentRange(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want contentRange
		ok   bool
	}{
		{"bytes 0-0/1", contentRange{0, 0, 1}, true},
		{"Bytes 5-9/10", contentRange{5, 9, 10}, true},
		{"bytes 5-10/10", contentRange{}, false},
		{"bytes 9-5/10", contentRange{}, false},
		{"bytes 5-9/*", contentRange{}, false},
		{"bytes */10", contentRange{}, false},
		{"bytes=5-9/10", contentRange{}, false},
		{"bytes +5-9/10", contentRange{}, false},
		{"bytes 5-99999999999999999999/999999999999999999999", contentRange{}, false},
		{"", contentRange{}, false},
	} {
		got, err := parseContentRange(tt.in)
		if got != tt.want || (err == nil) != tt.ok {
			t.Errorf("parseContentRange(%q) = %v, %v, want %v, %v", tt.in, got, err, tt.want, tt.ok)
		}
	}
}

func FuzzParseContentRange(f *testing.F) {
	f.Add("bytes 5-9/10")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := parseContentRange(text)
		if err == nil && (r.first < 0 || r.last < r.first || r.total <= r.last) {
			t.Errorf("parseContentRange(%q) = %v", text, r)
		}
	})
}

func TestValidator(t *testing.T) {
	for _, tt := range []struct {
		name   string
		header http.Header
		want   wire.Validator
	}{
		{"none", http.Header{}, wire.Validator{}},
		{"strong tag", http.Header{"Etag": {`"x"`}}, wire.Validator{ETag: `"x"`}},
		{"weak tag", http.Header{"Etag": {`W/"x"`}}, wire.Validator{}},
		{"tag without quotes", http.Header{"Etag": {`x`}}, wire.Validator{}},
		{"old date", http.Header{"Date": {"Thu, 01 Jan 2026 00:00:02 GMT"}, "Last-Modified": {"Thu, 01 Jan 2026 00:00:01 GMT"}}, wire.Validator{Modified: "Thu, 01 Jan 2026 00:00:01 GMT"}},
		{"date of this second", http.Header{"Date": {"Thu, 01 Jan 2026 00:00:01 GMT"}, "Last-Modified": {"Thu, 01 Jan 2026 00:00:01 GMT"}}, wire.Validator{}},
		{"no clock", http.Header{"Last-Modified": {"Thu, 01 Jan 2026 00:00:01 GMT"}}, wire.Validator{}},
	} {
		if got := validator(tt.header); got != tt.want {
			t.Errorf("%s: validator(%v) = %v, want %v", tt.name, tt.header, got, tt.want)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		after, date string
		want        time.Duration
	}{
		{"", "", 0},
		{"120", "", 2 * time.Minute},
		{"-1", "", 0},
		{"Thu, 01 Jan 1970 00:00:09 GMT", "", 9 * time.Second},
		{"Thu, 01 Jan 2026 00:00:09 GMT", "Thu, 01 Jan 2026 00:00:02 GMT", 7 * time.Second},
	} {
		if got := retryAfter(http.Header{"Retry-After": {tt.after}, "Date": {tt.date}}, now); got != tt.want {
			t.Errorf("retryAfter(%q at %q) = %v, want %v", tt.after, tt.date, got, tt.want)
		}
	}
}

func TestCheckEncoding(t *testing.T) {
	for _, tt := range []struct {
		url, encoding string
		ok            bool
	}{
		{"http://h/x.iso", "", true},
		{"http://h/x.iso", "identity", true},
		{"http://h/x.iso", "gzip", false},
		{"http://h/x.iso.gz", "x-gzip", true},
		{"http://h/x.iso.gz", "br", false},
		{"http://h/x.iso.zst", "zstd", true},
	} {
		request, err := http.NewRequest("GET", tt.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := checkEncoding(http.Header{"Content-Encoding": {tt.encoding}}, request.URL); (err == nil) != tt.ok {
			t.Errorf("checkEncoding(%s, %s) = %v, want success %v", tt.url, tt.encoding, err, tt.ok)
		}
	}
}
