package integration

import (
	"testing"

	"github.com/liveboot/liveboot/integration/liveiso"
)

// The image comes through a cache. When its server is away the next machine gets it from the cache alone.
func TestPXECache(t *testing.T) {
	for _, tt := range []struct {
		name, cache string
		// first and second are what the two machines start.
		first, second string
		// hit is what the cache's log says of the second.
		hit string
	}{
		{"nginx", "nginx/cache.conf", "http", "http", `"GET /image/live\.iso HTTP/1\.1" 200 `},
		// The first machine takes squid for the server, the second knows the server's own address and squid as its proxy.
		{"squid", "squid/images.conf", "http", "proxy", `TCP_(MEM_)?HIT/200 \d+ GET http://198\.51\.100\.1/image/live\.iso `},
	} {
		t.Run(tt.name, func(t *testing.T) {
			full(t)
			t.Parallel()
			s := newSite(t, "pxelinux/install.sh dnsmasq/pxelinux.conf")
			// Larger than the pieces that nginx fetches, and than what squid keeps unless it is told.
			s.Put(liveISO(t, liveiso.Config{Layout: liveiso.Squashfs, Table: liveiso.GPT, PadMiB: 32}), "image/live.iso")
			writeDigest(t, s)
			s.FarIP("address add 198.51.100.1/24 dev lo")
			origin := s.Nginx(s.Path(""), "198.51.100.1:80")
			s.Use(tt.cache)
			boot := func(name, label string) {
				t.Helper()
				m := netboot(t, s, named(name))
				m.choose(label)
				checkLive(t, m.facts(), liveiso.Squashfs)
				m.exits("guest-shutdown")
			}
			boot("first", tt.first)
			origin.Wait(`GET /image/live\.iso`)
			origin.Stop()
			before := s.Server(tt.cache).Count(tt.hit)
			boot("second", tt.second)
			s.Server(tt.cache).WaitN(tt.hit, before+1)
		})
	}
}
