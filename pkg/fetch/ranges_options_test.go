package fetch

import (
	"errors"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/fetchtest"
)

// TestRangesOptions: Retry and MaxTime are of each read.
func TestRangesOptions(t *testing.T) {
	one := 1
	for _, tt := range []struct {
		name    string
		options Options
		want    string
	}{
		{"retry", Options{Retry: &one}, "500 Internal Server Error (in the last of 2 attempts)"},
		{"retry time", Options{RetryMaxTime: time.Minute}, "500"},
		{"time", Options{MaxTime: time.Minute}, "than the 1m0s that it may take"},
	} {
		in(t, func(t *testing.T, network *fetchtest.Network) {
			server := network.Server("h", strong)
			s := source("http://h/image")
			s.Options = tt.options
			r, err := openRanges(t, network, s, &events{})
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
			for range 2 {
				server.Next(slices.Repeat([]fetchtest.Answer{{Status: 500}}, 100)...)
				if _, err := r.ReadAt(make([]byte, 10), 300_000); err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%s: ReadAt = %v, want %q", tt.name, err, tt.want)
				}
				server.Next()
				checkRead(t, r, image, 300_000, 10)
			}
		})
	}
}

// A redirector leads to one server after another.
type redirector struct {
	mutex sync.Mutex
	to    []string
	asked int
}

func (d *redirector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	to := d.to[0]
	if len(d.to) > 1 {
		d.to = d.to[1:]
	}
	d.asked++
	http.Redirect(w, r, to, http.StatusFound)
}

// TestRangesRedirect: the target of a redirect is remembered; when it fails the way is asked for again; and another server's file is only
// taken for the same if that is proven.
func TestRangesRedirect(t *testing.T) {
	for _, tt := range []struct {
		name   string
		second fetchtest.File
		first  []fetchtest.Answer // of the first target
		to     []string
		asked  int
	}{
		{"remembered", changed, nil, []string{"first", "second"}, 1},
		{"expired", strong, []fetchtest.Answer{{}, {Status: 403}}, []string{"first", "second"}, 2},
		{"expired, back", changed, []fetchtest.Answer{{}, {Status: 403}}, []string{"first", "second"}, 2},
		{"broken, the same elsewhere", strong, []fetchtest.Answer{{}, {Status: 503}}, []string{"first", "second"}, 2},
		{"broken, another elsewhere", changed, []fetchtest.Answer{{}, {Status: 503}}, []string{"first", "second"}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in(t, func(t *testing.T, network *fetchtest.Network) {
				first := network.Server("first", strong, tt.first...)
				second := network.Server("second", tt.second)
				d := &redirector{}
				for _, host := range tt.to {
					d.to = append(d.to, "http://"+host+"/image?token")
				}
				network.Handle("h", d)
				s := source("http://user:secret@h/image")
				s.Headers = []Header{{Name: "X-Key", Value: "secret"}}
				s.Connections = 1
				var c events
				r, err := openRanges(t, network, s, &c)
				if err != nil || r.URL != "http://first/image?token" {
					t.Fatalf("OpenRanges = %v", err)
				}
				for i := range 5 {
					checkRead(t, r, image, 200_000*i, 100_000)
				}
				if d.asked != tt.asked {
					t.Errorf("the way was asked for %d times, want %d: %v", d.asked, tt.asked, c.all)
				}
				for _, request := range slices.Concat(first.Requests(), second.Requests()) {
					if request.Header.Get("Authorization") != "" || request.Header.Get("X-Key") != "" || request.Header.Get("Accept-Encoding") != "identity" {
						t.Errorf("another server was told %v", request.Header)
					}
				}
			})
		})
	}
}

// TestRangesBeside: what lies beside the image, and whether it is signed.
func TestRangesBeside(t *testing.T) {
	right, wrong := digestOf(image), digestOf(changed.Data)
	refuse := verifierFunc(func([]byte, func(string) ([]byte, error)) error { return errors.New("not signed") })
	accept := verifierFunc(func(file []byte, get func(string) ([]byte, error)) error {
		if sig, err := get(".sig"); err != nil || string(sig) != "by me" {
			return errors.New("no signature")
		}
		return nil
	})
	for _, tt := range []struct {
		name      string
		digest    Digest
		signature Verifier
		beside    map[string]string
		busy      int
		want      Digest
		wantErr   string
		chunks    string
		chunksErr string
	}{
		{"nothing", Digest{}, nil, nil, 0, Digest{}, "", "", "file does not exist"},
		{"named", wrong, nil, map[string]string{"/image.sha256": right.Hex}, 0, wrong, "", "", "file does not exist"},
		{"beside", Digest{}, nil, map[string]string{"/image.sha256": right.Hex, "/image.chunks": "chunks"}, 0, right, "", "chunks", ""},
		{"busy", Digest{}, nil, map[string]string{"/image.sha256": right.Hex, "/image.chunks": "chunks"}, 3, right, "", "chunks", ""},
		{"too long", Digest{}, nil, map[string]string{"/image.chunks": "more than ten"}, 0, Digest{}, "", "", "longer than 10 bytes"},
		{"signed", Digest{}, accept, map[string]string{"/image.sha256": right.Hex, "/image.sha256.sig": "by me", "/image.chunks": "chunks", "/image.chunks.sig": "by me"}, 1, right, "", "chunks", ""},
		{"not signed", Digest{}, refuse, map[string]string{"/image.sha256": right.Hex, "/image.chunks": "chunks"}, 0, Digest{}, "not signed", "", "not signed"},
		{"signed, another", wrong, accept, map[string]string{"/image.sha256": right.Hex, "/image.sha256.sig": "by me"}, 0, Digest{}, "is not the expected one", "", "file does not exist"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in(t, func(t *testing.T, network *fetchtest.Network) {
				server := network.Server("h", strong)
				server.Busy = map[string]int{"/image.sha256": tt.busy, "/image.chunks": tt.busy}
				for path, text := range tt.beside {
					server.Beside[path] = []byte(text)
				}
				s := source("http://h/image")
				s.Digest, s.Signature = tt.digest, tt.signature
				r, err := openRanges(t, network, s, &events{})
				if err != nil {
					t.Fatal(err)
				}
				got, err := r.Digest(t.Context())
				if got != tt.want || (err == nil) != (tt.wantErr == "") || err != nil && !strings.Contains(err.Error(), tt.wantErr) {
					t.Errorf("Digest = %v, %v, want %v, %q", got, err, tt.want, tt.wantErr)
				}
				data, err := r.Beside(t.Context(), ".chunks", 10, true)
				if string(data) != tt.chunks || (err == nil) != (tt.chunksErr == "") || err != nil && !strings.Contains(err.Error(), tt.chunksErr) {
					t.Errorf("Beside = %q, %v, want %q, %q", data, err, tt.chunks, tt.chunksErr)
				}
				if missing := tt.chunksErr == fs.ErrNotExist.Error(); errors.Is(err, fs.ErrNotExist) != missing {
					t.Errorf("Beside = %v, which is fs.ErrNotExist: %v", err, !missing)
				}
				if data, err := r.Beside(t.Context(), ".chunks", 100, false); tt.beside["/image.chunks"] != string(data) || (err == nil) != (data != nil) {
					t.Errorf("Beside, signed or not = %q, %v, want %q", data, err, tt.beside["/image.chunks"])
				}
			})
		})
	}
}

// verifierFunc is a Verifier.
type verifierFunc func(file []byte, get func(string) ([]byte, error)) error

func (f verifierFunc) Verify(file []byte, get func(string) ([]byte, error)) error {
	return f(file, get)
}
