package fetch

import (
	"bytes"
	"errors"
	"testing"

	"github.com/liveboot/liveboot/pkg/fetch/fetchtest"
)

// TestRangesInto: many parts come by one request, each is complete when the next one is asked for, and after a break the rest is asked for.
func TestRangesInto(t *testing.T) {
	const offset, length, part = 100_000, 300_000, 70_000
	for _, tt := range []struct {
		name    string
		answers []fetchtest.Answer
		asked   int
	}{
		{"in one go", nil, 1},
		{"broken", []fetchtest.Answer{{}, {Break: fetchtest.Reset, At: offset + 150_001}}, 2},
		{"refused", []fetchtest.Answer{{}, {Refuse: true}}, 2},
		{"whole", []fetchtest.Answer{{}, {Beyond: true}}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in(t, func(t *testing.T, network *fetchtest.Network) {
				server := network.Server("h", strong, tt.answers...)
				r, err := openRanges(t, network, source("http://h/image"), &events{})
				if err != nil {
					t.Fatal(err)
				}
				got := make([]byte, length+1)
				calls, given := 0, 0
				err = r.ReadInto(t.Context(), offset, length, func() ([]byte, error) {
					if want := image[offset : offset+given]; !bytes.Equal(got[:given], want) {
						t.Errorf("part %d is asked for when those before it are not there", calls)
					}
					calls++
					p := got[given:min(given+part, length)]
					given += len(p)
					return p, nil
				})
				if err != nil || !bytes.Equal(got[:length], image[offset:offset+length]) {
					t.Errorf("ReadInto = %v, or gave other bytes than those of the image", err)
				}
				if n := len(server.Requests()) - 1; n != tt.asked || calls != 5 {
					t.Errorf("%d requests, %d parts, want %d and 5", n, calls, tt.asked)
				}
			})
		})
	}
}

// TestRangesIntoEnds: what has no place to go ends the reading at once, and the next one works.
func TestRangesIntoEnds(t *testing.T) {
	in(t, func(t *testing.T, network *fetchtest.Network) {
		server := network.Server("h", strong)
		r, err := openRanges(t, network, source("http://h/image"), &events{})
		if err != nil {
			t.Fatal(err)
		}
		full := errors.New("full")
		var parts int
		err = r.ReadInto(t.Context(), 0, 300_000, func() ([]byte, error) {
			if parts++; parts == 2 {
				return nil, full
			}
			return make([]byte, 1000), nil
		})
		if !errors.Is(err, full) || parts != 2 || len(server.Requests()) != 2 {
			t.Errorf("ReadInto = %v after %d parts, %d requests, want %v after 2 and 2", err, parts, len(server.Requests()), full)
		}
		for _, tt := range []struct{ offset, length int64 }{{-1, 1}, {0, -1}, {r.Size, 1}, {0, r.Size + 1}, {1 << 62, 1 << 62}} {
			if err := r.ReadInto(t.Context(), tt.offset, tt.length, nil); err == nil {
				t.Errorf("ReadInto(%d, %d) = nil, want an error", tt.offset, tt.length)
			}
		}
		if err := r.ReadInto(t.Context(), r.Size, 0, nil); err != nil {
			t.Errorf("ReadInto of nothing = %v, want nil", err)
		}
		checkRead(t, r, image, 300_000, 1000)
	})
}
