package integration

import (
	"regexp"
	"testing"

	"github.com/liveboot/liveboot/integration/webserver"
	"github.com/liveboot/liveboot/qemu"
)

// A mistyped or not yet built option stops the boot before anything is touched: it may have been the one that verifies
// the image. It stops before any driver, too; a person with a USB keyboard can press Enter all the same.
func TestBadOption(t *testing.T) {
	for _, tt := range []struct{ name, word, cause string }{
		{"mistyped", "rd.liveboot.sha265=0123", `rd\.liveboot\.sha265`},
		{"not built", "rd.live.encrypt", `rd\.live\.encrypt`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := webserver.New(t, nil)
			m := boot(t, "ip=dhcp "+tt.word+" root=live:"+s.URL+"/live.iso", func(c *qemu.Config) {
				c.Extra = append(c.Extra, "-device", "qemu-xhci", "-device", "usb-kbd")
			})
			m.fails(".*", tt.cause)
			m.openShell()
			m.output("for i in $(seq 60); do grep -q USB /proc/bus/input/devices && break; sleep 1; done; cat /proc/bus/input/devices", regexp.MustCompile(`Name=.*USB Keyboard`))
			m.neverSaid(said(network, ""))
			if st := s.Stats("/live.iso"); st.Gets != 0 {
				t.Errorf("the image was asked for %d times, want never", st.Gets)
			}
		})
	}
}
