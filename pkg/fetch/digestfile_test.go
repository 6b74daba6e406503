package fetch

import (
	"bytes"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/liveboot/liveboot/pkg/fetch/fetchtest"
)

func TestDigestBeside(t *testing.T) {
	right, wrong := digestOf(image), digestOf([]byte("another"))
	sum512 := sha512.Sum512(image)
	for _, tt := range []struct {
		name       string
		sha256     string
		sha512     string
		want       string // algorithm
		events     string
		wantErr    string
		wantFailed bool
	}{
		{"none", "", "", "", "", "", false},
		{"sha256sum", right.Hex + "  image\n", "", "sha256", "DigestFound", "", false},
		{"sha512sum", "", hex.EncodeToString(sum512[:]) + " *image\n", "sha512", "DigestFound", "", false},
		{"of another image", wrong.Hex + "  image\n", "", "", "DigestFound", "is not the expected one", true},
		{"renamed", right.Hex + "  Kiwi.x86_64-1.0.0.iso\n", "", "sha256", "DigestFound", "", false},
		{"a list", wrong.Hex + "  other\n" + right.Hex + "  ./image\n", "", "sha256", "DigestFound", "", false},
		{"a list without us", wrong.Hex + "  other\n" + right.Hex + "  third\n", "", "", "", `none of its 2 lines is for "image"`, true},
		{"no digest at all", "nothing\n", "", "", "", "no line holds a sha256", true},
		{"the image in its place", string(image[:70000]), "", "", "DigestIgnored", "", false},
		{"a smaller one", string(image[:7000]), "", "", "DigestIgnored", "", false},
		{"a page in the place of 404", "<!DOCTYPE html><title>Not found</title>", "", "", "DigestIgnored", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in(t, func(t *testing.T, network *fetchtest.Network) {
				server := network.Server("h", strong)
				for suffix, text := range map[string]string{".sha256": tt.sha256, ".sha512": tt.sha512} {
					if text != "" {
						server.Beside["/image"+suffix] = []byte(text)
					}
				}
				c, err := get(t, source("http://h/image"), Environment{connect: network.Dial})
				if (err != nil) != tt.wantFailed || err != nil && !strings.Contains(err.Error(), tt.wantErr) {
					t.Fatalf("get = %v, want error %q", err, tt.wantErr)
				}
				if c.kinds() != tt.events {
					t.Errorf("events %v, want %s", c.all, tt.events)
				}
				if err == nil && c.stream.Verified().Algorithm != tt.want {
					t.Errorf("verified %v, want %s", c.stream.Verified(), tt.want)
				}
			})
		})
	}
}

// TestDigestMustBeHad: that a digest cannot be had now does not mean that there is none.
func TestDigestMustBeHad(t *testing.T) {
	in(t, func(t *testing.T, network *fetchtest.Network) {
		wrong := digestOf([]byte("another"))
		server := network.Server("h", strong)
		server.Busy = map[string]int{"/image.sha256": 3}
		server.Beside["/image.sha256"] = []byte(wrong.Hex)
		c, err := get(t, source("http://h/image"), Environment{connect: network.Dial})
		var digest *DigestError
		if !errors.As(err, &digest) || len(c.waits()) != 3 {
			t.Errorf("get = %v after %d waits, want a DigestError after 3", err, len(c.waits()))
		}
	})
}

// TestWhatIsNamed: a server that does not answer, or does not let us in, is told of by the image's address; only what it says of the digest
// beside it by that one's.
func TestWhatIsNamed(t *testing.T) {
	for _, tt := range []struct {
		name, url string
		options   Options
		busy      bool
		want      string
	}{
		{"refused", "http://away/image", Options{}, false, "http://away/image: dial tcp: connect: connection refused"},
		{"refused, FTP", "ftp://away/image", Options{}, false, "ftp://away/image: dial tcp: connect: connection refused"},
		{"unknown name", "http://nobody/image", Options{}, false, "http://nobody/image: dial tcp: lookup nobody: no such host"},
		{"proxy refuses", "https://image.invalid/image", Options{Proxy: "http://h"}, false, "https://image.invalid/image: the proxy answered 404 Not Found"},
		{"no authorities", "https://h/image", Options{CACert: "nothing"}, false, "https://h/image: read certificate authorities"},
		{"digest not to be had", "http://h/image", Options{}, true, "http://h/image: get http://h/image.sha256: the server answered 503 Service Unavailable"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in(t, func(t *testing.T, network *fetchtest.Network) {
				server := network.Server("h", strong)
				if tt.busy {
					server.Busy = map[string]int{"/image.sha256": 9}
				}
				tt.options.Retry = number(0)
				_, err := get(t, Source{URLs: []URL{URL(tt.url)}, Options: tt.options}, Environment{connect: network.Dial})
				if err == nil || !strings.HasPrefix(err.Error(), "get "+tt.want) {
					t.Errorf("get = %v, want it to begin with %q", err, "get "+tt.want)
				}
			})
		})
	}
}

// TestDigestOfTheNewFile: with the image its digest may change.
func TestDigestOfTheNewFile(t *testing.T) {
	in(t, func(t *testing.T, network *fetchtest.Network) {
		server := network.Server("h", strong, fetchtest.Answer{Break: fetchtest.Reset, At: 500_000}, fetchtest.Answer{File: &changed})
		server.Beside["/image.sha256"] = []byte(digestOf(image).Hex)
		server.WithFile = map[string][]byte{"/image.sha256": []byte(digestOf(changed.Data).Hex)}
		c, err := get(t, source("http://h/image"), Environment{connect: network.Dial})
		if err != nil || !bytes.Equal(c.data, changed.Data) || c.restarts != 1 {
			t.Errorf("get = %d bytes, %v, %d new beginnings, want the new file", len(c.data), err, c.restarts)
		}
	})
}

// signed accepts a file that has a signature "yes" beside it.
type signed struct{}

func (signed) Verify(file []byte, fetch func(string) ([]byte, error)) error {
	if len(file) == 0 {
		return errors.New("empty")
	}
	data, err := fetch(".sig")
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("it is not signed")
	}
	if err != nil {
		return err
	}
	if string(data) != "yes" {
		return errors.New("it is wrong")
	}
	return nil
}

func TestSignature(t *testing.T) {
	sum := []byte(digestOf(image).Hex)
	for _, tt := range []struct {
		name    string
		beside  map[string][]byte
		busy    map[string]int
		digest  Digest
		wantErr string
	}{
		{"right", map[string][]byte{"/image.sha256": sum, "/image.sha256.sig": []byte("yes")}, nil, Digest{}, ""},
		{"right, after a while", map[string][]byte{"/image.sha256": sum, "/image.sha256.sig": []byte("yes")}, map[string]int{"/image.sha256.sig": 2}, Digest{}, ""},
		{"right, and named", map[string][]byte{"/image.sha256": sum, "/image.sha256.sig": []byte("yes")}, nil, digestOf(image), ""},
		{"right, but another is named", map[string][]byte{"/image.sha256": sum, "/image.sha256.sig": []byte("yes")}, nil, digestOf(nil), "not the expected one"},
		{"wrong", map[string][]byte{"/image.sha256": sum, "/image.sha256.sig": []byte("no")}, nil, Digest{}, "it is wrong"},
		{"missing", map[string][]byte{"/image.sha256": sum}, nil, Digest{}, "it is not signed"},
		{"missing, digest named", map[string][]byte{"/image.sha256": sum}, nil, digestOf(image), "it is not signed"},
		{"no digest file", nil, nil, digestOf(image), "there is no .sha256 beside it"},
		{"no digest file at all", nil, nil, Digest{}, "there is no .sha256 or .sha512 beside it"},
		{"signed by another algorithm than named", map[string][]byte{"/image.sha256": sum, "/image.sha256.sig": []byte("yes")}, nil,
			Digest{"sha512", strings.Repeat("0", 128)}, "there is no .sha512 beside it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in(t, func(t *testing.T, network *fetchtest.Network) {
				server := network.Server("h", strong)
				server.Beside, server.Busy = tt.beside, tt.busy
				s := source("http://h/image")
				s.Signature, s.Digest = signed{}, tt.digest
				// Not even whoever asks for every error to be tried again gets past a signature.
				s.RetryAllErrors, s.Retry = true, number(5)
				c, err := get(t, s, Environment{connect: network.Dial})
				if (err != nil) != (tt.wantErr != "") || err != nil && !strings.Contains(err.Error(), tt.wantErr) {
					t.Errorf("get = %v, want error %q", err, tt.wantErr)
				}
				if err != nil && len(c.data) > 0 {
					t.Errorf("%d bytes were given before the signature was refused", len(c.data))
				}
			})
		})
	}
}

func TestParseDigestFile(t *testing.T) {
	a, b := digestOf([]byte("a")), digestOf([]byte("b"))
	for _, tt := range []struct {
		name, in string
		want     Digest // zero: an error
	}{
		{"text", a.Hex + "  x.iso\n", a},
		{"binary", a.Hex + " *x.iso\n", a},
		{"hex only", a.Hex, a},
		{"upper case, CRLF", strings.ToUpper(a.Hex) + "\r\n", a},
		{"BSD", "SHA256 (x.iso) = " + a.Hex + "\n", a},
		{"openssl", "SHA2-256(x.iso)= " + a.Hex + "\n", a},
		{"folder", b.Hex + "  dir/y.iso\n" + a.Hex + "  dir/x.iso\n", a},
		{"comments", "# made by hand\n\n" + a.Hex + "  x.iso\n", a},
		{"escaped", `\` + b.Hex + `  a\nb` + "\n" + a.Hex + "  x.iso\n", a},
		{"name with spaces before ours", b.Hex + "  not x.iso\n" + a.Hex + "  x.iso\n", a},
		{"same twice", a.Hex + "  x.iso\n" + a.Hex + "  x.iso\n", a},
		{"two different ones", a.Hex + "  x.iso\n" + b.Hex + "  x.iso\n", Digest{}},
		{"too short", a.Hex[1:] + "  x.iso\n", Digest{}},
		{"of another algorithm", "SHA512 (x.iso) = " + a.Hex + "\n", Digest{}},
		{"BSD, unclosed", "SHA256 (x.iso = " + a.Hex + "\n", Digest{}},
		{"empty", "", Digest{}},
	} {
		got, err := parseDigestFile("sha256", []byte(tt.in), "x.iso")
		if (err == nil) != (tt.want != Digest{}) || got != tt.want {
			t.Errorf("%s: parseDigestFile(%q) = %v, %v, want %v", tt.name, tt.in, got, err, tt.want)
		}
	}
}

func FuzzParseDigestFile(f *testing.F) {
	f.Add([]byte(digestOf(nil).Hex + "  x.iso\nSHA256 (y) = " + digestOf(image).Hex))
	f.Add([]byte(`\` + digestOf(nil).Hex + `  a\n`))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := parseDigestFile("sha256", data, "x.iso")
		if again, parseErr := ParseDigest("sha256", d.Hex); err == nil && (parseErr != nil || again != d) {
			t.Errorf("parseDigestFile(%q) = %v, which is no digest: %v", data, d, parseErr)
		}
	})
}

func TestWithSuffix(t *testing.T) {
	for _, tt := range []struct{ in, want, base string }{
		{"http://h/a.iso", "http://h/a.iso.sha256", "a.iso"},
		{"http://u:p@h/a%20b.iso?token=x", "http://u:p@h/a%20b.iso.sha256?token=x", "a b.iso"},
		{"ftp://h/d/a%2Fb", "ftp://h/d/a%2Fb.sha256", "b"},
	} {
		got, err := URL(tt.in).withSuffix(".sha256")
		if err != nil || string(got) != tt.want || URL(tt.in).base() != tt.base {
			t.Errorf("withSuffix(%s) = %s, base %s, %v, want %s, base %s", tt.in, string(got), URL(tt.in).base(), err, tt.want, tt.base)
		}
	}
}
