package fetch

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/liveboot/liveboot/pkg/fetch/fetchtest"
)

// TestDistrust: what was wrong is read from another mirror, where there is one that may have it.
func TestDistrust(t *testing.T) {
	damaged := fetchtest.File{Data: append(bytes.Repeat([]byte("x"), 400_000), image[400_000:]...), ETag: strong.ETag}
	wrong := errors.New("not in the manifest")
	for _, tt := range []struct {
		name     string
		second   fetchtest.File
		verifies bool
		offset   int
		want     string // events
	}{
		{"same validator", strong, false, 300_000, "TookOver"},
		{"same validator, the beginning", strong, false, 0, "TookOver"},
		{"another validator", fetchtest.File{Data: image, ETag: `"other"`}, false, 300_000, "TookOver TookOver"},
		{"another validator, verified", fetchtest.File{Data: image, ETag: `"other"`}, true, 300_000, "TookOver"},
		{"no validator, verified", bare, true, 0, "TookOver"},
		{"another size, verified", longer, true, 300_000, "TookOver TookOver"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in(t, func(t *testing.T, network *fetchtest.Network) {
				network.Server("first", damaged)
				network.Server("second", tt.second)
				var c events
				e := Environment{connect: network.Dial, Report: c.report, Roots: t.TempDir(), Verifies: tt.verifies}
				r, err := OpenRanges(t.Context(), source("http://first/image", "http://second/image"), e)
				if err != nil {
					t.Fatal(err)
				}
				defer r.Close()
				checkRead(t, r, damaged.Data, tt.offset, 1000)
				r.Distrust(int64(tt.offset), 1000, wrong)
				right := tt.want == "TookOver"
				if right {
					checkRead(t, r, image, tt.offset, 1000)
				} else {
					checkRead(t, r, damaged.Data, tt.offset, 1000)
				}
				if got := c.kinds(); got != tt.want {
					t.Errorf("events %v, want %s", c.all, tt.want)
				}
				if first, ok := c.all[0].(TookOver); !ok || first.Cause != wrong {
					t.Errorf("events %v, want why first", c.all)
				}
				// What came before from the first does not take the second's trust away.
				if r.Distrust(500_000, 1000, wrong); right && len(c.all) != 2 {
					t.Errorf("events %v, want one more", c.all)
				}
			})
		})
	}
	t.Run("of what another gave", func(t *testing.T) {
		in(t, func(t *testing.T, network *fetchtest.Network) {
			network.Server("first", damaged)
			network.Server("second", strong)
			var c events
			r, err := openRanges(t, network, source("http://first/image", "http://second/image"), &c)
			if err != nil {
				t.Fatal(err)
			}
			for _, offset := range []int{100_000, 200_000, 300_000} {
				checkRead(t, r, damaged.Data, offset, 1000)
			}
			for _, offset := range []int64{100_000, 200_000, 300_000} {
				r.Distrust(offset, 1000, wrong)
			}
			checkRead(t, r, image, 100_000, 300_000)
			if got := c.kinds(); got != "TookOver" {
				t.Errorf("events %v, want one TookOver", c.all)
			}
		})
	})
	t.Run("alone", func(t *testing.T) {
		in(t, func(t *testing.T, network *fetchtest.Network) {
			network.Server("h", strong)
			r, err := openRanges(t, network, source("http://h/image", "tftp://h/image"), &events{})
			if err != nil {
				t.Fatal(err)
			}
			r.Distrust(0, 10, wrong)
			checkRead(t, r, image, 0, 100)
			if r.Received() != openSize+100 {
				t.Errorf("%d bytes travelled, want those that were wrong twice", r.Received())
			}
		})
	})
}

// TestVerifies: who verifies all needs no validator, but a change that is seen is one.
func TestVerifies(t *testing.T) {
	in(t, func(t *testing.T, network *fetchtest.Network) {
		server := network.Server("h", bare)
		r, err := OpenRanges(t.Context(), source("http://h/image"), Environment{connect: network.Dial, Roots: t.TempDir(), Verifies: true})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		checkRead(t, r, image, 100_000, 200_000)
		server.Next(fetchtest.Answer{File: &strong})
		checkRead(t, r, image, 300_000, 200_000)
		server.Next(fetchtest.Answer{File: &changed})
		_, err = r.ReadAt(make([]byte, 10), 500_000)
		var e *ChangedError
		if !errors.As(err, &e) || !strings.Contains(err.Error(), "http://h/image") {
			t.Errorf("ReadAt of a changed file = %v, want a ChangedError", err)
		}
	})
}
