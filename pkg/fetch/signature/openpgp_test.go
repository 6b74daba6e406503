package signature

import (
	"bytes"
	"crypto"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	pgp "github.com/ProtonMail/go-crypto/openpgp/v2"
)

// check compares Verify with what is wanted: nothing, or an error with these words.
func check(t *testing.T, name string, key, signature []byte, now time.Time, want string) {
	t.Helper()
	ring, err := ParseKey(key)
	if err != nil {
		t.Fatalf("%s: ParseKey: %v", name, err)
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
	check(t, "expired", g.export(short), g.sign(short), late, "the key "+short+": openpgp: key expired on 2024-03-11")
	check(t, "clock at 1970", g.export(short), g.sign(short), time.Unix(100, 0), "")
	expired := g.export(short)
	g.run(signed, nil, "--quick-set-expire", short, "100d")
	check(t, "prolonged", g.export(short), g.sign(short), late, "")
	check(t, "prolonged, with the older key", expired, g.sign(short), late, "expired")
	check(t, "prolonged, with both", append(bytes.Clone(expired), g.export(short)...), g.sign(short), late, "")

	// Cleaned, a key holds only the newest signature by itself, which here is younger than the signature.
	cleaned := g.key("cleaned", "ed25519", "sign,cert", "10d")
	s := g.sign(cleaned)
	g.run(signed.AddDate(0, 0, 1), nil, "--quick-set-expire", cleaned, "100d")
	check(t, "prolonged and cleaned", g.run(late, nil, "--export-options", "export-clean,export-minimal", "--export", cleaned), s, late, "")

	long := g.key("long", "ed25519", "sign,cert", "never")
	check(t, "signature that expires", g.export(long), g.sign(long, "--default-sig-expire", "5d"), made.AddDate(0, 0, 4), "")
	check(t, "signature that has expired", g.export(long), g.sign(long, "--default-sig-expire", "5d"), late, "it expired on 2024-03-07")

	g.run(made, nil, "--quick-add-key", long, "ed25519", "sign", "10d")
	sub := g.fingerprints(long)[1]
	s = g.sign(sub + "!")
	check(t, "subkey", g.export(long), s, signed, "")
	check(t, "subkey expired", g.export(long), s, late, "the key "+sub+": openpgp: key expired on 2024-03-11")

	early := g.run(made.AddDate(0, 0, -1), message, "--ignore-time-conflict", "--local-user", long+"!", "--output", "-", "--detach-sign")
	check(t, "signature older than the key", g.export(long), early, late, "it is older than the key")
}

func TestRevoked(t *testing.T) {
	for _, tt := range []struct{ name, reason, hash string }{
		{"no reason", "0", "SHA512"},
		{"compromised", "1", "SHA512"},
		// The reason is no reason to trust what was signed before; nor is a broken hash.
		{"replaced", "2", "SHA512"},
		{"no reason, SHA-1", "0", "SHA1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newGnuPG(t)
			f := g.key("revoked", "ed25519", "sign,cert", "never")
			g.run(made, nil, "--quick-add-key", f, "ed25519", "sign", "never")
			sub := g.fingerprints(f)[1]
			s, bySub, before := g.sign(f+"!"), g.sign(sub+"!"), g.export(f)
			check(t, "before", before, s, late, "")
			check(t, "before, subkey", before, bySub, late, "")

			g.revokeSubkey(f, "--cert-digest-algo", tt.hash)
			check(t, "subkey revoked", g.export(f), bySub, late, "the subkey "+sub+" is revoked")
			check(t, "subkey revoked, primary key", g.export(f), s, late, "")

			g.run(signed, g.revoke(f, tt.reason, "--cert-digest-algo", tt.hash), "--import")
			check(t, "revoked", g.export(f), s, late, "the key "+f+" is revoked")
			check(t, "revoked, subkey", g.export(f), bySub, late, "revoked")
			check(t, "revoked later, as the clock says", g.export(f), s, made, "the key "+f+" is revoked")
			check(t, "revoked and not", append(before, g.export(f)...), s, late, "the key "+f+" is revoked")
		})
	}
}

// TestUnreadableRevocation: that a revocation is not understood is no reason to trust the key.
func TestUnreadableRevocation(t *testing.T) {
	g := newGnuPG(t)
	f := g.key("revoked", "ed25519", "sign,cert", "never")
	g.run(made, nil, "--quick-add-key", f, "ed25519", "sign", "never")
	g.revokeSubkey(f)
	g.run(signed, g.revoke(f, "0"), "--import")
	for _, kind := range []packet.SignatureType{packet.SigTypeKeyRevocation, packet.SigTypeSubkeyRevocation} {
		var key []byte
		for _, p := range pieces(t, g.export(f)) {
			if s, ok := p.packet.(*packet.Signature); ok && s.SigType == kind {
				p.raw[len(p.raw)-len(body(p.raw))+3] = 1 // MD5
			} else if ok && s.SigType != packet.SigTypePositiveCert && s.SigType != packet.SigTypeSubkeyBinding {
				continue
			}
			key = append(key, p.raw...)
		}
		if _, err := ParseKey(key); err == nil || !strings.Contains(err.Error(), "holds a revocation that is not understood") {
			t.Errorf("ParseKey of a key with a revocation of the kind %#x with MD5 = %v", uint8(kind), err)
		}
	}
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

func TestRefused(t *testing.T) {
	g := newGnuPG(t)
	f := g.key("key", "rsa2048", "sign,cert", "never")
	other := g.key("other", "ed25519", "sign,cert", "never")
	weak := g.key("weak", "rsa1024", "sign,cert", "never")
	certOnly := g.key("cert only", "ed25519", "cert", "never")
	g.run(made, nil, "--quick-add-key", certOnly, "ed25519", "sign", "never")
	sub := g.fingerprints(certOnly)[1]
	g.run(made, nil, "--cert-digest-algo", "SHA1", "--quick-generate-key", "sha1", "ed25519", "sign,cert", "never")
	sha1 := g.fingerprints("sha1")[0]
	noMore := g.key("no more", "ed25519", "sign,cert", "never")
	byNoMore := g.sign(noMore)
	g.run(signed, []byte("change-usage\ns\nq\nsave\n"), "--command-fd", "0", "--no-batch", "--edit-key", noMore)
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
		{"SHA-1", g.export(f), g.sign(f, "--digest-algo", "SHA1"), "uses a broken hash, SHA-1"},
		{"weak", g.export(weak), g.sign(weak), "too weak, or its primary key is: want RSA of 2048 bits"},
		{"SHA-1 of itself", g.export(sha1), g.sign(sha1), "has no valid signature by itself"},
		{"made to certify", g.export(noMore), byNoMore, "the key is not made to sign"},
		{"critical notation", g.export(f), g.sign(f, "--sig-notation", "!a@example.org=b"), "demands that its notation \"a@example.org\" is understood"},
		{"notation", g.export(f), g.sign(f, "--sig-notation", "a@example.org=b"), ""},
		{"text", g.export(f), g.sign(f, "--textmode"), "of the kind 0x1"},
		{"not detached", g.export(f), inline, "is not detached"},
		{"clear text", g.export(f), clear, "holds a signed message, want a signature"},
		{"empty", g.export(f), nil, "is empty"},
		{"cut off", g.export(f), g.sign(f)[:100], "is damaged"},
		{"a key", g.export(f), g.export(f), "is not detached"},
		{"an armored key", g.export(f), g.run(signed, nil, "--armor", "--export", f), "want a signature"},
		{"armor without end", g.export(f), g.sign(f, "--armor")[:200], "the armor has no end"},
	} {
		check(t, tt.name, tt.key, tt.signature, late, tt.want)
	}
	// The subkeys are bound by signatures that somebody could move.
	check(t, "stolen subkey", append(g.export(other), subkeys(t, g.export(certOnly))...), g.sign(sub+"!"), late, "the subkey is not bound to its primary key")
}

// TestLibraryKeys: what GnuPG of today does not make.
func TestLibraryKeys(t *testing.T) {
	at := func() time.Time { return made }
	plain := packet.Config{Algorithm: packet.PubKeyAlgoEd25519, Time: at, NonDeterministicSignaturesViaNotation: new(bool)}
	six, short := plain, plain
	six.V6Keys, six.NonDeterministicSignaturesViaNotation = true, nil
	short.KeyLifetimeSecs = 86400
	for _, tt := range []struct {
		name   string
		config packet.Config
		change func(binding *packet.Signature) // of the subkey
		want   string
	}{
		{"version 4", plain, nil, ""},
		{"version 6", six, nil, ""},
		{"expired", short, nil, "openpgp: key expired on 2024-03-02"},
		{"not made to sign", plain, func(s *packet.Signature) { s.FlagSign = false }, "the key is not made to sign"},
		{"bound with SHA-1", plain, func(s *packet.Signature) { s.Hash = crypto.SHA1 }, "the subkey is not bound to its primary key"},
		{"bound back with SHA-1", plain, func(s *packet.Signature) { s.EmbeddedSignature.Hash = crypto.SHA1 },
			"not bound to its primary key by itself: uses a broken hash, SHA-1"},
		{"bound back with a critical notation", plain, func(s *packet.Signature) {
			s.EmbeddedSignature.Notations = []*packet.Notation{{Name: "a@example.org", IsHumanReadable: true, IsCritical: true}}
		}, "not bound to its primary key by itself: demands that its notation"},
		{"not bound back", plain, func(s *packet.Signature) { s.EmbeddedSignature = nil }, "the subkey is not bound to its primary key"},
	} {
		e, err := pgp.NewEntity("a", "", "", &tt.config)
		if err == nil {
			err = e.AddSigningSubkey(&tt.config)
		}
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		var key, signature bytes.Buffer
		err = pgp.DetachSign(&signature, []*pgp.Entity{e}, bytes.NewReader(message), &tt.config)
		if tt.change != nil {
			sub := e.Subkeys[len(e.Subkeys)-1]
			binding := sub.Bindings[0].Packet
			tt.change(binding)
			if back := binding.EmbeddedSignature; back != nil {
				err = errors.Join(err, back.CrossSignKey(sub.PublicKey, e.PrimaryKey, sub.PrivateKey, &tt.config))
			}
			err = errors.Join(err, binding.SignKey(sub.PublicKey, e.PrivateKey, &tt.config))
		}
		if err := errors.Join(err, e.Serialize(&key)); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		check(t, tt.name, key.Bytes(), signature.Bytes(), late, tt.want)
	}
}

func TestKeyringErrors(t *testing.T) {
	g := newGnuPG(t)
	f := g.key("key", "ed25519", "sign,cert", "never")
	key := g.export(f)
	for _, tt := range []struct {
		name string
		key  []byte
		want string
	}{
		{"secret", g.run(signed, nil, "--export-secret-keys", f), "is a secret key"},
		{"secret, armored", g.run(signed, nil, "--armor", "--export-secret-keys", f), "is a secret key"},
		{"signature", g.sign(f), "holds no key"},
		{"armored signature", g.sign(f, "--armor"), "holds a signature, want a public key block"},
		{"cut off", key[:40], "is damaged"},
		{"without signature by itself", pieces(t, key)[0].raw, "holds no key that can be used"},
		{"version", []byte{0xc6, 6, 3, 0, 0, 0, 0, 1}, "public key version 3"},
		{"no base64", []byte("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n!!!!\n-----END PGP PUBLIC KEY BLOCK-----\n"), "no base64"},
		{"armored, empty", []byte("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n-----END PGP PUBLIC KEY BLOCK-----\n"), "holds no key"},
	} {
		if _, err := ParseKey(tt.key); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: ParseKey = %v, want %q", tt.name, err, tt.want)
		}
	}
	if ring := mustKey(t, key); ring.String() != f {
		t.Errorf("ParseKey = %v, want %s", ring, f)
	}
	other := g.key("other", "nistp256", "sign,cert", "never")
	armored := slices.Concat([]byte("both:\n"), g.run(signed, nil, "--armor", "--export", f), []byte("\n"), g.run(signed, nil, "--armor", "--export", other))
	check(t, "two armored keys", armored, g.sign(f, "--armor"), late, "")
	check(t, "two armored keys, the second", armored, g.sign(other, "--armor"), late, "")
}

func TestMaker(t *testing.T) {
	id := uint64(0xabc)
	for _, tt := range []struct {
		in   packet.Signature
		want string
	}{
		{packet.Signature{IssuerKeyId: &id, IssuerFingerprint: []byte{1, 0xab}}, "01AB"},
		{packet.Signature{IssuerKeyId: &id}, "0000000000000ABC"},
		{packet.Signature{}, "(not named)"},
	} {
		if got := maker(&tt.in); got != tt.want {
			t.Errorf("maker = %q, want %q", got, tt.want)
		}
	}
}

var goldenKeys = []string{"openpgp/ed25519", "openpgp/rsa2048", "openpgp/nistp256", "openpgp/subkey"}

// TestOpenPGPChanged changes each byte of a signature, and of a key: what is still accepted is another way to write the same.
func TestOpenPGPChanged(t *testing.T) {
	for _, name := range goldenKeys {
		key, signature := golden(t, name+".gpg"), golden(t, name+".sig")
		check(t, name, key, signature, late, "")
		for i := range signature {
			b := bytes.Clone(signature)
			b[i] ^= 1 << (i % 8)
			if mustKey(t, key).Verify(message, b, late) == nil && !unsigned(signature, i) {
				t.Errorf("%s: Verify of a signature with byte %d changed: no error", name, i)
			}
		}
		for i := range key {
			b := bytes.Clone(key)
			b[i] ^= 1 << (i % 8)
			if changed, err := ParseKey(b); err == nil && changed.Verify(message, signature, late) == nil && changed.String() != mustKey(t, key).String() {
				t.Errorf("%s: Verify with another key, byte %d changed: no error", name, i)
			}
		}
	}
}

// unsigned reports whether a byte of a signature is one that nothing depends on: a length that is said to be greater, the unhashed
// subpackets, and the digest's first two bytes.
func unsigned(signature []byte, i int) bool {
	head := len(signature) - len(body(signature))
	hashed := head + 6 + int(signature[head+4])<<8 + int(signature[head+5])
	unhashed := hashed + 2 + int(signature[hashed])<<8 + int(signature[hashed+1])
	return 0 < i && i < head || hashed <= i && i < unhashed+2
}

func TestUnarmor(t *testing.T) {
	plain := []byte("hello")
	for _, in := range []string{
		"-----BEGIN PGP SIGNATURE-----\n\naGVsbG8=\n=abcd\n-----END PGP SIGNATURE-----\n",
		"-----BEGIN PGP SIGNATURE-----\r\nVersion: x\r\nComment: y: z\r\n\r\naGVs\r\nbG8=\r\n-----END PGP SIGNATURE-----\r\n",
		"words before\n-----BEGIN PGP SIGNATURE-----\n\naGVsbG8=\n-----END PGP SIGNATURE-----",
	} {
		if got, err := unarmor([]byte(in), armorSignature); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("unarmor(%q) = %q, %v, want %q", in, got, err, plain)
		}
	}
	for _, tt := range []struct{ name, in, want string }{
		{"lines that are too long", "-----BEGIN PGP SIGNATURE-----\n\n" + strings.Repeat("A", 200) + "\n-----END PGP SIGNATURE-----\n", "is damaged"},
		{"no end", "-----BEGIN PGP SIGNATURE-----\n\naGVsbG8=\n", "the armor has no end"},
		{"another end", "-----BEGIN PGP SIGNATURE-----\n\naGVsbG8=\n-----END PGP MESSAGE-----\n", "the armor has no end"},
		{"no empty line", "-----BEGIN PGP SIGNATURE-----\naGVsbG8=\n-----END PGP SIGNATURE-----\n", "the armor has no beginning"},
		{"beginning only", "-----BEGIN PGP ", "the armor has no beginning"},
	} {
		if _, err := unarmor([]byte(tt.in), armorSignature); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: unarmor = %v, want %q", tt.name, err, tt.want)
		}
	}
}

// FuzzOpenPGP: nothing that is read makes a panic, and no key but the real one verifies.
func FuzzOpenPGP(f *testing.F) {
	for _, name := range goldenKeys {
		f.Add(golden(f, name+".gpg"), golden(f, name+".sig"))
	}
	f.Add([]byte("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDM\n-----END PGP PUBLIC KEY BLOCK-----"), []byte{0xc2, 0xff, 0, 0, 0, 1})
	trusted := mustKey(f, golden(f, "openpgp/ed25519.gpg"))
	f.Fuzz(func(t *testing.T, key, signature []byte) {
		if trusted.Verify([]byte("another message"), signature, late) == nil {
			t.Errorf("%x is accepted for a message that was never signed", signature)
		}
		if ring, err := parsePGPKeys(key); err == nil {
			_ = ring.Verify(message, signature, late)
		}
	})
}
