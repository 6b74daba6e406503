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
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/dolly/server"
	"github.com/liveboot/liveboot/pkg/needs"
	"github.com/liveboot/liveboot/pkg/network/nettest"
)

// TestFleet compares a ring with as many downloads from a web server, where every machine, the server included, has a line of the same
// rate: the figures of docs/fleet.md. A ring takes as long for many as for one.
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
		h := newHall(t, near, last)
		limit := []string{"root", "tbf", "rate", rate, "burst", "64k", "latency", "50ms"}
		for i, m := range h.machines {
			m.FarOutput(tc, append(strings.Fields("qdisc add dev eth0"), limit...)...)
			args := append(strings.Fields(fmt.Sprintf("qdisc add dev port%d", i)), limit...)
			if out, err := exec.CommandContext(t.Context(), tc, args...).CombinedOutput(); err != nil {
				t.Fatalf("tc %v: %v: %s", args, err, out)
			}
		}
		image := noise(size)
		web := h.webServer(image)
		alone := 0.0
		for _, n := range counts {
			downloads := took(func() { h.downloads(n, web, image) })
			ring := took(func() { h.ring(n, image) })
			t.Logf("%2d machines, %d MiB, lines of %s: %5.1f s from a web server, %5.1f s by the ring", n, size>>20, rate, downloads, ring)
			if alone == 0 {
				alone = downloads
			}
			if n == last {
				if ring > 2*alone+1 {
					t.Errorf("the ring took %.1f s for %d machines, want about the %.1f s of a download for one", ring, n, alone)
				}
				if downloads < float64(n)*alone/2 {
					t.Errorf("%d downloads took %.1f s, and one %.1f s: the lines are not what limits them", n, downloads, alone)
				}
			}
		}
	})
}

// webServer serves the image from machine 0, and returns its address.
func (h *hall) webServer(image []byte) string {
	h.t.Helper()
	var listener net.Listener
	h.machines[0].Far(func() (err error) {
		listener, err = net.Listen("tcp4", h.host(0)+":80")
		return err
	})
	web := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "image", time.Time{}, bytes.NewReader(image))
	})}
	served := make(chan error, 1)
	go func() { served <- web.Serve(listener) }()
	h.t.Cleanup(func() {
		web.Close()
		<-served
	})
	return "http://" + h.host(0) + "/image"
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
		machines = append(machines, h.start(i, ""))
	}
	ctx, cancel := context.WithTimeout(h.t.Context(), 5*time.Minute)
	defer cancel()
	got, err := server.Server{Hosts: h.hosts(n), Dial: h.dial(0), Wait: 5 * time.Second}.Send(ctx, bytes.NewReader(image), "image")
	if err != nil || len(got.Complete) != n {
		h.t.Errorf("Send = %+v, %v", got, err)
	}
	for i, m := range machines {
		m.whole(h.t, h.host(i+1), image)
	}
}
