package fetch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/httpx"
)

// image is larger than the buffers on the way, and no multiple of anything.
var image = bytes.Repeat([]byte("0123456789abcdef\n"), 70001)

// faults is a server that shows each of a server's ways to go wrong.
func faults(t *testing.T) *http.ServeMux {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/good", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(image)))
		w.Write(image)
	})
	mux.HandleFunc("/chunked", func(w http.ResponseWriter, _ *http.Request) {
		w.Write(image[:1000])
		w.(http.Flusher).Flush()
		w.Write(image[1000:])
	})
	cut := func(announce bool, at int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			if announce {
				w.Header().Set("Content-Length", fmt.Sprint(len(image)))
			}
			w.Write(image[:at])
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
	}
	mux.HandleFunc("/cut-at-1", cut(true, 1))
	mux.HandleFunc("/cut-in-the-middle", cut(true, len(image)/2))
	mux.HandleFunc("/cut-before-the-last", cut(true, len(image)-1))
	mux.HandleFunc("/cut-chunked", cut(false, len(image)/2))
	mux.HandleFunc("/stall", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(image)))
		w.Write(image[:len(image)/2])
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	mux.HandleFunc("/silent", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/503", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "busy", http.StatusServiceUnavailable) })
	mux.HandleFunc("/redirect", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/good?token=secret", http.StatusFound)
	})
	mux.HandleFunc("/loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) })
	mux.HandleFunc("/gzip", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Write(image)
	})
	return mux
}

func get(t *testing.T, s Source, e Environment) ([]byte, *Stream, error) {
	t.Helper()
	stream, err := Open(t.Context(), s, e)
	if err != nil {
		return nil, nil, err
	}
	defer stream.Close()
	data, err := io.ReadAll(stream)
	return data, stream, err
}

func TestGet(t *testing.T) {
	server := httptest.NewServer(faults(t))
	defer server.Close()
	sum256, sum512 := sha256.Sum256(image), sha512.Sum512(image)
	right, wrong := Digest{"sha256", hex.EncodeToString(sum256[:])}, Digest{"sha512", strings.Repeat("0", 128)}
	right512 := Digest{"sha512", hex.EncodeToString(sum512[:])}
	for _, tt := range []struct {
		path    string
		digest  Digest
		wantErr string // empty: the image
	}{
		{"/good", Digest{}, ""},
		{"/good", right, ""},
		{"/good", right512, ""},
		{"/good", wrong, "is not the expected one: its sha512 is " + right512.Hex + ", expected " + wrong.Hex},
		{"/chunked", right, ""},
		{"/redirect", Digest{}, ""},
		{"/cut-at-1", Digest{}, "after 1 of 1190017 bytes: unexpected EOF"},
		{"/cut-in-the-middle", Digest{}, "after 595008 of 1190017 bytes: unexpected EOF"},
		{"/cut-before-the-last", Digest{}, "after 1190016 of 1190017 bytes: unexpected EOF"},
		{"/cut-chunked", Digest{}, "unexpected EOF"},
		{"/stall", Digest{}, "the server sent nothing for 300ms"},
		{"/silent", Digest{}, "the server sent nothing for 300ms"},
		{"/404", Digest{}, "the server answered 404 Not Found"},
		{"/503", Digest{}, "the server answered 503 Service Unavailable"},
		{"/loop", Digest{}, "stopped after 50 redirects"},
		{"/gzip", Digest{}, "Content-Encoding gzip"},
	} {
		t.Run(tt.path+" "+tt.digest.Algorithm, func(t *testing.T) {
			s := Source{URLs: []URL{URL(server.URL + tt.path)}, Digest: tt.digest}
			data, stream, err := get(t, s, Environment{Roots: t.TempDir(), Stall: 300 * time.Millisecond})
			switch {
			case tt.wantErr == "":
				if err != nil || !bytes.Equal(data, image) || stream.Verified() != tt.digest {
					t.Errorf("get = %d bytes, error %v, want the image of %d bytes", len(data), err, len(image))
				}
			case err == nil || !strings.Contains(err.Error(), tt.wantErr):
				t.Errorf("get = %d bytes, error %v, want an error with %q", len(data), err, tt.wantErr)
			}
		})
	}
}

func TestMirrors(t *testing.T) {
	server := httptest.NewServer(faults(t))
	defer server.Close()
	closed := httptest.NewServer(nil)
	closed.Close()
	dead, good := URL(closed.URL+"/x"), URL(server.URL+"/good")
	data, stream, err := get(t, Source{URLs: []URL{dead, URL(server.URL + "/404"), good}}, Environment{Roots: t.TempDir()})
	if err != nil || !bytes.Equal(data, image) || stream.URL != good {
		t.Errorf("get from the third mirror = %d bytes, %v", len(data), err)
	}
	_, _, err = get(t, Source{URLs: []URL{dead, URL(server.URL + "/404")}}, Environment{Roots: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "connection refused") || !strings.Contains(err.Error(), "404") {
		t.Errorf("get from two bad mirrors = %v, want an error that names what is wrong with both", err)
	}
}

func TestTLS(t *testing.T) {
	secure := httptest.NewTLSServer(faults(t))
	defer secure.Close()
	plain := httptest.NewServer(http.RedirectHandler(secure.URL+"/good", http.StatusFound))
	defer plain.Close()
	downgrade := httptest.NewTLSServer(http.RedirectHandler(plain.URL, http.StatusFound))
	defer downgrade.Close()
	site := t.TempDir()
	for i, s := range []*httptest.Server{secure, downgrade} {
		writePEM(t, filepath.Join(site, "etc/ssl/certs", fmt.Sprintf("%d.pem", i)), s.Certificate().Raw)
	}
	for _, tt := range []struct {
		name     string
		url      string
		root     string
		insecure bool
		wantErr  string
	}{
		{"site's authority", secure.URL + "/good", site, false, ""},
		{"redirect to https", plain.URL, site, false, ""},
		{"unknown authority", secure.URL + "/good", t.TempDir(), false, "certificate signed by unknown authority"},
		{"unknown authority behind a redirect", plain.URL, t.TempDir(), false, "certificate signed by unknown authority"},
		{"unknown authority but insecure", secure.URL + "/good", t.TempDir(), true, ""},
		{"redirect to http", downgrade.URL, site, false, "redirects from https to http"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			data, _, err := get(t, Source{URLs: []URL{URL(tt.url)}, Insecure: tt.insecure}, Environment{Roots: tt.root})
			if tt.wantErr == "" && (err != nil || !bytes.Equal(data, image)) {
				t.Errorf("get = %d bytes, %v", len(data), err)
			}
			if tt.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tt.wantErr)) {
				t.Errorf("get = %v, want an error with %q", err, tt.wantErr)
			}
		})
	}
}

// TestTLSVersion: what RFC 8996 forbids is not spoken.
func TestTLSVersion(t *testing.T) {
	old := httptest.NewUnstartedServer(faults(t))
	old.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	old.StartTLS()
	defer old.Close()
	if _, _, err := get(t, Source{URLs: []URL{URL(old.URL + "/good")}, Insecure: true}, Environment{Roots: t.TempDir()}); err == nil {
		t.Error("get over TLS 1.1: no error")
	}
}

func writePEM(t *testing.T, name string, der []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestProxy(t *testing.T) {
	server := httptest.NewServer(faults(t))
	defer server.Close()
	asked := make(chan string, 1)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.String()
		w.Write(image)
	}))
	defer proxy.Close()
	_, _, err := get(t, Source{URLs: []URL{"http://image.invalid/x.iso"}, Proxy: URL(proxy.URL)}, Environment{Roots: t.TempDir()})
	if err != nil || <-asked != "http://image.invalid/x.iso" {
		t.Errorf("get by proxy: %v", err)
	}
}

// TestSlowReader: a reader that takes longer than a server may is no reason to give the server up.
func TestSlowReader(t *testing.T) {
	server := httptest.NewServer(faults(t))
	defer server.Close()
	const stall = 50 * time.Millisecond
	stream, err := Open(t.Context(), Source{URLs: []URL{URL(server.URL + "/good")}}, Environment{Roots: t.TempDir(), Stall: stall})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	defer stream.Close()
	for range 3 {
		<-time.After(2 * stall)
		if _, err := stream.Read(make([]byte, 1000)); err != nil {
			t.Fatalf("Read after %v: %v", 2*stall, err)
		}
	}
}

func TestCancel(t *testing.T) {
	server := httptest.NewServer(faults(t))
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := Open(ctx, Source{URLs: []URL{URL(server.URL + "/stall")}}, Environment{Roots: t.TempDir()})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	defer stream.Close()
	cancel()
	if _, err := io.ReadAll(stream); !errors.Is(err, context.Canceled) {
		t.Errorf("read after cancel = %v, want %v", err, context.Canceled)
	}
}

func TestStatusError(t *testing.T) {
	server := httptest.NewServer(faults(t))
	defer server.Close()
	_, err := Open(t.Context(), Source{URLs: []URL{URL(server.URL + "/404")}}, Environment{Roots: t.TempDir()})
	var status *httpx.StatusError
	if !errors.As(err, &status) || status.Code != 404 {
		t.Errorf("Open(404) = %v, want a StatusError of 404", err)
	}
}

func TestURL(t *testing.T) {
	for _, tt := range []struct{ in, shown, wantErr string }{
		{"http://server/x.iso", "http://server/x.iso", ""},
		{"HTTP://server/x.iso?a=b&c=d", "http://server/x.iso?…", ""},
		{"https://user:secret@[2001:db8::1]:8443/x.iso", "https://user:xxxxx@[2001:db8::1]:8443/x.iso", ""},
		{"http:///x.iso", "", "names no server"},
		{"/x.iso", "", "names no server"},
		{"http://user:sec ret@server/%zz", "", "not a URL"},
	} {
		u, err := ParseURL(tt.in)
		if (err != nil) != (tt.wantErr != "") || err != nil && !strings.Contains(err.Error(), tt.wantErr) {
			t.Errorf("ParseURL(%q) = %v, want error %q", tt.in, err, tt.wantErr)
		}
		if err != nil && strings.Contains(err.Error(), "sec") {
			t.Errorf("ParseURL(%q) = %v, which shows a secret", tt.in, err)
		}
		if err == nil && u.String() != tt.shown {
			t.Errorf("ParseURL(%q).String() = %q, want %q", tt.in, u, tt.shown)
		}
	}
}

func TestParseDigest(t *testing.T) {
	for _, tt := range []struct {
		algorithm, text string
		ok              bool
	}{
		{"sha256", strings.Repeat("aB", 32), true},
		{"sha512", strings.Repeat("0", 128), true},
		{"sha256", strings.Repeat("0", 63), false},
		{"sha256", strings.Repeat("0", 128), false},
		{"sha256", strings.Repeat("g", 64), false},
		{"md5", strings.Repeat("0", 32), false},
	} {
		d, err := ParseDigest(tt.algorithm, tt.text)
		if (err == nil) != tt.ok || err == nil && d.Hex != strings.ToLower(tt.text) {
			t.Errorf("ParseDigest(%s, %s) = %v, %v, want ok %v", tt.algorithm, tt.text, d, err, tt.ok)
		}
	}
}
