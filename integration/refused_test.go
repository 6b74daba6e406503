package integration

import (
	"net"
	"testing"

	"github.com/liveboot/liveboot/qemu"
)

// Nobody listens at the address.
func TestRefused(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	m := boot(t, "ip=dhcp rd.kiwi.live.curl_options=--retry,1 root=live:http://"+qemu.HostAddress+":"+port+"/live.iso")
	m.fails(fetching, "connection refused")
}
