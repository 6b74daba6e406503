package fetch

import (
	"strings"
	"testing"
)

// TestSchemes walks the table: each protocol is documented, and makes something of an address.
func TestSchemes(t *testing.T) {
	e := Environment{Stall: DefaultStall}
	d, err := newDialer(Options{}.withDefaults(e), e)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range Schemes() {
		if s.Doc == "" || s.Name != strings.ToLower(s.Name) || !Supported(s.Name) {
			t.Errorf("scheme %q: doc %q, supported %v", s.Name, s.Doc, Supported(s.Name))
		}
		if file, err := s.open(d, URL(s.Name+"://server/folder/image.iso")); err != nil || file == nil {
			t.Errorf("scheme %q: open = %v, %v", s.Name, file, err)
		}
	}
	if Supported("gopher") {
		t.Error("gopher is supported")
	}
}

// TestWrongURLs: what can never work is told at once, without a connection.
func TestWrongURLs(t *testing.T) {
	for _, tt := range []struct {
		url, want string
		options   Options
	}{
		{"ftp://h/", "the URL names no file", Options{}},
		{"tftp://h", "the URL names no file", Options{}},
		{"ftp://h/a%0ab", "has a line break in it", Options{}},
		{"nbd://h/x", `the scheme "nbd" is none of http, https, ftp, ftps, tftp`, Options{}},
		{"ftp://h/x", "FTP cannot be asked for by a proxy of the kind socks5", Options{Proxy: "socks5://p:1080"}},
		{"ftps://h/x", "a proxy does not speak FTP over TLS", Options{Proxy: "http://p:1080"}},
	} {
		_, err := get(t, Source{URLs: []URL{URL(tt.url)}, Options: tt.options}, Environment{})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("get %s = %v, want an error with %q", tt.url, err, tt.want)
		}
	}
	if _, err := get(t, Source{}, Environment{}); err == nil || !strings.Contains(err.Error(), "no URL is given") {
		t.Errorf("get nothing = %v, want an error", err)
	}
	if _, err := get(t, Source{URLs: []URL{"http://h/x"}, Digest: Digest{"md5", "00"}}, Environment{}); err == nil || !strings.Contains(err.Error(), "not one of") {
		t.Errorf("get with MD5 = %v, want an error", err)
	}
}
