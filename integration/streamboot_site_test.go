package integration

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/liveboot/liveboot/pkg/stream/manifest"
	"github.com/liveboot/liveboot/qemu"
)

// A streamSite is the web server of an image that is streamed. It can be taken away and come back, answers slowly or wrong where it is told to, and
// counts what it sends.
type streamSite struct {
	// URL is the server as the guest sees it, without a slash at the end.
	URL string

	restartable // whose mutex guards the following
	files       map[string]siteFile
	sent        map[string]int64 // bytes of the bodies, by path
	change      func(path string, w http.ResponseWriter, r *http.Request) bool

	// delay comes before an answer's first byte, and before the first answer of a connection once more.
	delay time.Duration
	line  *siteLine // nil for one without a limit
}

// A siteFile is one that the server has.
type siteFile struct {
	io.ReaderAt
	size int64
	etag string
}

// newStreamSite starts a server without a file. It ends with the test.
func newStreamSite(t testing.TB) *streamSite {
	t.Helper()
	s := &streamSite{files: map[string]siteFile{}, sent: map[string]int64{}}
	s.start(t)
	s.URL = fmt.Sprintf("http://%s:%d", qemu.HostAddress, s.port)
	t.Cleanup(s.stop)
	return s
}

// start makes the server answer, again.
func (s *streamSite) start(t testing.TB) {
	t.Helper()
	s.restartable.start(t, &http.Server{Handler: s, ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
		return context.WithValue(ctx, firstAnswer{}, new(sync.Once))
	}}, nil)
}

// firstAnswer is the key of what is done once in a connection.
type firstAnswer struct{}

// put gives the server a file.
func (s *streamSite) put(path string, content []byte) {
	s.publish(path, siteFile{bytes.NewReader(content), int64(len(content)), fmt.Sprintf(`"%x"`, sha256.Sum256(content))})
}

func (s *streamSite) publish(path string, f siteFile) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.files[path] = f
}

// putImage gives the server an image from the disk, with its digest beside it, and returns its URL.
func (s *streamSite) putImage(t testing.TB, path, file string) string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() }) // it was only read
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	s.publish(path, siteFile{f, info.Size(), fmt.Sprintf(`"%x"`, info.ModTime().UnixNano())})
	return s.URL + path
}

// putManifest lays the manifest of an image beside one of the server's files, and returns the manifest's root.
func (s *streamSite) putManifest(t testing.TB, path string, image io.Reader) manifest.Root {
	t.Helper()
	m, err := manifest.Build(image, 0)
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if _, err := m.WriteTo(&file); err != nil {
		t.Fatal(err)
	}
	s.put(path+manifest.Suffix, file.Bytes())
	return m.Root()
}

// alter has change called for every request; if that returns true, it has answered.
func (s *streamSite) alter(change func(path string, w http.ResponseWriter, r *http.Request) bool) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.change = change
}

// bytes says how much of a file was sent so far.
func (s *streamSite) bytes(path string) int64 {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.sent[path]
}

// ServeHTTP sends a file.
func (s *streamSite) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.delay > 0 {
		r.Context().Value(firstAnswer{}).(*sync.Once).Do(func() { pause(r.Context(), s.delay) })
		pause(r.Context(), s.delay)
	}
	s.mutex.Lock()
	change := s.change
	f, ok := s.files[r.URL.Path]
	s.mutex.Unlock()
	w = &siteWriter{ResponseWriter: w, site: s, r: r}
	switch {
	case change != nil && change(r.URL.Path, w, r):
	case !ok:
		http.NotFound(w, r)
	default:
		f.serve(w, r)
	}
}

func (f siteFile) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("ETag", f.etag)
	http.ServeContent(w, r, "", time.Time{}, io.NewSectionReader(f, 0, f.size))
}

// siteWriter counts the bytes of a body, and sends them as fast as the line is.
type siteWriter struct {
	http.ResponseWriter
	site *streamSite
	r    *http.Request
}

func (w *siteWriter) Write(p []byte) (int, error) {
	w.site.line.take(w.r.Context(), len(p))
	n, err := w.ResponseWriter.Write(p)
	w.site.mutex.Lock()
	defer w.site.mutex.Unlock()
	w.site.sent[w.r.URL.Path] += int64(n)
	return n, err
}

// siteLine is a line of so many bytes per second, which all connections share.
type siteLine struct {
	rate int64

	mutex sync.Mutex
	free  time.Time // when all that was taken is through
}

// take waits until n bytes are through.
func (l *siteLine) take(ctx context.Context, n int) {
	if l == nil {
		return
	}
	l.mutex.Lock()
	now := time.Now()
	if l.free.Before(now) {
		l.free = now
	}
	l.free = l.free.Add(time.Duration(int64(n) * int64(time.Second) / l.rate))
	through := l.free.Sub(now)
	l.mutex.Unlock()
	pause(ctx, through)
}

// pause waits, for no longer than ctx lasts.
func pause(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-ctx.Done()
}
