package boot

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/liveboot/liveboot/pkg/fetch"
	"github.com/liveboot/liveboot/pkg/kernel/mount"
	"github.com/liveboot/liveboot/pkg/plan"
	"github.com/liveboot/liveboot/pkg/stream/daemon"
	"github.com/liveboot/liveboot/pkg/stream/manifest"
)

// streaming is a process that tells what it was given to tell.
type streaming struct {
	m        *machine
	messages chan daemon.Message
	closed   chan struct{}
	drained  chan struct{} // closed when nothing is left to be told
	drain    func()
}

func newStreaming(m *machine, messages ...daemon.Message) *streaming {
	s := &streaming{m: m, messages: make(chan daemon.Message, len(messages)), closed: make(chan struct{}), drained: make(chan struct{})}
	s.drain = sync.OnceFunc(func() { close(s.drained) })
	for _, message := range messages {
		s.messages <- message
	}
	return s
}

func (s *streaming) Receive() (daemon.Message, error) {
	select {
	case m := <-s.messages:
		return m, nil
	default:
	}
	s.drain()
	<-s.closed
	return daemon.Message{}, io.EOF
}

func (s *streaming) Send(c daemon.Command) error {
	s.m.log("# to the streaming process: %+v", c)
	return nil
}

func (s *streaming) Close() error {
	close(s.closed)
	return nil
}

func (s *streaming) Kill() error { return s.Close() }

var isReady = daemon.Message{Ready: &daemon.Ready{Device: "/dev/dm-0", Beneath: "/dev/nbd0", Size: int64(len(image)), URL: "http://server/x.iso"}}

// ranged is a server with an image, and with files beside it by their suffixes.
func ranged(image []byte, beside map[string][]byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content := image
		if r.URL.Path != "/x.iso" {
			var ok bool
			if content, ok = beside[strings.TrimPrefix(r.URL.Path, "/x.iso")]; !ok {
				http.NotFound(w, r)
				return
			}
		}
		w.Header().Set("ETag", `"1"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	})
}

func manifestOf(t *testing.T, image []byte) (*manifest.Manifest, []byte) {
	t.Helper()
	m, err := manifest.Build(bytes.NewReader(image), 0)
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if _, err := m.WriteTo(&file); err != nil {
		t.Fatal(err)
	}
	return m, file.Bytes()
}

// TestRunStream: the live system is mounted from the device of the streaming process, which is then told to fetch the rest.
func TestRunStream(t *testing.T) {
	_, file := manifestOf(t, image)
	for _, tt := range []struct {
		name, options string
		change        func(*machine)
		want          daemon.Job
	}{
		{"streamed", "rd.liveboot.stream=on rd.liveboot.stream-rate=1M", nil, daemon.Job{Device: "/dev/ram0", Rate: 1 << 20}},
		{"streamed-lazy", "rd.liveboot.stream=lazy", func(m *machine) { m.server = ranged(image, map[string][]byte{".chunks": file}) }, daemon.Job{Chunks: file}},
		{"streamed-to-disk", "rd.liveboot.stream=on rd.liveboot.mismatch=reboot rd.kiwi.live.system=/dev/sda rd.live.overlay.persistent", func(m *machine) {
			m.server, m.sda = ranged(wholeImage(), nil), newSDA(m, 32<<20)
		}, daemon.Job{Device: "/dev/sda", Reboot: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t)
			m.server = ranged(image, nil)
			if tt.change != nil {
				tt.change(m)
			}
			var got daemon.Job
			m.stream = func(j daemon.Job) (Streaming, error) {
				got = j
				return newStreaming(m, daemon.Message{Event: "a detail"}, isReady), nil
			}
			if err := m.boot(tt.options); err != nil {
				t.Fatalf("Run: %v", err)
			}
			if m.disk.Len() > 0 {
				t.Error("the image was downloaded as a whole")
			}
			golden(t, tt.name, m.sequence())
			if tt.want.Device != "/dev/sda" != (got.Completion == nil) {
				t.Errorf("the job's completion is %s", got.Completion)
			}
			if len(got.Source.URLs) != 1 {
				t.Errorf("the job has the URLs %v", got.Source.URLs)
			}
			tt.want.Mapped = streamed
			got.Source, got.Completion = fetch.Source{}, nil
			if diff := gocmp.Diff(tt.want, got); diff != "" {
				t.Errorf("the job (-want +got):\n%s", diff)
			}
		})
	}
}

// TestRunNotStreamed: where an image cannot be streamed, or had better not, it is downloaded, and people are told why.
func TestRunNotStreamed(t *testing.T) {
	const digest = "rd.liveboot.sha256="
	m1, file := manifestOf(t, image)
	withManifest := func(m *machine) { m.server = ranged(image, map[string][]byte{".chunks": file}) }
	for _, tt := range []struct {
		name, options string
		change        func(*machine)
		process       []daemon.Message
		want          string // warning, or step
	}{
		{"no ranges", "rd.liveboot.stream=on", func(m *machine) {
			m.server = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				r.Header.Del("Range")
				ranged(image, nil).ServeHTTP(w, r)
			})
		}, nil, "not streamed, but downloaded as a whole: the server sends the whole"},
		{"auto: small", "rd.liveboot.stream=auto", nil, nil, "downloaded as a whole: it is small"},
		{"auto: a digest", "rd.liveboot.stream=auto " + digest + hexSum(image), nil, nil, "its digest is demanded"},
		{"auto: small, with a manifest", "rd.liveboot.stream=auto rd.liveboot.chunks=" + m1.Root().String(), withManifest, nil, "sha256 is right"},
		{"the process fails, with a manifest", "rd.liveboot.stream=on rd.liveboot.chunks=" + m1.Root().String(), withManifest, []daemon.Message{{Failed: "no device"}}, "sha256 is right"},
		{"the process fails", "rd.liveboot.stream=on", nil, []daemon.Message{{Failed: "no device"}}, "downloaded as a whole: no device"},
		{"the process fails, auto", "rd.liveboot.stream=auto", func(m *machine) { m.memory = 100 << 10 }, []daemon.Message{{Failed: "no device"}}, "stream the image: no device"},
		{"the process ends", "rd.liveboot.stream=on", nil, []daemon.Message{}, "it ended early"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t)
			m.server = ranged(image, nil)
			if tt.change != nil {
				tt.change(m)
			}
			m.stream = func(daemon.Job) (Streaming, error) {
				if tt.process == nil {
					t.Error("the process was started")
				}
				s := newStreaming(m, tt.process...)
				if len(tt.process) == 0 {
					close(s.closed)
					return ended{s}, nil
				}
				return s, nil
			}
			if err := m.boot(tt.options); err != nil {
				t.Fatalf("Run: %v", err)
			}
			if !bytes.HasPrefix(m.disk.Bytes(), image) {
				t.Error("the RAM disk does not hold the image")
			}
			if said := strings.Join(append(m.lines, m.steps...), "\n"); !strings.Contains(said, tt.want) {
				t.Errorf("the boot does not say %q:\n%s", tt.want, said)
			}
		})
	}
}

// TestRunPartsRefused: a server that gives no parts but the first, before anything of the image is used, is one without ranges.
func TestRunPartsRefused(t *testing.T) {
	m := newMachine(t)
	whole := wholeImage()
	m.sda = newSDA(m, 32<<20)
	m.server = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Header.Get("Range"), "bytes=0-") {
			r.Header.Del("Range")
		}
		ranged(whole, nil).ServeHTTP(w, r)
	})
	m.stream = func(daemon.Job) (Streaming, error) { return nil, errors.New("it was started") }
	if err := m.boot("rd.liveboot.stream=on rd.liveboot.handoff=switch_root rd.kiwi.live.system=/dev/sda"); err != nil {
		t.Fatalf("Run: %v", err)
	}
	const want = "not streamed, but downloaded as a whole: the server has the file, and does not send parts of it any more"
	if said := strings.Join(m.lines, "\n"); !strings.Contains(said, want) {
		t.Errorf("the boot does not say %q:\n%s", want, said)
	}
}

// ended is a process that has ended.
type ended struct{ *streaming }

func (ended) Close() error { return nil }

// TestRunStreamRefused: an image that is not the one which was asked for is not booted.
func TestRunStreamRefused(t *testing.T) {
	m1, file := manifestOf(t, image)
	other := bytes.Clone(image)
	other[40_000]++
	_, stale := manifestOf(t, other)
	_, longer := manifestOf(t, append(bytes.Clone(image), make([]byte, 2048)...))
	const on = "rd.liveboot.stream=on "
	root := "rd.liveboot.chunks=" + m1.Root().String()
	for _, tt := range []struct {
		name, options string
		beside        map[string][]byte
		want          string
	}{
		{"no manifest", on + root, nil, ".chunks"},
		{"a manifest of something else", on + root, map[string][]byte{".chunks": stale}, "its root is"},
		{"no manifest of anything", on, map[string][]byte{".chunks": []byte("x")}, "too few"},
		{"stale, of another size", on, map[string][]byte{".chunks": longer}, "it is of an image of"},
		{"stale, of the same size", on, map[string][]byte{".chunks": stale}, "the image at the server is another one"},
		{"another digest than the manifest's", on, map[string][]byte{".chunks": file, ".sha256": []byte(hexSum(other) + "  x.iso\n")}, "and not with sha256:" + hexSum(other)},
		{"lazy without a manifest, signed", "rd.liveboot.stream=lazy rd.liveboot.key=" + minisignKey, nil, "there is no .sha256 or .sha512 beside it that could be signed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t)
			m.server = ranged(image, tt.beside)
			m.stream = func(daemon.Job) (Streaming, error) { return nil, errors.New("it was started") }
			err := m.boot(tt.options)
			var staged *StageError
			if !errors.As(err, &staged) || staged.Stage != plan.Fetch || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Run = %v, want an error of the stage fetch with %q", err, tt.want)
			}
			if m.disk.Len() > 0 {
				t.Error("the image was downloaded all the same")
			}
			if Hint(err) == "" {
				t.Errorf("no hint for %v", err)
			}
		})
	}
}

// hexSum is what sha256sum writes, without the name.
func hexSum(content []byte) string { return fmt.Sprintf("%x", sha256.Sum256(content)) }

// minisignKey is a public key.
const minisignKey = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3"

// TestRunStreamMismatch: a small image may all be there, and turn out to be wrong, before the live system has been started.
func TestRunStreamMismatch(t *testing.T) {
	m := newMachine(t)
	m.server = ranged(image, nil)
	wrong := daemon.Message{Mismatch: &daemon.Mismatch{
		Want: fetch.Digest{Algorithm: "sha256", Hex: hexSum(image)}, Got: fetch.Digest{Algorithm: "sha256", Hex: hexSum(nil)},
	}}
	var process *streaming
	m.stream = func(daemon.Job) (Streaming, error) {
		process = newStreaming(m, isReady, wrong)
		return process, nil
	}
	m.mounts = func(p mount.Point) error {
		if p.Type == "overlay" { // the last step before the hand-over
			<-process.drained
		}
		return nil
	}
	err := m.boot("rd.liveboot.stream=on " + "rd.liveboot.sha256=" + hexSum(image))
	var digest *fetch.DigestError
	if !errors.As(err, &digest) {
		t.Errorf("Run = %v, want a DigestError", err)
	}
}
