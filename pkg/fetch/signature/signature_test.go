package signature

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/liveboot/liveboot/pkg/needs"
)

var now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func golden(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mustKey(t testing.TB, data []byte) Key {
	t.Helper()
	key, err := ParseKey(data)
	if err != nil {
		t.Fatalf("ParseKey: %v", err)
	}
	return key
}

// second returns the second line, which is the key alone.
func second(file []byte) []byte { return bytes.Split(file, []byte("\n"))[1] }

func TestVerify(t *testing.T) {
	minisign, signify := golden(t, "minisign.pub"), golden(t, "signify.pub")
	for _, tt := range []struct {
		name      string
		key       []byte
		signature string
		want      string
	}{
		{"minisign", minisign, "prehashed.minisig", ""},
		{"minisign, the older form", minisign, "plain.minisig", ""},
		{"key alone", second(minisign), "prehashed.minisig", ""},
		{"key alone, spaces", append([]byte("  "), append(second(minisign), ' ', '\n')...), "prehashed.minisig", ""},
		{"signify", signify, "signify.sig", ""},
		{"signify, key alone", second(signify), "signify.sig", ""},
		{"several keys", slices.Concat(signify, []byte("\n"), minisign), "prehashed.minisig", ""},
		{"another key", signify, "prehashed.minisig", "made by key " + mustKey(t, minisign).String() + ", expected " + mustKey(t, signify).String()},
		{"several keys, none of them", slices.Concat(signify, otherID(second(minisign))), "plain.minisig", "made by key " + mustKey(t, minisign).String()},
	} {
		key := mustKey(t, tt.key)
		err := key.Verify(golden(t, "message"), golden(t, tt.signature), now)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Verify = %v, want %q", tt.name, err, tt.want)
		}
		if err := key.Verify([]byte("another message\n"), golden(t, tt.signature), now); err == nil {
			t.Errorf("%s: Verify of another message: no error", tt.name)
		}
	}
}

// otherID changes the id in a key.
func otherID(key []byte) []byte {
	key = bytes.Clone(key)
	key[5] ^= 1
	return key
}

func TestSuffixes(t *testing.T) {
	for _, tt := range []struct {
		name string
		key  []byte
		want []string
	}{
		{"minisign", golden(t, "minisign.pub"), []string{".minisig", ".sig"}},
		{"OpenPGP", golden(t, "openpgp/ed25519.gpg"), []string{".asc", ".sig", ".gpg"}},
	} {
		if diff := cmp.Diff(tt.want, mustKey(t, tt.key).Suffixes()); diff != "" {
			t.Errorf("%s: Suffixes (-want +got):\n%s", tt.name, diff)
		}
	}
	if diff := cmp.Diff([]string{".asc", ".gpg", ".minisig", ".sig"}, Suffixes()); diff != "" {
		t.Errorf("Suffixes (-want +got):\n%s", diff)
	}
}

// TestOpenPGP: a key of OpenPGP is recognised.
func TestOpenPGP(t *testing.T) {
	key := mustKey(t, golden(t, "openpgp/ed25519.gpg"))
	if err := key.Verify(golden(t, "message"), golden(t, "openpgp/ed25519.sig"), now); err != nil {
		t.Errorf("Verify: %v", err)
	}
	if err := key.Verify(golden(t, "message"), golden(t, "openpgp/subkey.sig"), now); err == nil || !strings.Contains(err.Error(), key.String()) {
		t.Errorf("Verify of another key's signature = %v, want an error that names %v", err, key)
	}
	if err := key.Verify(golden(t, "message"), golden(t, "signify.sig"), now); err == nil {
		t.Error("Verify of a signature by signify: no error")
	}
}

func TestParseKeyErrors(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"empty", " \n", "is empty"},
		{"comment", "untrusted comment: x\n", "holds only comments"},
		{"short", "RWQRsHbO7kPRbosV59rTiCax", "is 18 bytes long, want 42"},
		{"no base64", "http://server/key.pub", "want a key of minisign or signify (RW…) or of OpenPGP: not base64"},
		{"algorithm", "Q" + string(second(golden(t, "minisign.pub"))[1:]), "algorithm"},
		{"signature", string(golden(t, "signify.sig")), "is 74 bytes long"},
		{"OpenPGP", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n-----END PGP PUBLIC KEY BLOCK-----\n", "is damaged"},
	} {
		if _, err := ParseKey([]byte(tt.in)); err == nil || !strings.HasPrefix(err.Error(), "public key: ") || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: ParseKey = %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestBadSignatures(t *testing.T) {
	key := mustKey(t, golden(t, "minisign.pub"))
	good := string(golden(t, "prehashed.minisig"))
	plain := string(golden(t, "plain.minisig"))
	lines := strings.SplitAfter(good, "\n")
	for _, tt := range []struct{ name, in, want string }{
		{"empty", "", "neither minisign's nor signify's"},
		{"HTML", "<html>\n<body>\n</body>\n</html>\n", "neither minisign's nor signify's"},
		{"cut off", lines[0] + lines[1], "the trusted comment is missing"},
		{"cut off in the middle", good[:len(good)-20], "signature: "},
		{"trusted comment", strings.Replace(good, "made for a test", "made by somebody", 1), "its trusted comment was changed"},
		{"trusted comment of the older form", strings.Replace(plain, "made for a test", "made by somebody", 1), "its trusted comment was changed"},
		{"no trusted comment", strings.Replace(good, "trusted comment: made", "comment: made", 1), "no trusted comment"},
		{"more lines", good + "x\n", "neither minisign's nor signify's"},
		{"algorithm", strings.Replace(good, lines[1], "R1"+lines[1][2:], 1), "is not Ed25519"},
		// The letters say whether the hash was signed: to exchange them is to sign something else.
		{"the other form", strings.Replace(good, lines[1], "RW"+lines[1][2:], 1), "the signed file is another"},
	} {
		if err := key.Verify(golden(t, "message"), []byte(tt.in), now); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Verify = %v, want %q", tt.name, err, tt.want)
		}
	}
	if err := key.Verify(golden(t, "message"), []byte(strings.ReplaceAll(good, "\n", "\r\n")), now); err != nil {
		t.Errorf("lines as on Windows: Verify = %v", err)
	}
}

// TestChanged changes every byte behind the first comment.
func TestChanged(t *testing.T) {
	for _, tt := range []struct{ key, signature string }{{"minisign.pub", "prehashed.minisig"}, {"minisign.pub", "plain.minisig"}, {"signify.pub", "signify.sig"}} {
		key, file := mustKey(t, golden(t, tt.key)), golden(t, tt.signature)
		for i := bytes.IndexByte(file, '\n') + 1; i < len(file)-1; i++ {
			b := bytes.Clone(file)
			b[i] ^= 1
			if err := key.Verify(golden(t, "message"), b, now); err == nil {
				t.Errorf("%s: Verify with byte %d changed: no error", tt.signature, i)
			}
		}
	}
}

func run(t *testing.T, dir, program string, args ...string) {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
}

// TestTools: new keys, and files of several sizes, signed by the real programs.
func TestTools(t *testing.T) {
	minisign, signify := needs.Program(t, "minisign", "minisign"), needs.Program(t, "signify-openbsd", "signify-openbsd")
	dir := t.TempDir()
	file := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	run(t, dir, minisign, "-G", "-W", "-p", "m.pub", "-s", "m.key")
	run(t, dir, signify, "-G", "-n", "-p", "s.pub", "-s", "s.sec")
	for _, size := range []int{0, 1, 128, 100000} {
		message := bytes.Repeat([]byte("x"), size)
		if err := os.WriteFile(filepath.Join(dir, "message"), message, 0o644); err != nil {
			t.Fatal(err)
		}
		run(t, dir, minisign, "-S", "-s", "m.key", "-m", "message", "-x", "new.minisig", "-t", "comment with ü")
		run(t, dir, minisign, "-S", "-l", "-s", "m.key", "-m", "message", "-x", "old.minisig")
		run(t, dir, signify, "-S", "-s", "s.sec", "-m", "message", "-x", "s.sig")
		for _, tt := range []struct{ key, signature string }{{"m.pub", "new.minisig"}, {"m.pub", "old.minisig"}, {"s.pub", "s.sig"}} {
			if err := mustKey(t, file(tt.key)).Verify(message, file(tt.signature), now); err != nil {
				t.Errorf("%s of %d bytes: Verify = %v", tt.signature, size, err)
			}
		}
	}
}

// FuzzVerify: nothing that is read makes a panic, and nothing but the signed message verifies.
func FuzzVerify(f *testing.F) {
	for _, name := range []string{"prehashed.minisig", "plain.minisig", "signify.sig"} {
		f.Add(golden(f, "minisign.pub"), golden(f, name))
	}
	trusted := mustKey(f, slices.Concat(golden(f, "minisign.pub"), golden(f, "signify.pub")))
	message := golden(f, "message")
	f.Fuzz(func(t *testing.T, key, signature []byte) {
		if trusted.Verify([]byte("another message"), signature, now) == nil {
			t.Errorf("%q is accepted for a message that was never signed", signature)
		}
		if k, err := ParseKey(key); err == nil {
			_ = k.Verify(message, signature, now)
			_ = k.String()
		}
	})
}
