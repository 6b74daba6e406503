package fetch

import (
	"bytes"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/liveboot/liveboot/pkg/fetch/fetchtest"
)

func writePEM(t *testing.T, name string, der []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestTLS(t *testing.T) {
	secure := fetchtest.NewTLS(t, strong)
	plain := httptest.NewServer(http.RedirectHandler(secure.Image(), http.StatusFound))
	defer plain.Close()
	unencrypted := fetchtest.New(t, strong)
	downgrade := httptest.NewTLSServer(http.RedirectHandler(unencrypted.Image(), http.StatusFound))
	defer downgrade.Close()
	site, other := t.TempDir(), t.TempDir()
	for i, s := range []*httptest.Server{secure.Server, downgrade} {
		writePEM(t, filepath.Join(site, "etc/ssl/certs", fmt.Sprintf("%d.pem", i)), s.Certificate().Raw)
	}
	writePEM(t, filepath.Join(other, "folder/0123abcd.0"), secure.Certificate().Raw)
	writePEM(t, filepath.Join(other, "ca.txt"), secure.Certificate().Raw)
	for _, tt := range []struct {
		name    string
		url     string
		root    string
		options Options
		wantErr string
	}{
		{"site's authority", secure.Image(), site, Options{}, ""},
		{"redirect to https", plain.URL, site, Options{}, ""},
		{"unknown authority", secure.Image(), t.TempDir(), Options{}, "certificate signed by unknown authority"},
		{"unknown authority behind a redirect", plain.URL, t.TempDir(), Options{}, "certificate signed by unknown authority"},
		{"insecure", secure.Image(), t.TempDir(), Options{Insecure: true}, ""},
		{"wrong name", strings.Replace(secure.Image(), "127.0.0.1", "localhost", 1), site, Options{}, "certificate is valid for"},
		{"redirect to http", downgrade.URL, site, Options{}, "redirects from https to http"},
		{"redirect to http, insecure", downgrade.URL, site, Options{Insecure: true}, ""},
		{"CA file", secure.Image(), other, Options{CACert: "/ca.txt"}, ""},
		{"CA folder", secure.Image(), other, Options{CAPath: "/folder"}, ""},
		{"CA file in the place of the site's", secure.Image(), site, Options{CACert: "/nothing"}, "read certificate authorities"},
		{"CA folder without certificates", secure.Image(), other, Options{CAPath: "/"}, "holds no certificates"},
		{"no client certificate", secure.Image(), site, Options{Cert: "/nothing"}, "load client certificate"},
		{"TLS to a server without", strings.Replace(unencrypted.Image(), "http:", "https:", 1), site, Options{}, "server gave HTTP response to HTTPS client"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := get(t, Source{URLs: []URL{URL(tt.url)}, Options: tt.options}, Environment{Roots: tt.root, Patience: hasty})
			switch {
			case tt.wantErr == "":
				if err != nil || !bytes.Equal(c.data, image) {
					t.Errorf("get = %d bytes, %v, want the image", len(c.data), err)
				}
			case err == nil || !strings.Contains(err.Error(), tt.wantErr):
				t.Errorf("get = %v, want an error with %q", err, tt.wantErr)
			case len(c.waits()) > 0:
				t.Errorf("tried again, though the answer will be the same: %v", c.all)
			}
		})
	}
}

// TestTLSVersion: what RFC 8996 forbids is not spoken, nor what the options forbid.
func TestTLSVersion(t *testing.T) {
	for _, tt := range []struct {
		server, least uint16
		ok            bool
	}{
		{tls.VersionTLS11, 0, false},
		{tls.VersionTLS12, 0, true},
		{tls.VersionTLS12, tls.VersionTLS13, false},
		{tls.VersionTLS13, tls.VersionTLS13, true},
	} {
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(image) }))
		server.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tt.server}
		server.StartTLS()
		s := source(server.URL + "/x")
		s.Insecure, s.MinTLS, s.Digest = true, tt.least, digestOf(image)
		c, err := get(t, s, Environment{Patience: hasty})
		if (err == nil) != tt.ok || len(c.waits()) > 0 {
			t.Errorf("get over TLS %x, at least %x: %v after %d attempts, want success %v at the first", tt.server, tt.least, err, 1+len(c.waits()), tt.ok)
		}
		server.Close()
	}
}

// TestResumeTLS: over HTTP/2 a download is resumed, too.
func TestResumeTLS(t *testing.T) {
	server := fetchtest.NewTLS(t, strong, fetchtest.Answer{Break: fetchtest.Reset, At: 700_000}, fetchtest.Answer{Break: fetchtest.EndOfChunks, At: 900_000})
	s := source(server.Image())
	s.Insecure = true
	c, err := get(t, s, Environment{Patience: hasty})
	if err != nil || !bytes.Equal(c.data, image) || c.kinds() != "Resumed Resumed" {
		t.Errorf("get = %d bytes, %v, events %v, want the image, resumed twice", len(c.data), err, c.all)
	}
	for _, r := range server.Requests() {
		if r.ProtoMajor != 2 {
			t.Errorf("asked over %s, want HTTP/2", r.Proto)
		}
	}
}

// TestWhatServersSee: which fields go to which server.
func TestWhatServersSee(t *testing.T) {
	type seen struct{ host, authorization, token, agent, referer, accept string }
	var got []seen
	record := func(next http.Handler) *httptest.Server {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "sha") {
				http.NotFound(w, r)
				return
			}
			host := "first"
			if r.URL.Path == "/other" {
				host = "other"
			}
			_, password, _ := r.BasicAuth()
			got = append(got, seen{host, password, r.Header.Get("X-Token"), r.UserAgent(), r.Referer(), r.Header.Get("Accept-Encoding")})
			next.ServeHTTP(w, r)
		}))
		t.Cleanup(server.Close)
		return server
	}
	other := record(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(image) }))
	first := record(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/a" {
			http.Redirect(w, r, "/b", http.StatusFound)
			return
		}
		http.Redirect(w, r, other.URL+"/other", http.StatusFound)
	}))
	s := source(strings.Replace(first.URL, "http://", "http://name:in-the-url@", 1) + "/a?secret")
	s.User, s.UserAgent = "name:secret", "agent/1"
	s.Headers = []Header{{Name: "x-token", Value: "tok"}, {Name: "Accept", Remove: true}}
	s.Digest = digestOf(image)
	if _, err := get(t, s, Environment{Patience: hasty}); err != nil {
		t.Fatal(err)
	}
	want := []seen{{"first", "secret", "tok", "agent/1", "", "identity"}, {"first", "secret", "tok", "agent/1", "", "identity"}, {"other", "", "", "agent/1", "", "identity"}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(seen{})); diff != "" {
		t.Errorf("servers saw (-want +got):\n%s", diff)
	}
	s.Headers = []Header{{Name: "User-Agent", Remove: true}}
	got = nil
	if _, err := get(t, s, Environment{Patience: hasty}); err != nil || got[0].agent != "" {
		t.Errorf("User-Agent = %v, want none", got)
	}
	s.Headers = []Header{{Name: "range", Value: "bytes=1-"}}
	if _, err := get(t, s, Environment{Patience: hasty}); err == nil || !strings.Contains(err.Error(), "the header Range is the download's own") {
		t.Errorf("get with a Range header = %v, want an error", err)
	}
}

func TestRedirects(t *testing.T) {
	file := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var n int
		fmt.Sscanf(r.URL.Path, "/%d", &n)
		if strings.Contains(r.URL.Path, "sha") || n == 0 {
			w.Write(image)
			return
		}
		http.Redirect(w, r, fmt.Sprintf("/%d", n-1), http.StatusFound)
	}))
	defer file.Close()
	number := func(n int) *int { return &n }
	for _, tt := range []struct {
		hops    int
		options Options
		wantErr string
	}{
		{50, Options{}, ""},
		{51, Options{}, "stopped after 50 redirects"},
		{60, Options{MaxRedirects: number(-1)}, ""},
		{2, Options{MaxRedirects: number(1)}, "stopped after 1 redirects"},
		{1, Options{MaxRedirects: number(0)}, "stopped after 0 redirects"},
		{1, Options{NoLocation: true}, "redirects were not to be followed"},
		{0, Options{NoLocation: true}, ""},
	} {
		s := Source{URLs: []URL{URL(fmt.Sprintf("%s/%d", file.URL, tt.hops))}, Digest: digestOf(image), Options: tt.options}
		_, err := get(t, s, Environment{Patience: hasty})
		if (err != nil) != (tt.wantErr != "") || err != nil && !strings.Contains(err.Error(), tt.wantErr) {
			t.Errorf("get after %d redirects = %v, want error %q", tt.hops, err, tt.wantErr)
		}
	}
}

func TestProxy(t *testing.T) {
	direct := fetchtest.New(t, strong)
	asked := make(chan string, 10)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Method + " " + r.URL.String()
		if r.Method == http.MethodConnect {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		w.Write(image)
	}))
	defer proxy.Close()
	s := source("http://image.invalid/x.iso")
	s.Digest, s.Proxy, s.NoProxy = digestOf(image), URL(proxy.URL), []string{"127.0.0.0/8"}
	if _, err := get(t, s, Environment{Patience: hasty}); err != nil || <-asked != "GET http://image.invalid/x.iso" {
		t.Errorf("get by proxy: %v", err)
	}
	s.URLs = []URL{URL(direct.Image())}
	if _, err := get(t, s, Environment{Patience: hasty}); err != nil || len(asked) != 0 {
		t.Errorf("get past the proxy: %v, asked %d times", err, len(asked))
	}
	s.URLs = []URL{"https://image.invalid/x.iso"}
	_, err := get(t, s, Environment{Patience: hasty})
	if err == nil || !strings.Contains(err.Error(), "the proxy answered 407") || <-asked == "" || len(asked) != 0 {
		t.Errorf("get by a proxy that refuses: %v, want its answer, once", err)
	}
}

func TestDirect(t *testing.T) {
	for _, tt := range []struct {
		list, host string
		want       bool
	}{
		{"*", "h", true},
		{"example.com", "example.com", true},
		{"example.com", "a.EXAMPLE.com", true},
		{".example.com", "example.com", true},
		{"example.com", "notexample.com", false},
		{"192.0.2.1", "192.0.2.1", true},
		{"192.0.2.0/24", "192.0.2.77", true},
		{"192.0.2.0/24", "192.0.3.1", false},
		{"[2001:db8::1]", "2001:db8::1", true},
		{"", "h", false},
		{"x, example.com", "example.com", true},
	} {
		if got := direct(strings.Split(tt.list, ","), tt.host); got != tt.want {
			t.Errorf("direct(%q, %q) = %v, want %v", tt.list, tt.host, got, tt.want)
		}
	}
}

// TestFTPByProxy: the proxy is asked for the address as it is, logs in for us, and is not followed elsewhere.
func TestFTPByProxy(t *testing.T) {
	type seen struct{ uri, login, proxyLogin string }
	var got []seen
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, login, _ := r.BasicAuth()
		got = append(got, seen{r.RequestURI, login, r.Header.Get("Proxy-Authorization")})
		if strings.HasSuffix(r.RequestURI, "elsewhere") {
			http.Redirect(w, r, "http://192.0.2.1/", http.StatusFound)
			return
		}
		w.Write(image)
	}))
	defer proxy.Close()
	s := source("ftp://name:secret@h/x.iso")
	s.Digest, s.Proxy = digestOf(image), URL(strings.Replace(proxy.URL, "http://", "http://p:q@", 1))
	c, err := get(t, s, Environment{Patience: hasty})
	if err != nil || !bytes.Equal(c.data, image) || c.stream.URL != "ftp://h/x.iso" {
		t.Errorf("get by proxy = %d bytes, %v, want the image", len(c.data), err)
	}
	want := []seen{{"ftp://h/x.iso", "secret", "Basic cDpx"}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(seen{})); diff != "" {
		t.Errorf("the proxy saw (-want +got):\n%s", diff)
	}
	s.URLs = []URL{"ftp://h/elsewhere"}
	if _, err := get(t, s, Environment{Patience: hasty}); err == nil || !strings.Contains(err.Error(), "the proxy redirects to http://192.0.2.1") {
		t.Errorf("get what the proxy redirects = %v, want an error", err)
	}
}
