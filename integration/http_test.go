package integration

import (
	"slices"
	"testing"

	"github.com/liveboot/liveboot/integration/liveiso"
)

// A live ISO of either layout is booted from nginx, the whole way to its own process 1, and powers off.
func TestHTTP(t *testing.T) {
	for _, layout := range []liveiso.Layout{liveiso.RootfsImage, liveiso.Squashfs} {
		t.Run(string(layout), func(t *testing.T) {
			t.Parallel()
			url := nginx(t, liveISO(t, liveiso.Config{Layout: layout}), nil)
			m := boot(t, "ip=dhcp root=live:"+url+" livetest_environment=kept -- single word")
			f := m.facts()
			for _, stage := range []string{devices, network, target, fetching, live, overlay, handoff} {
				m.hasSaid(said(stage, ""))
			}
			checkLive(t, f, layout)
			checkArguments(t, f, "single", "word")
			if want := "livetest_environment=kept"; !slices.Contains(f.Env, want) {
				t.Errorf("environment of the live init = %q, want %s in it", f.Env, want)
			}
			m.exits("guest-shutdown")
		})
	}
}
