package daemon

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch"
)

// fileServer serves a file that can become another one.
type fileServer struct {
	*httptest.Server
	mutex sync.Mutex
	tag   string
	data  []byte
	count int // requests
}

func newFileServer(t *testing.T, data []byte) *fileServer {
	t.Helper()
	s := &fileServer{tag: `"one"`, data: data}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *fileServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mutex.Lock()
	tag, data := s.tag, s.data
	s.count++
	s.mutex.Unlock()
	if data == nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("ETag", tag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}

func (s *fileServer) asked() int {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.count
}

func (s *fileServer) become(tag string, data []byte) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.tag, s.data = tag, data
}

// opened is a daemon that has opened the image at a server, which may have mirrors.
func opened(t *testing.T, chunks []byte, servers ...*fileServer) (*daemon, *lines) {
	t.Helper()
	log := new(lines)
	tell := newTeller(&broken{}, log)
	t.Cleanup(tell.close)
	var source fetch.Source
	for _, s := range servers {
		source.URLs = append(source.URLs, fetch.URL(s.URL+"/image.iso"))
	}
	d := newDaemon(Job{Chunks: chunks, Source: source}, Hooks{}, tell)
	if err := d.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.source.again = 20 * time.Millisecond
	t.Cleanup(func() { _ = d.source.Close() })
	return d, log
}

const parts = 256 << 10

func readPart(t *testing.T, d *daemon, at int64) []byte {
	t.Helper()
	p := make([]byte, parts)
	if n, err := d.source.ReadAt(t.Context(), p, at); err != nil || n != len(p) {
		t.Errorf("ReadAt(%d) = %d, %v", at, n, err)
	}
	return p
}

// With a manifest, reads wait while the file is another one, and go on when one of the old size is back; whatever it is then, each part is
// verified.
func TestSourceGoesOn(t *testing.T) {
	image := bytes.Repeat([]byte("image and "), 200_000)
	s := newFileServer(t, image)
	d, log := opened(t, manifestOf(t, image, parts), s)
	first := d.source.current()
	if got := readPart(t, d, parts); !bytes.Equal(got, image[parts:2*parts]) {
		t.Error("the first read is wrong")
	}
	s.become(`"two"`, image[1:]) // shorter
	var reading sync.WaitGroup
	for i := range int64(3) {
		reading.Go(func() {
			if got := readPart(t, d, i*parts+parts); !bytes.Equal(got, image[(i+1)*parts:(i+2)*parts]) {
				t.Errorf("read no. %d is wrong", i)
			}
		})
	}
	log.wait(t, "is not the file of 2000000 bytes any more that this machine was started from (the file on the server has changed")
	log.wait(t, "put the old file back as it was, and it goes on, or restart this machine, and publish new images under new names")
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	cancel(enough)
	if _, err := d.source.ReadAt(ctx, make([]byte, parts), parts); !errors.Is(err, enough) {
		t.Errorf("a read that was ended = %v, want %v", err, enough)
	}
	s.become(`"three"`, image)
	reading.Wait()
	log.wait(t, "the old file is back")
	if _, err := first.ReadAt(make([]byte, 1), 0); err == nil {
		t.Error("the old connections are still in use")
	}
	if d.status.changed {
		t.Error("the status still says that the file has changed")
	}
}

// Without a manifest reads wait until the old file is back; another one of its size is not read.
func TestSourceChanged(t *testing.T) {
	image := bytes.Repeat([]byte("image and "), 200_000)
	s := newFileServer(t, image)
	d, log := opened(t, nil, s)
	readPart(t, d, parts)
	s.become(`"two"`, bytes.ToUpper(image))
	read := make(chan []byte)
	go func() { read <- readPart(t, d, 2*parts) }()
	log.wait(t, "put the old file back as it was, and it goes on, or restart this machine, and publish new images under new names")
	s.notTaken(t, read)
	s.become(`"one"`, image)
	if got := <-read; !bytes.Equal(got, image[2*parts:3*parts]) {
		t.Error("the part is not that of the old file")
	}
	log.wait(t, "the old file is back")
}

// notTaken waits until the file was looked at twice more, and nothing of it was read.
func (s *fileServer) notTaken(t *testing.T, read <-chan []byte) {
	t.Helper()
	asked := s.asked()
	for s.asked() < asked+3 { // the first may have been before it became what it is
		select {
		case <-read:
			t.Fatal("another file was read")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// The old file may come back at a mirror only.
func TestSourceBackAtMirror(t *testing.T) {
	image := bytes.Repeat([]byte("image and "), 200_000)
	first, second := newFileServer(t, image), newFileServer(t, image)
	d, log := opened(t, nil, first, second)
	readPart(t, d, parts)
	second.become(`"two"`, bytes.ToUpper(image))
	first.become(`"two"`, bytes.ToUpper(image))
	read := make(chan []byte)
	go func() { read <- readPart(t, d, 2*parts) }()
	first.notTaken(t, read)
	second.become(`"one"`, image)
	if got := <-read; !bytes.Equal(got, image[2*parts:3*parts]) {
		t.Error("the part is not that of the old file")
	}
	log.wait(t, "the old file is back")
}

// What goes wrong with a read is known to the line, and so is that it goes on.
func TestSourceTrouble(t *testing.T) {
	image := bytes.Repeat([]byte("image and "), 200_000)
	s := newFileServer(t, image)
	d, _ := opened(t, nil, s)
	readPart(t, d, parts)
	s.become(`"one"`, nil)
	if _, err := d.source.ReadAt(t.Context(), make([]byte, parts), 2*parts); err == nil {
		t.Error("ReadAt() of nothing = nil, want an error")
	}
	if trouble, cause := d.line.look(); trouble < 0 || !strings.Contains(cause, "404") {
		t.Errorf("look() = %v, %q, want trouble with 404", trouble, cause)
	}
	s.become(`"one"`, image)
	readPart(t, d, 2*parts)
	if trouble, _ := d.line.look(); trouble != healthy {
		t.Errorf("look() = %v, want healthy", trouble)
	}
}

// wait waits for a line of the log with a text in it.
func (l *lines) wait(t *testing.T, text string) {
	t.Helper()
	for l.find(text) == "" {
		select {
		case <-t.Context().Done():
			t.Fatal("the test has ended")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (l *lines) find(text string) string {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for _, line := range l.all {
		if strings.Contains(line, text) {
			return line
		}
	}
	return ""
}
