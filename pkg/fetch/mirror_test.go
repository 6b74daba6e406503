package fetch

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/fetchtest"
	"github.com/liveboot/liveboot/pkg/fetch/httpx"
)

func TestMirrors(t *testing.T) {
	cut := fetchtest.Answer{Break: fetchtest.Reset, At: len(image) / 2}
	gone := fetchtest.Answer{Status: 404}
	other := fetchtest.File{Data: image, ETag: `"of another server"`}
	for _, tt := range []struct {
		name   string
		first  []fetchtest.Answer
		second fetchtest.File
		digest Digest
		want   string
		data   []byte
	}{
		{"the first is not there", []fetchtest.Answer{gone}, other, Digest{}, "GaveUp", image},
		{"same ETag", []fetchtest.Answer{cut, gone}, strong, Digest{}, "GaveUp TookOver", image},
		{"digest known", []fetchtest.Answer{cut, gone}, other, digestOf(image), "GaveUp TookOver", image},
		{"another file", []fetchtest.Answer{cut, gone}, changed, Digest{}, "GaveUp Restarted", changed.Data},
		{"nothing to compare", []fetchtest.Answer{cut, gone}, bare, Digest{}, "GaveUp Restarted", image},
		{"another size", []fetchtest.Answer{cut, gone}, longer, digestOf(longer.Data), "GaveUp Restarted", longer.Data},
		{"the first is back in time", []fetchtest.Answer{cut, {Status: 503}, {Status: 503}}, bare, Digest{}, "Resumed", image},
		{"the second goes on", []fetchtest.Answer{cut, {Status: 503}}, strong, Digest{}, "TookOver", image},
		{"the first has another image", []fetchtest.Answer{{File: &changed}}, other, digestOf(image), "GaveUp Restarted", image},
		{"put together of two images", []fetchtest.Answer{cut, gone}, fetchtest.File{Data: changed.Data}, digestOf(changed.Data), "GaveUp TookOver Restarted", changed.Data},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in(t, func(t *testing.T, network *fetchtest.Network) {
				network.Server("first", strong, tt.first...)
				network.Server("second", tt.second)
				s := source("http://first/image", "http://second/image")
				s.Digest = tt.digest
				c, err := get(t, s, Environment{connect: network.Dial})
				if err != nil || !bytes.Equal(c.data, tt.data) {
					t.Errorf("get = %d bytes, %v, want %d bytes", len(c.data), err, len(tt.data))
				}
				if got := c.kinds(); got != tt.want {
					t.Errorf("events %v, want %s", c.all, tt.want)
				}
			})
		})
	}
}

// TestAllMirrorsFail: the error says what happened at each.
func TestAllMirrorsFail(t *testing.T) {
	in(t, func(t *testing.T, network *fetchtest.Network) {
		network.Server("gone", strong, fetchtest.Answer{Status: 404})
		network.Server("forbidden", strong, fetchtest.Answer{Status: 403})
		began := time.Now()
		s := source("http://gone/image", "http://forbidden/image", "http://refuses/image", "http://nobody/image", "gopher://old/image")
		_, err := get(t, s, Environment{connect: network.Dial})
		var all *SourceError
		if !errors.As(err, &all) || len(all.Mirrors) != 5 {
			t.Fatalf("get = %v, want a SourceError of 5 mirrors", err)
		}
		for _, want := range []string{"http://gone/image: the server answered 404", "403", "connection refused", "no such host", `"gopher"`} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("get = %v, want %q in it", err, want)
			}
		}
		var status *httpx.StatusError
		if !errors.As(err, &status) || status.Code != 404 {
			t.Errorf("get = %v, want a StatusError of 404 in it", err)
		}
		if took := time.Since(began); took < DefaultSilent || took > DefaultSilent+2*DefaultMaxDelay {
			t.Errorf("gave up after %v, want %v and a wait", took, DefaultSilent)
		}
	})
}

// TestPatienceBeginsAnew: that a mirror was silent an hour ago does not tell that it is now.
func TestPatienceBeginsAnew(t *testing.T) {
	in(t, func(t *testing.T, network *fetchtest.Network) {
		network.Server("slow", strong, fetchtest.Answer{Break: fetchtest.Reset, At: 100},
			fetchtest.Answer{Pause: 3 * time.Second, Break: fetchtest.Reset, At: len(image) - 1}, fetchtest.Answer{Status: 503})
		s := source("http://slow/image", "http://refuses/image")
		s.Digest = digestOf(image)
		began := time.Now()
		c, err := get(t, s, Environment{connect: network.Dial})
		if err != nil || !bytes.Equal(c.data, image) || c.kinds() != "Resumed Resumed" {
			t.Errorf("get = %d bytes, %v, events %v, want the image, and no mirror given up", len(c.data), err, c.all)
		}
		if took := time.Since(began); took < DefaultSilent {
			t.Errorf("took %v, which is too short to show anything", took)
		}
	})
}
