package integration

import (
	"testing"

	"github.com/liveboot/liveboot/integration/liveiso"
	"github.com/liveboot/liveboot/integration/webserver"
)

// The server does not say how long the image is.
func TestChunked(t *testing.T) {
	t.Parallel()
	s := webserver.New(t, nil)
	s.Chunked(t, "/live.iso", liveISO(t, liveiso.Config{Layout: liveiso.RootfsImage}))
	m := boot(t, "ip=dhcp root=live:"+s.URL+"/live.iso")
	checkLive(t, m.facts(), liveiso.RootfsImage)
}
