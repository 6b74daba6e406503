package daemon

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/fetch"
	"github.com/liveboot/liveboot/pkg/network/nettest"
)

// The address by which the server is reached does not expire, with all else as it was; others do.
func TestKeepAddresses(t *testing.T) {
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		n.Veth("eth0", "lan")
		n.FarIP("address add 10.1.0.1/24 dev lan")
		n.FarIP("address add 2001:db8::1/64 dev lan nodad")
		n.IP("address add 10.1.0.5/24 dev eth0 valid_lft 60 preferred_lft 50 metric 77")
		n.IP("address add 10.1.0.6/24 dev eth0 valid_lft 60 preferred_lft 50")
		n.IP("link set eth0 up")
		n.IP("address add 2001:db8::5/64 dev eth0 valid_lft 60 preferred_lft 50 nodad")
		servers := []netip.Addr{netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("192.0.2.1")}
		if err := keepAddresses(servers); err != nil {
			t.Fatal(err)
		}
		lifetime := func(address string) string {
			lines := strings.Split(n.IP("-o address show dev eth0"), "\n")
			for _, line := range lines {
				if strings.Contains(line, " "+address+"/") {
					return line
				}
			}
			t.Fatalf("%s is not there", address)
			return ""
		}
		for address, want := range map[string]bool{"10.1.0.5": true, "10.1.0.6": false, "2001:db8::5": true} {
			if got := lifetime(address); strings.Contains(got, "valid_lft forever preferred_lft forever") != want {
				t.Errorf("%s: the lifetime is without end: %v, want %v: %s", address, !want, want, got)
			}
		}
		if got := lifetime("10.1.0.5"); !strings.Contains(got, "metric 77") {
			t.Errorf("the address has lost its metric: %s", got)
		}
		if got := n.IP("route show 10.1.0.0/24 metric 77"); !strings.Contains(got, "10.1.0.5") {
			t.Errorf("the route of the subnet is %q, want one with the metric", got)
		}
		if got := n.IP("-6 route show 2001:db8::/64"); strings.Contains(got, "expires") {
			t.Errorf("the route of the IPv6 subnet expires: %s", got)
		}
		// One whose lease is renewed in time is left alone.
		n.IP("address replace 10.1.0.5/24 dev eth0 valid_lft 3600 preferred_lft 3600 metric 77")
		if err := keepAddresses(servers); err != nil {
			t.Fatal(err)
		}
		if got := lifetime("10.1.0.5"); strings.Contains(got, "forever") {
			t.Errorf("an address of an hour was kept: %s", got)
		}
	})
}

func TestForever(t *testing.T) {
	message := func(valid uint32, cut int) []byte {
		m := []byte{unix.AF_INET, 24, 0, 0, 1, 0, 0, 0}
		attribute := func(kind uint16, value []byte) {
			m = binary.NativeEndian.AppendUint16(m, uint16(4+len(value)))
			m = append(binary.NativeEndian.AppendUint16(m, kind), value...)
		}
		attribute(unix.IFA_ADDRESS, []byte{10, 1, 0, 1})
		attribute(unix.IFA_LOCAL, []byte{10, 1, 0, 5})
		times := binary.NativeEndian.AppendUint32(nil, 1)
		attribute(unix.IFA_CACHEINFO, append(binary.NativeEndian.AppendUint32(times, valid), make([]byte, 8)...)[:16-cut])
		return m
	}
	local := netip.MustParseAddr("10.1.0.5")
	for _, tt := range []struct {
		name string
		in   []byte
		want netip.Addr
		ends bool
	}{
		{"soon", message(89, 0), local, true},
		{"later", message(90, 0), local, false},
		{"never", message(0xffffffff, 0), local, false},
		{"short attribute", message(1, 12), netip.Addr{}, false},
		{"short message", message(1, 0)[:6], netip.Addr{}, false},
		{"cut attribute", message(1, 0)[:len(message(1, 0))-3], netip.Addr{}, false},
	} {
		before := bytes.Clone(tt.in)
		if got, ends := forever(tt.in); got != tt.want || ends != tt.ends {
			t.Errorf("%s: forever() = %v, %v, want %v, %v", tt.name, got, ends, tt.want, tt.ends)
		} else if ends {
			binary.NativeEndian.PutUint64(before[28:], 0xffffffff_ffffffff)
			if !bytes.Equal(before, tt.in) {
				t.Errorf("%s: the message is % x, want % x", tt.name, tt.in, before)
			}
		}
	}
}

// The machine gets another address while it reads, as from another lease: the connections from the old one are given up, and it goes on.
func TestNewAddress(t *testing.T) {
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		n.Veth("eth0", "lan")
		n.FarIP("address add 10.1.0.1/24 dev lan")
		n.IP("address add 10.1.0.5/24 dev eth0")
		n.IP("link set eth0 up")
		n.IP("link set lo up")
		image := bytes.Repeat([]byte("image and "), 200_000)
		var listener net.Listener
		n.Far(func() (err error) {
			listener, err = net.Listen("tcp", "10.1.0.1:80")
			return err
		})
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", `"one"`)
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(image))
		})}
		go server.Serve(listener)
		defer server.Close()
		log := new(lines)
		tell := newTeller(&broken{}, log)
		defer tell.close()
		d := newDaemon(Job{Source: fetch.Source{URLs: []fetch.URL{"http://10.1.0.1/image.iso"}}}, Hooks{}, tell)
		ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
		defer cancel()
		if err := d.open(ctx); err != nil {
			t.Fatal(err)
		}
		defer d.source.Close()
		readPart(t, d, parts)
		n.IP("address add 10.1.0.77/24 dev eth0")
		n.IP("address del 10.1.0.5/24 dev eth0")
		n.IP("address replace 10.1.0.77/24 dev eth0") // it went with the first one where it was secondary
		began := time.Now()
		p := make([]byte, parts)
		if _, err := d.source.ReadAt(ctx, p, 2*parts); err != nil || !bytes.Equal(p, image[2*parts:3*parts]) {
			t.Fatalf("ReadAt() with another address = %v, want the image", err)
		}
		t.Logf("the machine reads on %v after it had another address", time.Since(began).Round(time.Millisecond))
		if took := time.Since(began); took >= 2*stall {
			t.Errorf("it took %v, want %v and not much more: no second connection is waited for", took, stall)
		}
	})
}
