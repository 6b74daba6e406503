package integration

import (
	"regexp"
	"strings"
	"testing"

	"github.com/liveboot/liveboot/integration/webserver"
)

// The image is not there: the message holds the status and the URL, without the password in it, and after the countdown
// the machine starts again.
func TestNotFound(t *testing.T) {
	t.Parallel()
	s := webserver.New(t, nil)
	url := strings.Replace(s.URL, "http://", "http://me:secret@", 1) + "/gone.iso"
	m := boot(t, "ip=dhcp panic=3 root=live:"+url)
	sentence := m.fails(fetching, "404")
	if !strings.Contains(sentence, "/gone.iso") {
		t.Errorf("the message is %q, want the URL in it", sentence)
	}
	m.exits("guest-reset")
	m.neverSaid(regexp.MustCompile(`liveboot:.*secret`))
}
