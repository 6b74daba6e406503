package integration

import (
	"testing"

	"github.com/liveboot/liveboot/integration/liveiso"
	"github.com/liveboot/liveboot/integration/webserver"
)

// The server sends the guest elsewhere: to another path, and from there to an HTTPS server with a private authority.
func TestRedirect(t *testing.T) {
	t.Parallel()
	plain, secure := webserver.New(t, nil), webserver.New(t, trusted(t))
	secure.File("/live.iso", liveISO(t, liveiso.Config{Layout: liveiso.Squashfs}))
	plain.Redirect("/old.iso", "/newer.iso")
	plain.Redirect("/newer.iso", secure.URL+"/live.iso")
	m := boot(t, "ip=dhcp root=live:"+plain.URL+"/old.iso")
	checkLive(t, m.facts(), liveiso.Squashfs)
	if s := secure.Stats("/live.iso"); s.Gets != 1 {
		t.Errorf("the image was asked for %d times, want once", s.Gets)
	}
}

// Two servers that send the guest to each other do not keep it for ever.
func TestRedirectLoop(t *testing.T) {
	full(t)
	t.Parallel()
	s := webserver.New(t, nil)
	s.Redirect("/a.iso", "/b.iso")
	s.Redirect("/b.iso", "/a.iso")
	m := boot(t, "ip=dhcp root=live:"+s.URL+"/a.iso")
	m.see(failed(fetching, "redirects"), anyFailure())
	m.see(offer())
}
