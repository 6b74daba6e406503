package webserver

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/liveboot/liveboot/qemu"
)

func testFile(t *testing.T) (file string, content []byte) {
	t.Helper()
	content = bytes.Repeat([]byte("0123456789abcdef"), 10000)
	file = filepath.Join(t.TempDir(), "live.iso")
	if err := os.WriteFile(file, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return file, content
}

// local is the guest's URL seen from the host; the certificate is for the guest's.
func local(url string) string { return strings.Replace(url, qemu.HostAddress, "127.0.0.1", 1) }

func client(ca *CA) *http.Client {
	config := &tls.Config{ServerName: qemu.HostAddress}
	if ca != nil {
		config.RootCAs = x509.NewCertPool()
		config.RootCAs.AppendCertsFromPEM(ca.PEM)
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
}

func newCA(t *testing.T) *CA {
	t.Helper()
	ca, err := NewCA()
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func TestServer(t *testing.T) {
	file, content := testFile(t)
	s := New(t, nil)
	s.File("/good", file)
	s.Cut(t, "/cut", file, 0.5)
	s.Chunked(t, "/chunked", file)
	s.Redirect("/moved", local(s.URL)+"/good")
	type result struct {
		Status     int
		Length     int64
		Got        int
		Unexpected bool
		Stats      Stats
	}
	tests := []struct {
		name, path string
		want       result
	}{
		{"good", "/good", result{200, 160000, 160000, false, Stats{1, 160000}}},
		{"cut", "/cut", result{200, 160000, 80000, true, Stats{1, 80000}}},
		{"chunked", "/chunked", result{200, -1, 160000, false, Stats{1, 160000}}},
		{"moved", "/moved", result{200, 160000, 160000, false, Stats{1, 0}}},
		{"missing", "/missing", result{404, 19, 19, false, Stats{1, 19}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := client(nil).Get(local(s.URL) + tt.path)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Body.Close()
			b, err := io.ReadAll(r.Body)
			if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatal(err)
			}
			stats := s.Stats(tt.path)
			if tt.path == "/moved" {
				stats.Bytes = 0 // a sentence for people
			}
			got := result{r.StatusCode, r.ContentLength, len(b), err != nil, stats}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("GET %s (-want +got):\n%s", tt.path, diff)
			}
			if r.StatusCode == 200 && !bytes.Equal(b, content[:len(b)]) {
				t.Errorf("GET %s: the bytes differ from the file", tt.path)
			}
		})
	}
}

// A stalled answer ends when the client goes, and does not hold up the end of the test.
func TestStall(t *testing.T) {
	file, content := testFile(t)
	s := New(t, nil)
	s.Stall(t, "/stall", file, 0.25)
	r, err := client(nil).Get(local(s.URL) + "/stall")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b := make([]byte, len(content)/4)
	if _, err := io.ReadFull(r.Body, b); err != nil {
		t.Fatal(err)
	}
}

func TestNginx(t *testing.T) {
	file, content := testFile(t)
	for _, tt := range []struct {
		name string
		ca   *CA
	}{{"http", nil}, {"https", newCA(t)}} {
		t.Run(tt.name, func(t *testing.T) {
			url := Nginx(t, filepath.Dir(file), tt.ca)
			r, err := client(tt.ca).Get(local(url) + "/live.iso")
			if err != nil {
				t.Fatal(err)
			}
			defer r.Body.Close()
			if b, err := io.ReadAll(r.Body); err != nil || !bytes.Equal(b, content) {
				t.Errorf("GET %s/live.iso = %d bytes, %v, want the file's %d", url, len(b), err, len(content))
			}
		})
	}
	t.Run("unknown authority", func(t *testing.T) {
		url := Nginx(t, filepath.Dir(file), newCA(t))
		if r, err := client(newCA(t)).Get(local(url) + "/live.iso"); err == nil {
			r.Body.Close()
			t.Errorf("GET %s with another authority succeeded", url)
		}
	})
}
