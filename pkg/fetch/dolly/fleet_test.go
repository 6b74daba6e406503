package dolly_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/dolly/server"
	"github.com/liveboot/liveboot/pkg/needs"
	"github.com/liveboot/liveboot/pkg/network/nettest"
)

// TestFleet compares a ring with as many downloads from a web server, and with as many from a cache that has nothing yet, where every machine,
// server and cache included, has a line of the same rate. The times are the figures of docs/fleet.md; what must hold at any speed is that all have the image, and that the
// cache was sent it once.
func TestFleet(t *testing.T) {
	tc := needs.Program(t, "tc", "iproute2")
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	rate, size, counts := "100mbit", 8<<20, []int{1, 4}
	if os.Getenv("LIVEBOOT_TEST") == "full" {
		rate, size, counts = "50mbit", 16<<20, []int{1, 2, 4, 8, 16}
	}
	nettest.Run(t, func(t *testing.T, near *nettest.Net) {
		last := counts[len(counts)-1]
		h := newHall(t, near, last+1) // the last one has the cache
		h.limit(tc, rate)
		image := noise(size)
		web := h.webServer(image)
		cache := h.cache(last+1, h.host(0))
		for _, n := range counts {
			downloads := took(func() { h.downloads(n, web.address+"/image", image) })
			before := web.sent.Load()
			cached := took(func() { h.downloads(n, fmt.Sprintf("%s/image/%d", cache, n), image) }) // which nobody has asked for before
			if got := web.sent.Load() - before; got != int64(size) {
				t.Errorf("the server sent %d bytes to the cache for %d machines, want the %d of the image, once", got, n, size)
			}
			ring := took(func() { h.ring(n, image) })
			t.Logf("%2d machines, %d MiB, lines of %s: %5.1f s from a web server, %5.1f s from a cache, %5.1f s by the ring", n, size>>20, rate, downloads, cached, ring)
		}
	})
}

// limit gives the line of each machine a rate in each direction.
func (h *hall) limit(tc, rate string) {
	h.t.Helper()
	limit := []string{"root", "tbf", "rate", rate, "burst", "64k", "latency", "50ms"}
	for i, m := range h.machines {
		m.FarOutput(tc, append(strings.Fields("qdisc add dev eth0"), limit...)...)
		args := append(strings.Fields(fmt.Sprintf("qdisc add dev port%d", i)), limit...)
		if out, err := exec.CommandContext(h.t.Context(), tc, args...).CombinedOutput(); err != nil {
			h.t.Fatalf("tc %v: %v: %s", args, err, out)
		}
	}
}

// A webServer has an image, under all names.
type webServer struct {
	address string
	sent    atomic.Int64 // bytes of the image, to all
}

// counted is an answer whose bytes are counted.
type counted struct {
	http.ResponseWriter
	sent *atomic.Int64
}

func (c counted) Write(p []byte) (int, error) {
	c.sent.Add(int64(len(p))) // before anybody can have them
	return c.ResponseWriter.Write(p)
}

// webServer serves the image from machine 0.
func (h *hall) webServer(image []byte) *webServer {
	h.t.Helper()
	var listener net.Listener
	h.machines[0].Far(func() (err error) {
		listener, err = net.Listen("tcp4", h.host(0)+":80")
		return err
	})
	w := &webServer{address: "http://" + h.host(0)}
	web := &http.Server{Handler: http.HandlerFunc(func(answer http.ResponseWriter, r *http.Request) {
		http.ServeContent(counted{answer, &w.sent}, r, "image", time.Time{}, bytes.NewReader(image))
	})}
	served := make(chan error, 1)
	go func() { served <- web.Serve(listener) }()
	h.t.Cleanup(func() {
		web.Close()
		<-served
	})
	return w
}

// cache starts a cache in front of the server origin on machine i, with the configuration that the documentation has for it, and returns its address.
func (h *hall) cache(i int, origin string) string {
	h.t.Helper()
	example, err := os.ReadFile("../../../docs/examples/nginx/cache.conf")
	if err != nil {
		h.t.Fatal(err)
	}
	dir := h.t.TempDir()
	site := strings.NewReplacer("192.0.2.1", h.host(i), "198.51.100.1", origin, "/srv/cache", dir+"/cache", "/srv/tftpboot", dir).Replace(string(example))
	config := fmt.Sprintf(`daemon off; master_process off; user root; pid %[1]s/pid; error_log stderr notice;
events {}
http {
	access_log off;
	client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s; uwsgi_temp_path %[1]s; scgi_temp_path %[1]s;
	%[2]s
}
`, dir, site)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		h.t.Fatal(err)
	}
	h.machines[i].Start(`using the ".*" event method`, "nginx", "nginx-light", "-c", file, "-p", dir, "-e", "stderr")
	return "http://" + h.host(i)
}

// downloads gets the image at machines 1 to n at once.
func (h *hall) downloads(n int, address string, image []byte) {
	h.t.Helper()
	var all sync.WaitGroup
	for i := 1; i <= n; i++ {
		client := http.Client{Transport: &http.Transport{DialContext: h.dial(i), DisableKeepAlives: true}}
		all.Go(func() {
			request, err := http.NewRequestWithContext(h.t.Context(), http.MethodGet, address, nil)
			if err != nil {
				h.t.Error(err)
				return
			}
			answer, err := client.Do(request)
			if err != nil {
				h.t.Error(err)
				return
			}
			defer answer.Body.Close()
			if n, err := io.Copy(io.Discard, answer.Body); err != nil || n != int64(len(image)) {
				h.t.Errorf("download: %d bytes, %v", n, err)
			}
		})
	}
	all.Wait()
}

// ring sends the image to machines 1 to n.
func (h *hall) ring(n int, image []byte) {
	h.t.Helper()
	var machines []*machine
	for i := 1; i <= n; i++ {
		machines = append(machines, h.start(i, nil))
	}
	ctx, cancel := context.WithTimeout(h.t.Context(), 5*time.Minute)
	defer cancel()
	got, err := server.Server{Hosts: h.hosts(n), Dial: h.dial(0), Wait: patience}.Send(ctx, bytes.NewReader(image), "image")
	if err != nil || len(got.Complete) != n {
		h.t.Errorf("Send = %+v, %v", got, err)
	}
	for i, m := range machines {
		m.whole(h.t, h.host(i+1), image)
	}
}
