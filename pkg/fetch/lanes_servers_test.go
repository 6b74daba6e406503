package fetch

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/fetchtest"
	"github.com/liveboot/liveboot/pkg/needs"
)

// TestLanesMemory: the memory is that of the pieces, whatever the size of the image.
func TestLanesMemory(t *testing.T) {
	const size, piece, connections = 256 << 20, 1 << 20, 4
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"zeros"`)
		http.ServeContent(w, r, "", time.Time{}, io.NewSectionReader(zeros{}, 0, size))
	}))
	defer server.Close()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	stream, err := Open(t.Context(), lanesOf(connections, server.URL), Environment{pieceSize: piece, eager: true, Roots: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	block := make([]byte, 256<<10)
	var n int
	for err == nil {
		var got int
		got, err = stream.Read(block)
		n += got
	}
	runtime.ReadMemStats(&after)
	if err != io.EOF || n != size {
		t.Fatalf("read %d bytes, %v, want %d", n, err, size)
	}
	// Beside the pieces there are buffers of connections, and what this server needs for each request.
	const requests = size / piece
	if got, want := after.TotalAlloc-before.TotalAlloc, uint64(piecesPerLane*connections*piece+8<<20+requests*(64<<10)); got > want {
		t.Errorf("%d bytes were allocated for %d, want at most %d", got, size, want)
	}
}

type zeros struct{}

func (zeros) ReadAt(p []byte, _ int64) (int, error) {
	clear(p)
	return len(p), nil
}

// TestLanesHTTP1: the pieces come over connections of their own, each of which is used again.
func TestLanesHTTP1(t *testing.T) {
	answers := slowly(50)
	for i := range answers {
		answers[i].Pause = 5 * time.Millisecond
	}
	server := fetchtest.NewTLS(t, strong, answers...)
	s := lanesOf(4, server.Image())
	s.Insecure = true
	c, err := get(t, s, Environment{Patience: hasty, pieceSize: pieceOfImage, eager: true})
	if err != nil || !bytes.Equal(c.data, image) {
		t.Fatalf("get = %d bytes, %v", len(c.data), err)
	}
	clients := map[string]bool{}
	for i, r := range server.Requests() {
		if want := map[bool]int{true: 2, false: 1}[r.Header.Get("Range") == ""]; r.ProtoMajor != want {
			t.Errorf("request %d by HTTP/%d, want HTTP/%d", i, r.ProtoMajor, want)
		}
		clients[r.RemoteAddr] = true
	}
	// One more may be opened where a request comes before the connection of the last is given back.
	if n := len(server.Requests()); n < 10 || len(clients) > n/2 {
		t.Errorf("%d requests over %d connections, want many requests over each", n, len(clients))
	}
}

// TestLanesNginx is a real server, without and with a limit on connections.
func TestLanesNginx(t *testing.T) {
	nginx := needs.Program(t, "nginx", "nginx-light")
	s := fetchtest.NewSite(t, image)
	port := fetchtest.FreePort(t)
	conf := s.Write(t, "nginx.conf", fmt.Appendf(nil, `daemon off; pid %[1]s/pid; error_log stderr crit; events {}
http { access_log off; root %[1]s/files; limit_conn_zone $server_port zone=all:1m; limit_conn_status 503;
	server { listen 127.0.0.1:%[2]d; location /limited { alias %[1]s/files/sub; limit_conn all 2; limit_rate 400k; } } }`, s.Dir, port))
	fetchtest.Serve(t, port, nginx, "-e", "stderr", "-c", conf)
	for _, path := range []string{"sub/image", "limited/image"} {
		t.Run(path, func(t *testing.T) {
			address := fmt.Sprintf("http://127.0.0.1:%d/%s", port, path)
			c, err := get(t, lanesOf(4, address), Environment{Patience: hasty, pieceSize: pieceOfImage, eager: true})
			if err != nil || !bytes.Equal(c.data, image) || strings.Contains(c.kinds(), "Restarted") {
				t.Errorf("get = %d bytes, %v, %v, want the image", len(c.data), err, c.all)
			}
		})
	}
}
