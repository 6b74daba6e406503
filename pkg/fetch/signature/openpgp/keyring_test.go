package openpgp

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/liveboot/liveboot/pkg/needs"
)

var message = []byte("0123456789abcdef  image.iso\n")

// Times of the tests: keys are made in made, live for ten days unless they live for ever, and sign in signed.
var (
	made   = time.Date(2024, 3, 1, 12, 0, 0, 0, time.UTC)
	signed = made.AddDate(0, 0, 1)
	late   = made.AddDate(0, 0, 30)
)

// A gnupg is GnuPG with a folder of its own.
type gnupg struct {
	t       testing.TB
	program string
	home    string
}

func newGnuPG(t testing.TB) gnupg {
	t.Helper()
	g := gnupg{t: t, program: needs.Program(t, "gpg", "gpg")}
	needs.Program(t, "gpg-agent", "gpg-agent")
	// The path of its socket must be short.
	home, err := os.MkdirTemp("", "gpg")
	if err != nil {
		t.Fatal(err)
	}
	g.home = home
	t.Cleanup(func() {
		if kill := exec.Command("gpgconf", "--homedir", home, "--kill", "gpg-agent"); kill.Run() == nil {
			os.RemoveAll(home)
		}
	})
	return g
}

func (g gnupg) run(at time.Time, stdin []byte, args ...string) []byte {
	g.t.Helper()
	base := []string{"--homedir", g.home, "--batch", "--yes", "--quiet", "--no-tty", "--passphrase", "", "--pinentry-mode", "loopback",
		"--faked-system-time", at.Format("20060102T150405"), "--trust-model", "always", "--allow-weak-digest-algos"}
	cmd := exec.Command(g.program, append(base, args...)...)
	cmd.Stdin = bytes.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		g.t.Fatalf("gpg %s: %v\n%s", strings.Join(args, " "), err, errs.String())
	}
	return out.Bytes()
}

// key makes a key whose fingerprint it returns.
func (g gnupg) key(user, algorithm, usage, expire string) string {
	g.t.Helper()
	g.run(made, nil, "--quick-generate-key", user, algorithm, usage, expire)
	return g.fingerprints(user)[0]
}

// fingerprints lists those of a key and of its subkeys.
func (g gnupg) fingerprints(user string) (all []string) {
	g.t.Helper()
	for line := range strings.Lines(string(g.run(made, nil, "--with-colons", "--with-subkey-fingerprint", "--list-keys", user))) {
		if fields := strings.Split(line, ":"); fields[0] == "fpr" {
			all = append(all, fields[9])
		}
	}
	return all
}

func (g gnupg) export(users ...string) []byte {
	return g.run(signed, nil, append([]string{"--export"}, users...)...)
}

func (g gnupg) sign(user string, more ...string) []byte {
	return g.run(signed, message, append([]string{"--local-user", user, "--output", "-"}, append(more, "--detach-sign")...)...)
}

// check compares Verify with what is wanted: nothing, or an error with these words.
func check(t *testing.T, name string, key, signature []byte, now time.Time, want string) {
	t.Helper()
	ring, err := ParseKeyring(key)
	if err != nil {
		t.Fatalf("%s: ParseKeyring: %v", name, err)
	}
	switch err := ring.Verify(message, signature, now); {
	case (err == nil) != (want == ""), err != nil && !strings.Contains(err.Error(), want):
		t.Errorf("%s: Verify = %v, want %q", name, err, want)
	}
	if want == "" {
		if ring.Verify(append(bytes.Clone(message), '\n'), signature, now) == nil {
			t.Errorf("%s: Verify of another message: no error", name)
		}
	}
}

// TestAlgorithms: every algorithm that is supported, armored and binary, with and without subkeys.
func TestAlgorithms(t *testing.T) {
	g := newGnuPG(t)
	for _, algorithm := range []string{"ed25519", "rsa2048", "rsa3072", "nistp256", "nistp384", "nistp521"} {
		f := g.key(algorithm, algorithm, "sign,cert", "never")
		hashes := []string{"SHA256", "SHA384", "SHA512"}
		if algorithm == "nistp384" || algorithm == "nistp521" {
			hashes = hashes[2:] // GnuPG refuses those that are shorter than the key
		}
		for _, hash := range hashes {
			s := g.sign(f, "--digest-algo", hash)
			check(t, algorithm+" "+hash, g.export(f), s, late, "")
		}
		armored := g.run(signed, nil, "--armor", "--export", f)
		check(t, algorithm+" armored", armored, g.sign(f, "--armor"), late, "")
		check(t, algorithm+" armored, lines as on Windows", bytes.ReplaceAll(armored, []byte("\n"), []byte("\r\n")), g.sign(f, "--armor", "--comment", "a: b"), late, "")
	}
	for _, algorithm := range []string{"ed25519", "rsa2048"} { // to add one of the others, GnuPG wants a dialogue
		f := g.key("with subkey "+algorithm, "ed25519", "cert", "never")
		g.run(made, nil, "--quick-add-key", f, "cv25519", "encr", "never")
		g.run(made, nil, "--quick-add-key", f, algorithm, "sign", "never")
		sub := g.fingerprints(f)[2]
		check(t, "subkey "+algorithm, g.export(f), g.sign(sub+"!"), late, "")
	}
}

func TestTimes(t *testing.T) {
	g := newGnuPG(t)
	short := g.key("short", "ed25519", "sign,cert", "10d")
	check(t, "valid", g.export(short), g.sign(short), made.AddDate(0, 0, 9), "")
	check(t, "expired", g.export(short), g.sign(short), late, "the key "+short+" expired on 2024-03-11")
	check(t, "clock at 1970", g.export(short), g.sign(short), time.Unix(100, 0), "")
	expired := g.export(short)
	g.run(signed, nil, "--quick-set-expire", short, "100d")
	check(t, "prolonged", g.export(short), g.sign(short), late, "")
	check(t, "prolonged, with the older key", expired, g.sign(short), late, "expired")

	long := g.key("long", "ed25519", "sign,cert", "never")
	check(t, "signature that expires", g.export(long), g.sign(long, "--default-sig-expire", "5d"), made.AddDate(0, 0, 4), "")
	check(t, "signature that has expired", g.export(long), g.sign(long, "--default-sig-expire", "5d"), late, "it expired on 2024-03-07")

	g.run(made, nil, "--quick-add-key", long, "ed25519", "sign", "10d")
	sub := g.fingerprints(long)[1]
	s := g.sign(sub + "!")
	check(t, "subkey", g.export(long), s, signed, "")
	check(t, "subkey expired", g.export(long), s, late, "the key "+sub+" expired")
}

func TestRevoked(t *testing.T) {
	g := newGnuPG(t)
	f := g.key("revoked", "ed25519", "sign,cert", "never")
	g.run(made, nil, "--quick-add-key", f, "ed25519", "sign", "never")
	sub := g.fingerprints(f)[1]
	s, bySub := g.sign(f+"!"), g.sign(sub+"!")
	check(t, "before", g.export(f), s, late, "")
	check(t, "before, subkey", g.export(f), bySub, late, "")

	g.run(signed, []byte("key 1\nrevkey\ny\n0\n\ny\nsave\n"), "--command-fd", "0", "--no-batch", "--edit-key", f)
	check(t, "subkey revoked", g.export(f), bySub, late, "the subkey is revoked")
	check(t, "subkey revoked, primary key", g.export(f), s, late, "")

	certificate, err := os.ReadFile(filepath.Join(g.home, "openpgp-revocs.d", f+".rev"))
	if err != nil {
		t.Fatal(err)
	}
	g.run(signed, bytes.ReplaceAll(certificate, []byte(":-----BEGIN"), []byte("-----BEGIN")), "--import")
	check(t, "revoked", g.export(f), s, late, "the key "+f+" is revoked")
	check(t, "revoked, subkey", g.export(f), bySub, late, "revoked")
}

// TestUnreadableRevocation: a revocation with a hash that does not count is still one.
func TestUnreadableRevocation(t *testing.T) {
	g := newGnuPG(t)
	f := g.key("revoked", "ed25519", "sign,cert", "never")
	g.run(made, nil, "--quick-add-key", f, "ed25519", "sign", "never")
	sub := g.fingerprints(f)[1]
	s, bySub := g.sign(f+"!"), g.sign(sub+"!")
	g.run(signed, []byte("key 1\nrevkey\ny\n0\n\ny\nsave\n"), "--cert-digest-algo", "SHA1", "--command-fd", "0", "--no-batch", "--edit-key", f)
	check(t, "subkey", g.export(f), bySub, late, "the subkey is revoked")
	check(t, "subkey, primary key", g.export(f), s, late, "")
	certificate := g.run(signed, []byte("y\n0\n\ny\n"), "--cert-digest-algo", "SHA1", "--command-fd", "0", "--no-batch", "--output", "-", "--gen-revoke", f)
	g.run(signed, certificate, "--import")
	check(t, "key", g.export(f), s, late, "is revoked")
}

// TestUserRevoked: a user that the key has taken back makes it valid no more.
func TestUserRevoked(t *testing.T) {
	g := newGnuPG(t)
	f := g.key("first", "ed25519", "sign,cert", "never")
	g.run(made, nil, "--quick-add-uid", f, "second")
	s := g.sign(f)
	g.run(signed, nil, "--quick-revoke-uid", f, "first")
	check(t, "one of two", g.export(f), s, late, "")
	// The second is taken out, as GnuPG refuses to revoke the last one.
	check(t, "the only one", without(t, g.export(f), "second"), s, late, "has no valid signature by itself")
}

// without leaves a user and what is said of him out of a key.
func without(t *testing.T, key []byte, user string) (rest []byte) {
	t.Helper()
	skip := false
	for len(key) > 0 {
		p, after, err := nextPacket(key)
		if err != nil {
			t.Fatal(err)
		}
		if p.kind != packetSignature {
			skip = p.kind == packetUserID && string(p.body) == user
		}
		if !skip {
			rest = append(rest, key[:len(key)-len(after)]...)
		}
		key = after
	}
	return rest
}

func TestRefused(t *testing.T) {
	g := newGnuPG(t)
	f := g.key("key", "rsa2048", "sign,cert", "never")
	other := g.key("other", "ed25519", "sign,cert", "never")
	weak := g.key("weak", "rsa1024", "sign,cert", "never")
	certOnly := g.key("cert only", "ed25519", "cert", "never")
	g.run(made, nil, "--quick-add-key", certOnly, "ed25519", "sign", "never")
	inline := g.run(signed, message, "--local-user", f, "--output", "-", "--sign")
	clear := g.run(signed, message, "--local-user", f, "--output", "-", "--clear-sign")
	for _, tt := range []struct {
		name           string
		key, signature []byte
		want           string
	}{
		{"another key", g.export(f), g.sign(other), "made by key " + other + ", expected " + f},
		{"both keys", g.export(f, other), g.sign(other), ""},
		{"both signed", g.export(other), append(g.sign(f), g.sign(other)...), ""},
		{"both signed, neither known", g.export(weak), append(g.sign(f), g.sign(other)...), "made by key " + other},
		{"SHA-1", g.export(f), g.sign(f, "--digest-algo", "SHA1"), "broken hash, SHA-1"},
		{"weak", g.export(weak), g.sign(weak), "RSA of 1024 bits is too weak"},
		{"text", g.export(f), g.sign(f, "--textmode"), "of the kind 0x1"},
		{"not detached", g.export(f), inline, "is neither a key nor detached"},
		{"clear text", g.export(f), clear, "holds a signed message, want a signature"},
		{"empty", g.export(f), nil, "is empty"},
		{"cut off", g.export(f), g.sign(f)[:100], "is damaged"},
		{"a key", g.export(f), g.export(f), "is not detached"},
		{"an armored key", g.export(f), g.run(signed, nil, "--armor", "--export", f), "want a signature"},
		{"armor without end", g.export(f), g.sign(f, "--armor")[:200], "the armor has no end"},
	} {
		check(t, tt.name, tt.key, tt.signature, late, tt.want)
	}
	// The users and subkeys are bound by signatures that somebody could leave out or move.
	bare := bytes.Clone(g.export(f))
	n := 3 + int(bare[1])<<8 + int(bare[2])
	check(t, "without signature by itself", bare[:n], g.sign(f), late, "has no valid signature by itself")
	sub := g.fingerprints(certOnly)[1]
	check(t, "stolen subkey", move(t, g.export(certOnly), g.export(other)), g.sign(sub+"!"), late, "the subkey is not bound to its primary key")
}

// move appends the subkey of one key, with its binding, to another.
func move(t *testing.T, from, to []byte) []byte {
	t.Helper()
	for rest := from; len(rest) > 0; {
		p, after, err := nextPacket(rest)
		if err != nil {
			t.Fatal(err)
		}
		if p.kind == packetPublicSubkey {
			return append(bytes.Clone(to), rest...)
		}
		rest = after
	}
	t.Fatal("no subkey")
	return nil
}

func TestKeyringErrors(t *testing.T) {
	g := newGnuPG(t)
	f := g.key("key", "ed25519", "sign,cert", "never")
	for _, tt := range []struct {
		name string
		key  []byte
		want string
	}{
		{"secret", g.run(signed, nil, "--export-secret-keys", f), "is a secret key"},
		{"secret, armored", g.run(signed, nil, "--armor", "--export-secret-keys", f), "is a secret key"},
		{"signature", g.sign(f), "holds no key"},
		{"armored signature", g.sign(f, "--armor"), "holds a signature, want a public key block"},
		{"cut off", g.export(f)[:40], "is damaged"},
		{"version", []byte{0xc6, 6, 6, 0, 0, 0, 0, 27}, "keys of version 6 are not supported"},
		{"no base64", []byte("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n!!!!\n-----END PGP PUBLIC KEY BLOCK-----\n"), "no base64"},
		{"empty", nil, "holds no key"},
	} {
		if _, err := ParseKeyring(tt.key); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: ParseKeyring = %v, want %q", tt.name, err, tt.want)
		}
	}
	if ring, err := ParseKeyring(g.export(f)); err != nil || ring.String() != f || !Recognise(g.export(f)) {
		t.Errorf("ParseKeyring = %v, %v, want %s", ring, err, f)
	}
}

// TestChanged changes each byte of a signature, of a key, and of both: what is still accepted is another way to write the same.
func TestChanged(t *testing.T) {
	for _, name := range []string{"ed25519", "rsa2048", "nistp256", "subkey"} {
		key, signature := golden(t, name+".gpg"), golden(t, name+".sig")
		check(t, name, key, signature, late, "")
		for i := range signature {
			b := bytes.Clone(signature)
			b[i] ^= 1 << (i % 8)
			ring, err := ParseKeyring(key)
			if err != nil {
				t.Fatal(err)
			}
			if ring.Verify(message, b, late) == nil && !unsigned(t, signature, i) {
				t.Errorf("%s: Verify of a signature with byte %d changed: no error", name, i)
			}
		}
		for i := range key {
			b := bytes.Clone(key)
			b[i] ^= 1 << (i % 8)
			ring, err := ParseKeyring(b)
			if err == nil && len(ring.entities) == 1 && ring.Verify(message, signature, late) == nil && ring.entities[0].primary.fingerprint != mustRing(t, key).entities[0].primary.fingerprint {
				t.Errorf("%s: Verify with another key, byte %d changed: no error", name, i)
			}
		}
	}
}

func mustRing(t testing.TB, key []byte) Keyring {
	ring, err := ParseKeyring(key)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// unsigned reports whether a byte of a signature is one that nothing depends on: the unhashed subpackets, the digest's first two bytes,
// and the lengths of integers.
func unsigned(t *testing.T, signature []byte, i int) bool {
	p, _, err := nextPacket(signature)
	if err != nil {
		t.Fatal(err)
	}
	head := len(signature) - len(p.body)
	hashed := head + 6 + int(p.body[4])<<8 + int(p.body[5])
	unhashed := hashed + 2 + int(signature[hashed])<<8 + int(signature[hashed+1])
	return i >= hashed && i < unhashed+2+2
}

func golden(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestArmorHeaders(t *testing.T) {
	plain := []byte("hello")
	for _, in := range []string{
		"-----BEGIN PGP SIGNATURE-----\n\naGVsbG8=\n=abcd\n-----END PGP SIGNATURE-----\n",
		"-----BEGIN PGP SIGNATURE-----\r\nVersion: x\r\nComment: y: z\r\n\r\naGVs\r\nbG8=\r\n-----END PGP SIGNATURE-----\r\n",
		"words before\n-----BEGIN PGP SIGNATURE-----\naGVsbG8=\n-----END PGP SIGNATURE-----",
	} {
		if got, err := unarmor([]byte(in), armorSignature); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("unarmor(%q) = %q, %v, want %q", in, got, err, plain)
		}
	}
}

// FuzzVerify: nothing that is read makes a panic, and no key but the real one verifies.
func FuzzVerify(f *testing.F) {
	for _, name := range []string{"ed25519", "rsa2048", "nistp256", "subkey"} {
		f.Add(golden(f, name+".gpg"), golden(f, name+".sig"))
	}
	f.Add([]byte("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDM\n-----END PGP PUBLIC KEY BLOCK-----"), []byte{0xc2, 0xff, 0, 0, 0, 1})
	trusted := mustRing(f, golden(f, "ed25519.gpg"))
	f.Fuzz(func(t *testing.T, key, signature []byte) {
		if trusted.Verify([]byte("another message"), signature, late) == nil {
			t.Errorf("%x is accepted for a message that was never signed", signature)
		}
		Recognise(key)
		if ring, err := ParseKeyring(key); err == nil {
			_ = fmt.Sprint(ring, ring.Verify(message, signature, late))
		}
	})
}
