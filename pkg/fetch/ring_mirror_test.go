package fetch

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestRingBehindMirror: what a mirror has given is not thrown away for a ring that may never come.
func TestRingBehindMirror(t *testing.T) {
	image := bytes.Repeat([]byte("an image that comes, "), 400_000)
	var n atomic.Int32
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if !strings.HasSuffix(q.URL.Path, ".iso") {
			http.NotFound(w, q)
			return
		}
		w.Header().Set("ETag", `"x"`)
		switch n.Add(1) {
		case 1:
			w.Header().Set("Content-Length", strconv.Itoa(len(image)))
			w.Write(image[:4<<20])
			panic(http.ErrAbortHandler)
		case 2:
			http.Error(w, "busy", http.StatusServiceUnavailable)
		default:
			http.ServeContent(w, q, "i.iso", time.Time{}, bytes.NewReader(image))
		}
	}))
	defer web.Close()
	r := newRingTest(t, "127.90.9.1")
	r.source.URLs = []URL{URL(web.URL + "/i.iso"), "dolly://"}
	done := r.fetch()
	limit := time.After(patience)
	for {
		select {
		case e := <-r.events:
			t.Logf("%T %v", e, e)
		case g := <-done:
			if g.err != nil || !bytes.Equal(g.data, image) || g.restarts > 0 {
				t.Errorf("got %d bytes, %v, and %d restarts, want the image at once", len(g.data), g.err, g.restarts)
			}
			return
		case <-limit:
			t.Fatalf("the download waits for a ring, after %d requests to the mirror", n.Load())
		}
	}
}
