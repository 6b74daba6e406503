package daemon

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/liveboot/liveboot/pkg/fetch"
	"github.com/liveboot/liveboot/pkg/stream"
	"github.com/liveboot/liveboot/pkg/stream/manifest"
)

// A job arrives as it was sent, with the secrets that a source shows to nobody.
func TestJob(t *testing.T) {
	redirects := 3
	sent := Job{
		Source: fetch.Source{
			URLs:   []fetch.URL{"https://user:secret@server/image.iso", "http://mirror/image.iso"},
			Digest: fetch.Digest{Algorithm: "sha256", Hex: "00"},
			Options: fetch.Options{
				User: "user:password", Proxy: "http://me:secret@proxy:3128", MaxRedirects: &redirects, ConnectTimeout: time.Minute, CACert: "/etc/ca.pem",
				Headers: []fetch.Header{{Name: "Authorization", Value: "Bearer token"}, {Name: "Accept", Remove: true}},
			},
		},
		Chunks: []byte{0, 1, 255}, Device: "/dev/ram0", Offset: 4096, Mapped: "live", Rate: 1, Memory: 2, Keep: []string{"/x"},
		Completion: json.RawMessage(`{"a":1}`),
	}
	var pipe bytes.Buffer
	if err := sent.Write(&pipe); err != nil {
		t.Fatal(err)
	}
	if err := json.NewEncoder(&pipe).Encode(Command{Fill: true}); err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(&pipe)
	received, err := readJob(d)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sent, received); diff != "" {
		t.Errorf("the job has changed on its way (-sent +received):\n%s", diff)
	}
	<-commands(d)
}

func TestJobRefused(t *testing.T) {
	if err := (Job{Source: fetch.Source{Signature: anything{}}}).Write(io.Discard); err == nil {
		t.Error("Write() of a job with a signature = nil, want an error")
	}
	for _, text := range []string{"", "{", `{"Source":{"Headers":[{"Name":"A"}]}}`} {
		if _, err := readJob(json.NewDecoder(strings.NewReader(text))); err == nil {
			t.Errorf("readJob(%q) = nil, want an error", text)
		}
	}
}

type anything struct{}

func (anything) Verify([]byte, func(string) ([]byte, error)) error { return nil }

// The end of the input counts as the command to fill, and so does what is no command.
func TestCommands(t *testing.T) {
	for _, text := range []string{"", `{"Fill":true}`, `{} {"Fill":true}`, "{", "nonsense"} {
		<-commands(json.NewDecoder(strings.NewReader(text)))
	}
	in, out := io.Pipe()
	fill := commands(json.NewDecoder(in))
	if _, err := io.WriteString(out, "{}\n"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-fill:
		t.Error("an empty command was taken for one to fill")
	default:
	}
	_ = out.Close()
	<-fill
}

// lines is a log that is written to one line at a time, as /dev/kmsg is.
type lines struct {
	mutex sync.Mutex
	all   []string
}

func (l *lines) Write(p []byte) (int, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.all = append(l.all, string(p))
	return len(p), nil
}

// broken is a pipe whose other end is closed after some messages.
type broken struct {
	bytes.Buffer
	left int
}

func (b *broken) Write(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.ErrClosedPipe
	}
	b.left--
	return b.Buffer.Write(p)
}

func TestTeller(t *testing.T) {
	out, log := &broken{left: 2}, &lines{}
	tell := newTeller(out, log)
	for _, m := range []Message{
		{Event: "one"}, {Event: "two"}, {Event: "three"}, {Event: "loud", Loud: true}, {Progress: &stream.Stats{}}, {Failed: "four"}, {Complete: true},
		{Mismatch: &Mismatch{Want: fetch.Digest{Algorithm: "sha256", Hex: "aa"}, Got: fetch.Digest{Algorithm: "sha256", Hex: "bb"}}},
	} {
		tell.tell(m)
	}
	tell.close()
	if got, want := out.String(), "{\"Event\":\"one\"}\n{\"Event\":\"two\"}\n"; got != want {
		t.Errorf("the pipe got %q, want %q", got, want)
	}
	want := []string{
		"<29>liveboot: three\n", "<27>liveboot: loud\n", "<25>liveboot: streaming failed: four\n",
		"<29>liveboot: the image is complete: neither its server nor the network is needed any more\n",
		"<25>liveboot: the image that the live system runs from is not the one it should be, do not trust it: its sha256 is bb, and should be aa\n",
	}
	if diff := cmp.Diff(want, log.all); diff != "" {
		t.Errorf("the kernel's log differs (-want +got):\n%s", diff)
	}
}

// A reader that reads nothing holds nothing up.
func TestTellerIsNotHeldUp(t *testing.T) {
	in, out := io.Pipe()
	log := &lines{}
	tell := newTeller(out, log)
	for range 2 * queued {
		tell.tell(Message{Event: "event"})
	}
	_ = in.Close()
	tell.close()
	log.mutex.Lock()
	defer log.mutex.Unlock()
	if len(log.all) != 2*queued {
		t.Errorf("%d lines are in the log, want %d", len(log.all), 2*queued)
	}
}

// testImage is an image of so many bytes at a server.
func testImage(t *testing.T, n int) (*fetch.Ranges, []byte) {
	t.Helper()
	image := bytes.Repeat([]byte("image and "), n/10+1)[:n]
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"one"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(image))
	}))
	t.Cleanup(s.Close)
	ranges, err := fetch.OpenRanges(t.Context(), fetch.Source{URLs: []fetch.URL{fetch.URL(s.URL)}}, fetch.Environment{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ranges.Close() })
	return ranges, image
}

func TestVerified(t *testing.T) {
	ranges, image := testImage(t, 3<<20+100)
	for _, tt := range []struct {
		name        string
		chunk, many int64 // of the manifest; of what is fetched
		asked       int64
	}{
		{"smaller chunks than are fetched", 64 << 10, stream.DefaultChunkSize, 0},
		{"larger ones", 1 << 20, 1 << 20, 0},
		{"chunks of a size that was asked for", 64 << 10, 512 << 10, 512 << 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := manifest.Build(bytes.NewReader(image), tt.chunk)
			if err != nil {
				t.Fatal(err)
			}
			var file bytes.Buffer
			if _, err := m.WriteTo(&file); err != nil {
				t.Fatal(err)
			}
			d := newDaemon(Job{Chunks: file.Bytes(), ChunkSize: tt.asked}, Hooks{}, nil)
			d.size = ranges.Size
			c, err := d.config()
			if err != nil {
				t.Fatal(err)
			}
			if c.ChunkSize != tt.many {
				t.Errorf("%d bytes are fetched at a time, want %d", c.ChunkSize, tt.many)
			}
			for i := range (int64(len(image)) + c.ChunkSize - 1) / c.ChunkSize {
				chunk := bytes.Clone(image[i*c.ChunkSize : min((i+1)*c.ChunkSize, int64(len(image)))])
				if err := c.Verify(int(i), chunk); err != nil {
					t.Errorf("chunk %d: %v", i, err)
				}
				chunk[len(chunk)-1] ^= 1
				if err := c.Verify(int(i), chunk); err == nil {
					t.Errorf("chunk %d is right with another last byte", i)
				}
			}
		})
	}
	other := fetch.Source{Digest: fetch.Digest{Algorithm: "sha256", Hex: hexOf(nil)}}
	for name, job := range map[string]Job{
		"no manifest":             {Chunks: []byte("x")},
		"of another size":         {Chunks: manifestOf(t, image[1:], 1<<20)},
		"chunks in between":       {Chunks: manifestOf(t, image, 1<<20), ChunkSize: 3 << 19},
		"beside another's digest": {Chunks: manifestOf(t, image, 1<<20), Source: other},
	} {
		d := newDaemon(job, Hooks{}, nil)
		d.size = ranges.Size
		if _, err := d.config(); err == nil {
			t.Errorf("config() with a manifest, %s = nil, want an error", name)
		}
	}
	// Without another digest, the image is compared with the manifest's at the end.
	d := newDaemon(Job{Chunks: manifestOf(t, image, 1<<20)}, Hooks{}, nil)
	d.size = ranges.Size
	if _, err := d.config(); err != nil || d.job.Source.Digest != (fetch.Digest{Algorithm: "sha256", Hex: hexOf(image)}) {
		t.Errorf("config() = %v, and the digest is %v, want that of the manifest", err, d.job.Source.Digest)
	}
}

func manifestOf(t *testing.T, image []byte, chunk int64) []byte {
	t.Helper()
	m, err := manifest.Build(bytes.NewReader(image), chunk)
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if _, err := m.WriteTo(&file); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func TestCheck(t *testing.T) {
	ranges, image := testImage(t, 1<<20)
	store, err := stream.New(stream.Config{Size: ranges.Size}, newSource(ranges, quietLine()), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); store.Run(ctx) }()
	right := fetch.Digest{Algorithm: "sha256", Hex: hexOf(image)}
	for _, tt := range []struct {
		name  string
		want  fetch.Digest
		wrong bool
	}{
		{"none", fetch.Digest{}, false}, {"right", right, false}, {"wrong", fetch.Digest{Algorithm: "sha256", Hex: hexOf(nil)}, true},
		{"unknown", fetch.Digest{Algorithm: "md5", Hex: "00"}, true},
	} {
		d := &daemon{job: Job{Source: fetch.Source{Digest: tt.want}}}
		if err := d.check(ctx, store); (err != nil) != tt.wrong {
			t.Errorf("%s: check() = %v, want an error: %v", tt.name, err, tt.wrong)
		}
	}
	var mismatch *fetch.DigestError
	err = (&daemon{job: Job{Source: fetch.Source{Digest: fetch.Digest{Algorithm: "sha256", Hex: hexOf(nil)}}}}).check(ctx, store)
	if !errors.As(err, &mismatch) || mismatch.Got != right {
		t.Errorf("check() = %v, want a *fetch.DigestError with the digest that it has", err)
	}
	cancel()
	<-done
}

func hexOf(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }

func TestCopyTree(t *testing.T) {
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "to")
	for name, text := range map[string]string{"resolv.conf": "nameserver 10.0.2.3\n", "ssl/certs/ca.pem": "ca\n"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(from, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(from, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("resolv.conf", filepath.Join(from, "link")); err != nil {
		t.Fatal(err)
	}
	if err := copyTree(from, to); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"resolv.conf": "nameserver 10.0.2.3\n", "link": "nameserver 10.0.2.3\n", "ssl/certs/ca.pem": "ca\n"} {
		got, err := os.ReadFile(filepath.Join(to, name))
		if err != nil || string(got) != want {
			t.Errorf("%s = %q, %v, want %q", name, got, err, want)
		}
	}
	other := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.Symlink(filepath.Join(from, "ssl/certs/ca.pem"), other); err != nil {
		t.Fatal(err)
	}
	if err := keepTree(other, to); err != nil {
		t.Errorf("keepTree() of a link = %v, want nil", err)
	}
	if got, want := read(t, filepath.Join(to, other)), "ca\n"; got != want {
		t.Errorf("what a link leads to is %q, want %q", got, want)
	}
	if err := keepTree(filepath.Join(from, "nothing"), to); err != nil {
		t.Errorf("keepTree() of nothing = %v, want nil", err)
	}
	if err := copyTree(filepath.Join(from, "resolv.conf"), filepath.Join(to, "deep", "file")); err != nil {
		t.Errorf("copyTree() of a file = %v, want nil", err)
	}
	if err := copyTree(filepath.Join(from, "nothing"), to); err != nil {
		t.Errorf("copyTree() of nothing = %v, want nil", err)
	}
}
