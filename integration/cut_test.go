package integration

import (
	"testing"

	"github.com/liveboot/liveboot/integration/liveiso"
	"github.com/liveboot/liveboot/integration/webserver"
)

// The server closes the connection at half of the length that it promised, every time: the boot ends with both figures
// and no truncated image is mounted.
func TestCut(t *testing.T) {
	t.Parallel()
	s := webserver.New(t, nil)
	s.Cut(t, "/live.iso", liveISO(t, liveiso.Config{Layout: liveiso.Squashfs}), 0.5)
	m := boot(t, "ip=dhcp rd.kiwi.live.curl_options=--retry,2 root=live:"+s.URL+"/live.iso")
	m.fails(fetching, `\d.* of .*\d`)
	m.neverSaid(said(live, ""))
}
