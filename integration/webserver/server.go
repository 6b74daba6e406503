// Package webserver has the web servers of the tests, on the loopback of the host, which a guest on QEMU's user network
// sees as 10.0.2.2: [New] is one in Go whose answers can be wrong in chosen ways, [Nginx] is a real one.
package webserver

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"sync"
	"testing"

	"github.com/liveboot/liveboot/qemu"
)

// Stats is what was asked of a path.
type Stats struct {
	// Gets counts the requests other than HEAD.
	Gets int
	// Bytes counts what was written of the bodies; some of it may never have arrived.
	Bytes int64
}

// A Span is a part of a file that was sent, in the order of the requests.
type Span struct {
	// Offset and Length in bytes.
	Offset, Length int64
}

// Server is a web server that answers each path as it was told to, and every other one with 404.
type Server struct {
	// URL is the server as the guest sees it, without a slash at the end.
	URL string

	mu    sync.Mutex
	stats map[string]Stats
	spans map[string][]*Span
	mux   *http.ServeMux
	gone  chan struct{} // closed at the end of the test
}

// New starts a server, with HTTPS and a certificate of the authority if ca is not nil. It ends with the test.
func New(t testing.TB, ca *CA) *Server {
	t.Helper()
	s := &Server{stats: map[string]Stats{}, spans: map[string][]*Span{}, mux: http.NewServeMux(), gone: make(chan struct{})}
	h := httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	scheme := "http"
	if ca != nil {
		scheme = "https"
		h.TLS = &tls.Config{Certificates: []tls.Certificate{ca.server(t, net.ParseIP(qemu.HostAddress))}}
		h.StartTLS()
	} else {
		h.Start()
	}
	t.Cleanup(func() {
		close(s.gone)
		h.CloseClientConnections()
		h.Close()
	})
	s.URL = fmt.Sprintf("%s://%s:%d", scheme, qemu.HostAddress, h.Listener.Addr().(*net.TCPAddr).Port)
	return s
}

// Stats says what was asked of path so far.
func (s *Server) Stats(path string) Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats[path]
}

// Spans returns what was sent of path so far, a span for each answer that had a body.
func (s *Server) Spans(path string) []Span {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Span
	for _, span := range s.spans[path] {
		if span.Length > 0 {
			all = append(all, *span)
		}
	}
	return all
}

func (s *Server) count(path string, gets int, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats[path]
	s.stats[path] = Stats{st.Gets + gets, st.Bytes + bytes}
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodHead {
		s.count(r.URL.Path, 1, 0)
	}
	s.mux.ServeHTTP(&counter{ResponseWriter: w, server: s, path: r.URL.Path}, r)
}

// counter counts the bytes of the body.
type counter struct {
	http.ResponseWriter
	server *Server
	path   string
	span   *Span
}

// WriteHeader notes where in the file the body begins.
func (c *counter) WriteHeader(status int) {
	c.span = new(Span)
	if status == http.StatusPartialContent {
		// An answer of several parts has no such field, and nobody here asks for one.
		_, _ = fmt.Sscanf(c.Header().Get("Content-Range"), "bytes %d-", &c.span.Offset)
	}
	c.server.mu.Lock()
	c.server.spans[c.path] = append(c.server.spans[c.path], c.span)
	c.server.mu.Unlock()
	c.ResponseWriter.WriteHeader(status)
}

func (c *counter) Write(p []byte) (int, error) {
	// Counted before, so that the count is never behind what the client has.
	c.server.count(c.path, 0, int64(len(p)))
	if c.span == nil {
		c.WriteHeader(http.StatusOK)
	}
	n, err := c.ResponseWriter.Write(p)
	c.server.count(c.path, 0, int64(n-len(p)))
	c.server.mu.Lock()
	c.span.Length += int64(n)
	c.server.mu.Unlock()
	return n, err
}

// Unwrap is for http.ResponseController.
func (c *counter) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// File serves a file as a good server does: length, ranges, HEAD.
func (s *Server) File(path, file string) {
	s.mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) })
}

// Redirect answers with 302 and the other address.
func (s *Server) Redirect(path, to string) {
	s.mux.Handle(path, http.RedirectHandler(to, http.StatusFound))
}

// Cut promises the whole file, sends the part of it, from 0 to 1, and closes the connection; every time, and without ranges.
func (s *Server) Cut(t testing.TB, path, file string, part float64) {
	size := sizeOf(t, file)
	s.partial(path, file, int64(part*float64(size)), func(w http.ResponseWriter) {
		w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	}, func(*http.Request) { panic(http.ErrAbortHandler) })
}

// Stall promises the whole file, sends the part of it, from 0 to 1, and then nothing until the client goes.
func (s *Server) Stall(t testing.TB, path, file string, part float64) {
	size := sizeOf(t, file)
	s.partial(path, file, int64(part*float64(size)), func(w http.ResponseWriter) {
		w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	}, func(r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-s.gone:
		}
	})
}

// Chunked sends the file without its length (transfer coding chunked, RFC 9112, 7.1).
func (s *Server) Chunked(t testing.TB, path, file string) {
	s.partial(path, file, sizeOf(t, file), func(http.ResponseWriter) {}, func(*http.Request) {})
}

// Whole sends the whole file with its length, whatever part of it is asked for.
func (s *Server) Whole(t testing.TB, path, file string) {
	size := sizeOf(t, file)
	s.partial(path, file, size, func(w http.ResponseWriter) {
		w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	}, func(*http.Request) {})
}

// Huge promises size bytes and would send zeros, and has none of them in a file.
func (s *Server) Huge(path string, size int64) {
	s.mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
		if r.Method == http.MethodHead {
			return
		}
		zeros := make([]byte, 64<<10)
		for n := int64(0); n < size; n += int64(len(zeros)) {
			if _, err := w.Write(zeros); err != nil {
				return
			}
		}
	})
}

// partial sends the first n bytes of the file and flushes them; then comes end.
func (s *Server) partial(path, file string, n int64, header func(http.ResponseWriter), end func(*http.Request)) {
	s.mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		f, err := os.Open(file)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		defer f.Close()
		header(w)
		if r.Method == http.MethodHead {
			return
		}
		if _, err := io.CopyN(w, f, n); err != nil {
			return // the client is gone
		}
		if err := http.NewResponseController(w).Flush(); err != nil {
			return
		}
		end(r)
	})
}

func sizeOf(t testing.TB, file string) int64 {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}
