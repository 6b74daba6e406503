package integration

import (
	"testing"

	"github.com/liveboot/liveboot/integration/webserver"
)

// A mistyped or not yet built option stops the boot before anything is touched: it may have been the one that verifies
// the image.
func TestBadOption(t *testing.T) {
	for _, tt := range []struct{ name, word, cause string }{
		{"mistyped", "rd.liveboot.sha265=0123", `rd\.liveboot\.sha265`},
		{"not built", "rd.live.encrypt", `rd\.live\.encrypt`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := webserver.New(t, nil)
			m := boot(t, "ip=dhcp "+tt.word+" root=live:"+s.URL+"/live.iso")
			m.fails(".*", tt.cause)
			m.neverSaid(said(network, ""))
			if st := s.Stats("/live.iso"); st.Gets != 0 {
				t.Errorf("the image was asked for %d times, want never", st.Gets)
			}
		})
	}
}
