package integration

import (
	"testing"

	"github.com/liveboot/liveboot/integration/liveiso"
	"github.com/liveboot/liveboot/integration/webserver"
	"github.com/liveboot/liveboot/qemu"
)

// The image comes over HTTPS from a server whose certificate is signed by an authority that the site put into the image.
func TestHTTPS(t *testing.T) {
	t.Parallel()
	url := nginx(t, liveISO(t, liveiso.Config{Layout: liveiso.Squashfs}), trusted(t))
	m := boot(t, "ip=dhcp root=live:"+url)
	checkLive(t, m.facts(), liveiso.Squashfs)
}

// A server that nobody vouches for gets no chance, and the message says what is wrong with it.
func TestHTTPSUnknownAuthority(t *testing.T) {
	full(t)
	t.Parallel()
	stranger, err := webserver.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	url := nginx(t, liveISO(t, liveiso.Config{Layout: liveiso.Squashfs}), stranger)
	m := boot(t, "ip=dhcp root=live:"+url)
	m.fails(fetching, "certificate signed by unknown authority")
}

// A machine whose battery is empty, in the year 2001: the clock is set from the web server before its certificate is judged.
func TestClockWithoutBattery(t *testing.T) {
	full(t)
	t.Parallel()
	url := nginx(t, liveISO(t, liveiso.Config{Layout: liveiso.Squashfs}), trusted(t))
	m := boot(t, "root=live:"+url, func(c *qemu.Config) { c.Extra = append(c.Extra, "-rtc", "base=2001-01-01T00:00:00") })
	m.see(warned(`the clock was set from 2001-01-01 .* to \d{4}-.*, as the web server says`), anyFailure())
	checkLive(t, m.facts(), liveiso.Squashfs)
}
