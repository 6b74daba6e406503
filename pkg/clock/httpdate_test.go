package clock

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// certificate is one of a server that is valid in a span of time only.
func certificate(t *testing.T, from, until time.Time) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: from, NotAfter: until,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestHTTPDate(t *testing.T) {
	now := time.Now()
	year := 365 * 24 * time.Hour
	for _, tt := range []struct {
		name        string
		certificate *tls.Certificate
		header      map[string]string
		status      int
		want        string // in the error; empty is the right time
		add         time.Duration
	}{
		{name: "http", status: 200},
		{name: "an error has a date, too", status: 404},
		{name: "a redirect is not followed", status: 302, header: map[string]string{"Location": "http://192.0.2.1/elsewhere"}},
		{name: "https, not valid any more", status: 200, certificate: new(certificate(t, now.Add(-2*year), now.Add(-year)))},
		{name: "https, not valid yet", status: 200, certificate: new(certificate(t, now.Add(year), now.Add(2*year)))},
		{name: "https, of another host", status: 200, certificate: new(certificate(t, now.Add(-year), now.Add(year)))},
		{name: "out of a proxy's store", status: 200, header: map[string]string{"Age": "3600"}, add: time.Hour},
		{name: "an age that is none", status: 200, header: map[string]string{"Age": "-5"}},
		{name: "no date", status: 200, header: map[string]string{"Date": ""}, want: "no date"},
		{name: "a date that is none", status: 200, header: map[string]string{"Date": "yesterday"}, want: `date is "yesterday"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			questions := 0
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				questions++
				checkQuestion(t, r)
				w.Header().Set("Date", right.Format(http.TimeFormat))
				for name, value := range tt.header {
					w.Header()[name] = []string{value}
				}
				if tt.header["Date"] == "" && tt.want == "no date" {
					w.Header()["Date"] = nil // no field at all
				}
				http.SetCookie(w, &http.Cookie{Name: "who", Value: "you"})
				w.WriteHeader(tt.status)
			}))
			if tt.certificate != nil {
				server.TLS = &tls.Config{Certificates: []tls.Certificate{*tt.certificate}, ClientAuth: tls.RequestClientCert}
				server.StartTLS()
			} else {
				server.Start()
			}
			t.Cleanup(server.Close)
			target, err := url.Parse(server.URL + "/images/live.iso?token=secret")
			if err != nil {
				t.Fatal(err)
			}
			target.User = url.UserPassword("me", "secret")
			got, err := HTTPDate(t.Context(), client(t), target)
			want := right.Truncate(time.Second).Add(tt.add)
			switch {
			case tt.want != "":
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("HTTPDate = %v, %v, want an error with %q", got, err, tt.want)
				}
				if err != nil && strings.Contains(err.Error(), "secret") {
					t.Errorf("HTTPDate tells a secret: %v", err)
				}
			case err != nil || !got.Equal(want):
				t.Errorf("HTTPDate = %v, %v, want %v", got, err, want)
			}
			if questions != 1 {
				t.Errorf("the server was asked %d times, want once", questions)
			}
		})
	}
}

// client is one that has secrets: a certificate, cookies, and a judge of its own.
func client(t *testing.T) *http.Client {
	own := certificate(t, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	return &http.Client{
		Jar: jar{},
		Transport: &http.Transport{TLSClientConfig: &tls.Config{
			Certificates:     []tls.Certificate{own},
			VerifyConnection: func(tls.ConnectionState) error { return errors.New("judged") },
		}},
	}
}

// jar has a cookie for every server.
type jar struct{}

func (jar) SetCookies(*url.URL, []*http.Cookie) {}
func (jar) Cookies(*url.URL) []*http.Cookie     { return []*http.Cookie{{Name: "secret", Value: "secret"}} }

// checkQuestion makes sure that nothing is told to a server that may be any.
func checkQuestion(t *testing.T, r *http.Request) {
	if r.Method != http.MethodHead || r.RequestURI != "/" {
		t.Errorf("question = %s %s, want HEAD /", r.Method, r.RequestURI)
	}
	for _, field := range []string{"Authorization", "Cookie", "Proxy-Authorization"} {
		if value := r.Header.Get(field); value != "" {
			t.Errorf("question has the field %s: %s", field, value)
		}
	}
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		t.Error("question comes with a certificate")
	}
}

// The client itself still judges, before and after.
func TestHTTPDateLeavesTheClient(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // the handshake that is to fail
	server.StartTLS()
	t.Cleanup(server.Close)
	target, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	c := client(t)
	if _, err := HTTPDate(t.Context(), c, target); err != nil {
		t.Fatal(err)
	}
	response, err := c.Get(server.URL)
	if err == nil {
		response.Body.Close()
		t.Error("the client takes any certificate now")
	}
}

func TestHTTPDateErrors(t *testing.T) {
	// At the other end of a connection nobody listens, and nobody else gets its port.
	server := httptest.NewServer(nil)
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	gone := "http://" + conn.LocalAddr().String()
	done, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		name, in, want string
		ctx            context.Context
		client         *http.Client
	}{
		{"another scheme", "ftp://me:secret@192.0.2.1/live.iso", "not an address of http or https", t.Context(), &http.Client{}},
		{"nobody listens", gone, "connection refused", t.Context(), &http.Client{}},
		{"the context is at its end", gone, "context canceled", done, &http.Client{}},
		{"a transport of another kind", gone, "not an *http.Transport", t.Context(), &http.Client{Transport: http.NewFileTransport(nil)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			target, err := url.Parse(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			got, err := HTTPDate(tt.ctx, tt.client, target)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("HTTPDate(%s) = %v, %v, want an error with %q and without the password", tt.in, got, err, tt.want)
			}
		})
	}
}

// A proxy is used. One whose certificate is not judged does not get the password either.
func TestHTTPDateProxy(t *testing.T) {
	for _, tt := range []struct{ name, scheme, want string }{
		{"http", "http", "http://me:secret@192.0.2.9:3128"},
		{"https", "https", "https://192.0.2.9:3128"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			proxy := &url.URL{Scheme: tt.scheme, Host: "192.0.2.9:3128", User: url.UserPassword("me", "secret")}
			transport, err := anonymous(&http.Transport{Proxy: http.ProxyURL(proxy), ProxyConnectHeader: http.Header{"X-Token": {"secret"}}})
			if err != nil {
				t.Fatal(err)
			}
			got, err := transport.Proxy(httptest.NewRequest(http.MethodHead, "https://192.0.2.1/", nil))
			if err != nil || got.String() != tt.want {
				t.Errorf("Proxy() = %v, %v, want %s", got, err, tt.want)
			}
			if transport.ProxyConnectHeader != nil {
				t.Errorf("ProxyConnectHeader = %v, want none", transport.ProxyConnectHeader)
			}
		})
	}
}
