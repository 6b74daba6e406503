package integration

import (
	"testing"

	"github.com/liveboot/liveboot/integration/webserver"
)

// hugeISO is a length that no test machine's memory holds, in bytes.
const hugeISO = 64 << 30

// inFlight is what a server may have handed to its socket, in bytes, although the guest reads nothing.
const inFlight = 8 << 20

// The image does not fit into memory: the boot ends before the first byte, with both figures. The server, which knows no ranges, was asked for it
// twice: for a part, to look for its kernel, and then for all of it.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	s := webserver.New(t, nil)
	s.Huge("/live.iso", hugeISO)
	m := boot(t, "ip=dhcp root=live:"+s.URL+"/live.iso")
	m.fails("(?:target|fetch)", `\d+ [KMG]i?B.*\d+ [KMG]i?B`)
	if st := s.Stats("/live.iso"); st.Gets > 2 || st.Bytes > 2*inFlight {
		t.Errorf("asked for the image: %+v, want at most two requests and no more than %d bytes under way", st, 2*inFlight)
	}
}
