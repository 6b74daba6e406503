package boot

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/liveboot/liveboot/pkg/fetch"
	"github.com/liveboot/liveboot/pkg/fetch/dolly"
)

// ringConsole keeps what is told of a ring.
type ringConsole struct {
	Console
	told []string
}

func (c *ringConsole) Stagef(stage, format string, args ...any) {
	c.told = append(c.told, stage+": "+fmt.Sprintf(format, args...))
}

func (c *ringConsole) Warnf(format string, args ...any) {
	c.told = append(c.told, "warning: "+fmt.Sprintf(format, args...))
}

// TestTellRing: what is as it should be is no warning.
func TestTellRing(t *testing.T) {
	var ui ringConsole
	b := &run{ui: &ui}
	b.tellFetch(fetch.RingEvent{Event: dolly.Linked{Host: "node2"}})
	b.tellFetch(fetch.RingEvent{Event: dolly.Skipped{Host: "node2", Err: errors.New("no route")}})
	want := []string{"fetch: passing everything on to node2", "warning: fetch: the node node2 is left out: no route"}
	if diff := cmp.Diff(want, ui.told); diff != "" {
		t.Error(diff)
	}
}

// TestPushed: for a ring no server is knocked at, even if there is a mirror that could be.
func TestPushed(t *testing.T) {
	for _, tt := range []struct {
		urls []fetch.URL
		want bool
	}{
		{[]fetch.URL{"http://h/i"}, false},
		{[]fetch.URL{"dolly://"}, true},
		{[]fetch.URL{"dolly://h/", "http://h/i"}, true},
		{nil, false},
	} {
		if got := pushed(tt.urls); got != tt.want {
			t.Errorf("pushed(%v) = %v, want %v", tt.urls, got, tt.want)
		}
	}
}
