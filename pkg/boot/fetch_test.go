package boot

import (
	"bytes"
	"compress/gzip"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/liveboot/liveboot/pkg/plan"
)

// site is a server's files.
type site map[string][]byte

func (s site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	content, ok := s[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	http.ServeContent(w, r, "", time.Unix(1e9, 0), bytes.NewReader(content))
}

// sums is the file that sha256sum writes.
func sums(content []byte) []byte { return fmt.Appendf(nil, "%x  x.iso\n", sha256.Sum256(content)) }

// signify makes a key as signify(1) writes it, and its signature over a file.
func signify(t *testing.T, message []byte) (key string, sig []byte) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	line := func(b []byte) string {
		return "untrusted comment: test\n" + base64.StdEncoding.EncodeToString(append([]byte("Ed12345678"), b...)) + "\n"
	}
	return line(public), []byte(line(ed25519.Sign(private, message)))
}

// TestVerified: an image is booted if what lies beside it says that it is the right one, and a key in the initramfs asks for a signature.
func TestVerified(t *testing.T) {
	right, wrong := sums(image), sums([]byte("another"))
	key, sig := signify(t, right)
	_, foreign := signify(t, right)
	for _, tt := range []struct {
		name  string
		files site
		key   string
		want  string // in the error
	}{
		{"the right digest beside it", site{"/x.iso.sha256": right}, "", ""},
		{"a wrong digest beside it", site{"/x.iso.sha256": wrong}, "", "is not the expected one"},
		{"signed", site{"/x.iso.sha256": right, "/x.iso.sha256.sig": sig}, key, ""},
		{"not signed", site{"/x.iso.sha256": right}, key, "it is not signed: there is no file with .minisig or"},
		{"signed by somebody else", site{"/x.iso.sha256": right, "/x.iso.sha256.sig": foreign}, key, "signature"},
		{"no digest to be signed", site{}, key, "sha256"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t)
			tt.files["/x.iso"] = image
			m.server = tt.files
			if tt.key != "" {
				m.write("etc/liveboot/keys/site.pub", []byte(tt.key), 0o644)
			}
			err := m.boot("")
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Run = %v, want an error with %q", err, tt.want)
			}
			if tt.want == "" && !strings.Contains(strings.Join(m.lines, "\n"), "sha256 is right") {
				t.Errorf("the console does not say that the digest is right: %q", m.lines)
			}
		})
	}
}

// TestCompressed: an image that travels compressed arrives unpacked; one that is cut off is refused.
func TestCompressed(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(image); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	m := newMachine(t)
	m.server = site{"/x.iso": packed.Bytes()}
	if err := m.boot(""); err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(m.disk.Bytes(), image) || !strings.Contains(strings.Join(m.lines, "\n"), "compressed with gzip") {
		t.Errorf("the disk does not hold the image, or the console does not tell of the compression: %q", m.lines)
	}
	m = newMachine(t)
	m.server = site{"/x.iso": packed.Bytes()[:packed.Len()-1]}
	if err := m.boot(""); err == nil || !strings.Contains(err.Error(), "decompress the image") {
		t.Errorf("Run with a truncated image = %v, want an error", err)
	}
}

// TestTemplate: the address is filled in with what the machine is.
func TestTemplate(t *testing.T) {
	m := newMachine(t)
	m.server = site{"/02-00-00-00-00-01/" + release + "/x.iso": image}
	m.image = "/${mac}/${kernel}/x.iso"
	if err := m.boot(""); err != nil {
		t.Fatal(err)
	}
	m = newMachine(t)
	m.server, m.image = site{}, "/${serial}.iso"
	if err := m.boot(""); err == nil || !strings.Contains(err.Error(), "${serial} is not known") {
		t.Errorf("Run = %v, want an error that says what is not known", err)
	}
}

// TestRunSilent: a server of which nothing is heard is given up once, and not again for each purpose that the image would have.
func TestRunSilent(t *testing.T) {
	for _, options := range []string{"", "rd.liveboot.stream=auto", "rd.liveboot.stream=auto rd.liveboot.handoff=switch_root", "rd.liveboot.handoff=kexec"} {
		t.Run(options, func(t *testing.T) {
			m := newMachine(t)
			var asked atomic.Int32
			m.server = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				asked.Add(1)
				c, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					panic(err)
				}
				_ = c.Close() // without a word
			})
			err := m.boot("rd.kiwi.live.curl_options=--retry,1 " + options)
			var staged *StageError
			if !errors.As(err, &staged) || staged.Stage != plan.Fetch || !silent(err) {
				t.Errorf("Run = %v, want an error of the stage fetch", err)
			}
			if got := asked.Load(); got != 2 {
				t.Errorf("the server was asked %d times, want 2", got)
			}
		})
	}
}
