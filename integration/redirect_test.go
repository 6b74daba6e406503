package integration

import (
	"os"
	"testing"

	"github.com/liveboot/liveboot/integration/liveiso"
	"github.com/liveboot/liveboot/integration/webserver"
)

// The server sends the guest elsewhere: to another path, and from there to an HTTPS server with a private authority.
func TestRedirect(t *testing.T) {
	t.Parallel()
	plain, secure := webserver.New(t, nil), webserver.New(t, trusted(t))
	file := liveISO(t, liveiso.Config{Layout: liveiso.Squashfs})
	secure.File("/live.iso", file)
	plain.Redirect("/old.iso", "/newer.iso")
	plain.Redirect("/newer.iso", secure.URL+"/live.iso")
	m := boot(t, "ip=dhcp root=live:"+plain.URL+"/old.iso")
	checkLive(t, m.facts(), liveiso.Squashfs)
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	// Beside the image itself only its first part is asked for, to look for its kernel.
	const part = 256 << 10
	if s := secure.Stats("/live.iso"); s.Gets > 2 || s.Bytes > info.Size()+part {
		t.Errorf("the image of %d bytes was asked for %d times, and %d bytes were sent; want it sent once", info.Size(), s.Gets, s.Bytes)
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
