package fetch

import (
	"bytes"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/fetchtest"
)

// handled is a server of net/http, whose If-Range does not know a tag that RFC 9110 does not allow.
func handled(tag string, data []byte, change func(http.ResponseWriter, *http.Request)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", tag)
		if change != nil {
			change(w, r)
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	})
}

// TestRangesBlunt: a server that answers If-Range with the whole of the same file is asked without.
func TestRangesBlunt(t *testing.T) {
	for _, tt := range []struct {
		name string
		file fetchtest.File
		next fetchtest.File // the server's later
	}{
		{"ETag", strong, changed},
		{"Last-Modified", dated, fetchtest.File{Data: changed.Data, Modified: dated.Modified.Add(time.Hour)}},
		{"another size", strong, longer},
		{"loses its tag", strong, fetchtest.File{Data: changed.Data}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in(t, func(t *testing.T, network *fetchtest.Network) {
				server := network.Server("h", tt.file)
				server.Blunt = true
				var c events
				s := source("http://h/image")
				s.MaxTime = time.Hour
				r, err := openRanges(t, network, s, &c)
				if err != nil {
					t.Fatal(err)
				}
				for at := openSize; at < len(image); at += 100_000 {
					checkRead(t, r, image, at, 100_000)
				}
				var compared int
				for _, request := range server.Requests() {
					if request.Header.Get("If-Range") != "" {
						compared++
					}
				}
				if compared != 1 || len(c.all) > 0 || r.Received() != int64(len(image)) {
					t.Errorf("%d requests with If-Range, events %v, %d bytes travelled, want 1, none, %d", compared, c.all, r.Received(), len(image))
				}
				server.Next(fetchtest.Answer{File: &tt.next})
				p := make([]byte, 10)
				if n, err := r.ReadAt(p, 500_000); n > 0 || err == nil {
					t.Errorf("ReadAt of another file = %d, %v, want an error", n, err)
				}
			})
		})
	}
}

// TestRangesMalformedTag: the server's own software does not know its tag.
func TestRangesMalformedTag(t *testing.T) {
	in(t, func(t *testing.T, network *fetchtest.Network) {
		network.Handle("h", handled(`"not a tag"`, image, nil))
		var c events
		r, err := openRanges(t, network, source("http://h/image"), &c)
		if err != nil {
			t.Fatal(err)
		}
		checkRead(t, r, image, 0, len(image))
		if len(c.all) > 0 {
			t.Errorf("events %v, want none", c.all)
		}
	})
}

// TestRangesRefused: where a server has the file, and gives no parts of it any more, a read says so, and a later one may go well.
func TestRangesRefused(t *testing.T) {
	whole := fetchtest.Answer{NoRanges: true}
	for _, tt := range []struct {
		name    string
		answers []fetchtest.Answer
		want    string
	}{
		{"for ever", slices.Repeat([]fetchtest.Answer{whole}, 100), "any more: asked to begin at byte 300000, the server answered the whole file"},
		{"416", slices.Repeat([]fetchtest.Answer{{Status: 416}, {}}, 100), "any more: asked to begin at byte 300000, the server answered 416"},
		{"twice", slices.Repeat([]fetchtest.Answer{whole}, 2*3), ""}, // with, without, and to see what it has
	} {
		t.Run(tt.name, func(t *testing.T) {
			in(t, func(t *testing.T, network *fetchtest.Network) {
				server := network.Server("h", strong)
				var c events
				r, err := openRanges(t, network, source("http://h/image"), &c)
				if err != nil {
					t.Fatal(err)
				}
				server.Next(tt.answers...)
				began := time.Now()
				_, err = r.ReadAt(make([]byte, 10), 300_000)
				var none *NoRangesError
				switch {
				case tt.want == "" && err != nil:
					t.Errorf("ReadAt = %v", err)
				case tt.want != "" && (!errors.As(err, &none) || !strings.Contains(err.Error(), tt.want)):
					t.Errorf("ReadAt = %v, want a NoRangesError with %q", err, tt.want)
				}
				if took := time.Since(began); took > 4*time.Second {
					t.Errorf("ReadAt took %v", took)
				}
				server.Next()
				checkRead(t, r, image, 300_000, 100_000)
			})
		})
	}
}

// TestRangesUnprovable: a part that nothing proves to be of the file is not used.
func TestRangesUnprovable(t *testing.T) {
	in(t, func(t *testing.T, network *fetchtest.Network) {
		opened := false
		network.Handle("h", handled(`"not a tag"`, image, func(w http.ResponseWriter, r *http.Request) {
			if opened && r.Header.Get("Range") != "" && r.Header.Get("If-Range") == "" {
				w.Header().Del("ETag")
			}
		}))
		s := source("http://h/image")
		s.MaxTime = time.Minute
		r, err := openRanges(t, network, s, &events{})
		if err != nil {
			t.Fatal(err)
		}
		opened = true
		p := make([]byte, 10)
		if n, err := r.ReadAt(p, 300_000); n > 0 || err == nil {
			t.Errorf("ReadAt = %d, %v, want an error", n, err)
		}
	})
}

// TestRangesRefusedMirror: a mirror takes over that gives parts.
func TestRangesRefusedMirror(t *testing.T) {
	in(t, func(t *testing.T, network *fetchtest.Network) {
		network.Server("first", strong, append([]fetchtest.Answer{{}}, slices.Repeat([]fetchtest.Answer{{NoRanges: true}}, 100)...)...)
		network.Server("second", strong)
		var c events
		r, err := openRanges(t, network, source("http://first/image", "http://second/image"), &c)
		if err != nil {
			t.Fatal(err)
		}
		checkRead(t, r, image, 0, len(image))
		if got := c.kinds(); got != "TookOver" {
			t.Errorf("events %v, want TookOver", c.all)
		}
	})
}

// TestResumeBlunt: a download is resumed, and spread over connections, at a server that cannot compare.
func TestResumeBlunt(t *testing.T) {
	for _, tt := range []struct {
		connections int
		answers     []fetchtest.Answer
		want        string // events
	}{
		{1, []fetchtest.Answer{{Break: fetchtest.Reset, At: 700_000}}, "Resumed"},
		{4, slowly(100), "Spread"},
	} {
		in(t, func(t *testing.T, network *fetchtest.Network) {
			server := network.Server("h", strong, tt.answers...)
			server.Blunt = true
			s := source("http://h/image")
			s.Connections = tt.connections
			c, err := get(t, s, Environment{connect: network.Dial, pieceSize: pieceOfImage, eager: true})
			if err != nil || !bytes.Equal(c.data, image) || c.kinds() != tt.want {
				t.Errorf("get over %d connections = %d bytes, %v, events %v, want the image, %s", tt.connections, len(c.data), err, c.all, tt.want)
			}
			if n := len(server.Requests()); tt.connections > 1 && n < len(image)/pieceOfImage {
				t.Errorf("%d requests, want one for each of %d pieces", n, len(image)/pieceOfImage)
			}
		})
	}
}

// TestSameFile: what was opened later is the same by its size and what tells versions apart; the date of another server tells nothing.
func TestSameFile(t *testing.T) {
	for _, tt := range []struct {
		name, at string
		was, is  fetchtest.File
		want     bool
	}{
		{"ETag", "first", strong, strong, true},
		{"another ETag", "first", strong, changed, false},
		{"another size", "first", strong, fetchtest.File{Data: longer.Data, ETag: strong.ETag}, false},
		{"date", "first", dated, dated, true},
		{"another date", "first", dated, fetchtest.File{Data: image, Modified: dated.Modified.Add(time.Hour)}, false},
		{"ETag of another server", "second", strong, strong, true},
		{"date of another server", "second", dated, dated, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in(t, func(t *testing.T, network *fetchtest.Network) {
				network.Server("first", tt.was)
				r, err := openRanges(t, network, source("http://first/image"), &events{})
				if err != nil {
					t.Fatal(err)
				}
				network.Server(tt.at, tt.is)
				o, err := openRanges(t, network, source("http://"+tt.at+"/image"), &events{})
				if err != nil {
					t.Fatal(err)
				}
				if got := r.SameFile(o); got != tt.want {
					t.Errorf("SameFile = %v, want %v", got, tt.want)
				}
			})
		})
	}
}
