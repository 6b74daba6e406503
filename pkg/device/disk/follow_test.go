package disk

import (
	"context"
	"errors"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestWatch: devices are shown when they have become others, and one that does not answer does not hide the rest.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		defer close(b.dead)
		b.plug("vda", make([]byte, 4096))
		b.plug("vdb", nil)
		time.AfterFunc(20*time.Second, func() { b.plug("vdc", make([]byte, 4096)) })
		began := time.Now()
		var seen [][]string
		err := b.system().Watch(t.Context(), func(devices []Device) bool {
			var names []string
			for _, d := range devices {
				names = append(names, d.Name)
			}
			seen = append(seen, names)
			return len(names) == 2
		})
		if err != nil {
			t.Fatalf("Watch: %v", err)
		}
		if diff := cmp.Diff([][]string{{"vda"}, {"vda", "vdc"}}, seen); diff != "" {
			t.Errorf("Watch showed (-want +got):\n%s", diff)
		}
		if took := time.Since(began); took < 20*time.Second || took > 21*time.Second {
			t.Errorf("Watch took %v, want some 20 s", took)
		}
	})
}

func TestWatchEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := newBench().system().Watch(ctx, func([]Device) bool { return false })
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Watch = %v, want %v", err, context.DeadlineExceeded)
		}
	})
	if err := (System{Sys: fstest.MapFS{}}).Watch(t.Context(), nil); err == nil {
		t.Error("Watch without /sys = nil, want an error")
	}
}
