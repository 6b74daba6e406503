package boot

import (
	"errors"
	"slices"

	"github.com/liveboot/liveboot/pkg/fetch"
	"github.com/liveboot/liveboot/pkg/plan"
)

// pushed reports whether the image may come from a server that connects to this machine. Then there is nobody to knock at: any link with an
// address will do.
func pushed(urls []fetch.URL) bool { return slices.ContainsFunc(urls, fetch.URL.Pushed) }

// errRing says why a link is none for a ring.
var errRing = errors.New("a ring of dolly needs an IPv4 address")

// tellRing tells people how it is with the ring; what is as it should be is no warning.
func (b *run) tellRing(e fetch.RingEvent) {
	if e.Problem() {
		b.ui.Warnf("fetch: %v", e)
		return
	}
	b.ui.Stagef(string(plan.Fetch), "%v", e)
}
