package integration

import (
	"testing"

	"github.com/liveboot/liveboot/integration/webserver"
)

// hugeISO is a length that no test machine's memory holds, in bytes.
const hugeISO = 64 << 30

// inFlight is what a server may have handed to its socket, in bytes, although the guest reads nothing.
const inFlight = 8 << 20

// The image does not fit into memory: the boot ends before the first byte, with both figures.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	s := webserver.New(t, nil)
	s.Huge("/live.iso", hugeISO)
	m := boot(t, "ip=dhcp root=live:"+s.URL+"/live.iso")
	m.fails("(?:target|fetch)", `\d+ [KMG]i?B.*\d+ [KMG]i?B`)
	if st := s.Stats("/live.iso"); st.Gets > 1 || st.Bytes > inFlight {
		t.Errorf("asked for the image: %+v, want at most one request and no more than %d bytes under way", st, inFlight)
	}
}
