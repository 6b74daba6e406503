package fetch

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/decompress"
	"github.com/liveboot/liveboot/pkg/fetch/dolly"
	"github.com/liveboot/liveboot/pkg/fetch/dolly/ring"
	"github.com/liveboot/liveboot/pkg/fetch/dolly/server"
)

// patience is how long a test waits for what must come, on a machine that may have no time for it.
const patience = 2 * time.Minute

// ringTest is a machine that waits for a ring at an address of the loopback interface, and where a ring's server is.
type ringTest struct {
	t      *testing.T
	host   string
	source Source
	env    Environment
	events chan Event
}

func newRingTest(t *testing.T, host string) *ringTest {
	r := &ringTest{t: t, host: host, events: make(chan Event, 1000)}
	r.source = Source{URLs: []URL{"dolly://ring/"}, Options: Options{Interface: host}}
	r.env = Environment{Patience: Patience{Delay: time.Millisecond}, Report: func(e Event) { r.events <- e }}
	return r
}

// await waits for an event.
func (r *ringTest) await(is func(Event) bool) {
	r.t.Helper()
	for limit := time.After(patience); ; {
		select {
		case e := <-r.events:
			if is(e) {
				return
			}
		case <-limit:
			r.t.Fatal("the event did not come")
		}
	}
}

func (r *ringTest) awaitWaiting() {
	r.t.Helper()
	r.await(func(e Event) bool {
		told, ok := e.(RingEvent)
		if !ok {
			return false
		}
		_, ok = told.Event.(dolly.Waiting)
		return ok
	})
}

// serve sends what image holds.
func (r *ringTest) serve(s server.Server, image io.Reader) {
	s.Hosts = []string{r.host}
	s.Wait = patience
	s.Dial = (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("127.0.0.1")}}).DialContext
	_, _ = s.Send(r.t.Context(), image, "image") // what counts is what arrives
}

// got is an image that was read, and how often it began.
type got struct {
	data     []byte
	restarts int
	err      error
}

// fetch reads the image.
func (r *ringTest) fetch() chan got {
	done := make(chan got, 1)
	go func() {
		var g got
		stream, err := Open(r.t.Context(), r.source, r.env)
		if err != nil {
			done <- got{err: err}
			return
		}
		defer stream.Close()
		for p := make([]byte, 1<<20); g.err == nil; {
			var n int
			n, g.err = stream.Read(p)
			g.data = append(g.data, p[:n]...)
			var restart *RestartError
			if errors.As(g.err, &restart) {
				g.data, g.err = nil, nil
				g.restarts++
			}
		}
		if g.err == io.EOF {
			g.err = nil
		}
		done <- g
	}()
	return done
}

type breaks struct{}

func (breaks) Read([]byte) (int, error) { return 0, errors.New("the server's disk failed") }

func sumOf(data []byte) Digest {
	sum := sha256.Sum256(data)
	return Digest{"sha256", hex.EncodeToString(sum[:])}
}

func TestDolly(t *testing.T) {
	image := bytes.Repeat([]byte("an image that comes by a ring, "), 100_000)
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	zip.Write(image)
	zip.Close()
	t.Run("whole", func(t *testing.T) {
		r := newRingTest(t, "127.90.0.1")
		done := r.fetch()
		r.awaitWaiting()
		r.serve(server.Server{}, bytes.NewReader(image))
		if g := <-done; g.err != nil || !bytes.Equal(g.data, image) {
			t.Errorf("read %d bytes, %v, want %d", len(g.data), g.err, len(image))
		}
	})
	t.Run("compressed, with a digest and a password in a file", func(t *testing.T) {
		r := newRingTest(t, "127.90.0.2")
		r.env.Roots = t.TempDir()
		if err := os.WriteFile(filepath.Join(r.env.Roots, "dolly.env"), []byte("# of the ring\nPASS=\"hush\"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		r.source.Dolly.PasswordFile = "/dolly.env"
		r.source.Digest = sumOf(packed.Bytes())
		r.env.Decompress = func(in io.Reader, _ string) (io.Reader, string, error) {
			d, err := decompress.New(in, decompress.Options{Memory: decompress.DefaultMemory})
			if err != nil {
				return nil, "", err
			}
			return d, d.Format(), nil
		}
		done := r.fetch()
		r.awaitWaiting()
		r.serve(server.Server{Password: "hush"}, bytes.NewReader(packed.Bytes()))
		if g := <-done; g.err != nil || !bytes.Equal(g.data, image) {
			t.Errorf("read %d bytes, %v, want %d", len(g.data), g.err, len(image))
		}
	})
	t.Run("another image than the digest's", func(t *testing.T) {
		r := newRingTest(t, "127.90.0.3")
		r.source.Digest = sumOf([]byte("another"))
		done := r.fetch()
		r.awaitWaiting()
		r.serve(server.Server{}, bytes.NewReader(image))
		var wrong *DigestError
		if g := <-done; !errors.As(g.err, &wrong) {
			t.Errorf("read %d bytes, %v, want a DigestError", len(g.data), g.err)
		}
	})
	for _, digest := range []Digest{{}, sumOf(image)} {
		t.Run("broken, and begun once more "+digest.Algorithm, func(t *testing.T) {
			r := newRingTest(t, "127.90.0.4")
			r.source.Digest = digest
			done := r.fetch()
			r.awaitWaiting()
			r.serve(server.Server{}, io.MultiReader(bytes.NewReader(image[:1<<20]), breaks{}))
			r.awaitWaiting()
			r.serve(server.Server{}, bytes.NewReader(image))
			// With a digest what had come is compared by it, without one all is read anew.
			restarts := 1
			if digest != (Digest{}) {
				restarts = 0
			}
			if g := <-done; g.err != nil || !bytes.Equal(g.data, image) || g.restarts > restarts {
				t.Errorf("read %d bytes, %v, begun anew %d times, want %d bytes, %d times", len(g.data), g.err, g.restarts, len(image), restarts)
			}
		})
	}
	t.Run("broken while it is built, after a long wait", func(t *testing.T) {
		r := newRingTest(t, "127.90.0.9")
		r.env.Patience.Silent = time.Nanosecond
		done := r.fetch()
		r.awaitWaiting()
		dial := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("127.0.0.1")}}).DialContext
		c, err := ring.Connect(t.Context(), dial, r.host, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		in := ring.Introduction{Config: ring.Config{Infile: "a", Outfile: "b", Hosts: []string{r.host, "127.90.0.10"}, Fanout: 1}}
		if in.Text, err = in.Config.Text(); err != nil {
			t.Fatal(err)
		}
		if err := c.Introduce(t.Context(), in, ""); err != nil {
			t.Fatal(err)
		}
		r.await(func(e Event) bool {
			told, ok := e.(RingEvent)
			if !ok {
				return false
			}
			_, ok = told.Event.(dolly.Trying)
			return ok
		})
		c.Close()
		r.awaitWaiting()
		r.serve(server.Server{}, bytes.NewReader(image))
		if g := <-done; g.err != nil || !bytes.Equal(g.data, image) {
			t.Errorf("read %d bytes, %v, want %d", len(g.data), g.err, len(image))
		}
	})
	t.Run("nobody comes, and a mirror has it", func(t *testing.T) {
		web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			if strings.HasSuffix(q.URL.Path, ".iso") {
				http.ServeContent(w, q, "i.iso", time.Time{}, bytes.NewReader(image))
				return
			}
			http.NotFound(w, q)
		}))
		defer web.Close()
		r := newRingTest(t, "127.90.0.5")
		r.source.URLs = append(r.source.URLs, URL(web.URL+"/i.iso"))
		r.source.Dolly.Wait = 50 * time.Millisecond
		if g := <-r.fetch(); g.err != nil || !bytes.Equal(g.data, image) {
			t.Errorf("read %d bytes, %v, want %d from the mirror", len(g.data), g.err, len(image))
		}
	})
	t.Run("nobody comes", func(t *testing.T) {
		r := newRingTest(t, "127.90.0.6")
		r.source.Dolly.Wait = 50 * time.Millisecond
		var wait *dolly.WaitError
		if g := <-r.fetch(); !errors.As(g.err, &wait) {
			t.Errorf("Open = %v, want a WaitError", g.err)
		}
	})
	t.Run("must be signed", func(t *testing.T) {
		r := newRingTest(t, "127.90.0.7")
		r.source.Signature = anybody{}
		var signature *SignatureError
		if g := <-r.fetch(); !errors.As(g.err, &signature) {
			t.Errorf("Open = %v, want a SignatureError", g.err)
		}
	})
	t.Run("given up", func(t *testing.T) {
		r := newRingTest(t, "127.90.0.8")
		ctx, cancel := context.WithCancel(t.Context())
		r.env.Report = func(Event) { cancel() }
		if _, err := Open(ctx, r.source, r.env); !errors.Is(err, context.Canceled) {
			t.Errorf("Open = %v, want %v", err, context.Canceled)
		}
	})
}

// anybody is content with any signature.
type anybody struct{}

func (anybody) Verify([]byte, func(string) ([]byte, error)) error { return nil }

func TestPasswordIn(t *testing.T) {
	for _, tt := range []struct{ name, in, want, err string }{
		{"a line", "hush\n", "hush", ""},
		{"dolly's own file", "# comment\n\nPASS=opensuse\n", "opensuse", ""},
		{"quoted", `PASS="two words"`, "two words", ""},
		{"nothing", "# only this\n", "", "there is none in it"},
		{"too long", strings.Repeat("x", 5000), "", "longer than"},
	} {
		name := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(name, []byte(tt.in), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := passwordIn(name)
		if got != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: passwordIn = %q, %v, want %q, %q", tt.name, got, err, tt.want, tt.err)
		}
	}
}
