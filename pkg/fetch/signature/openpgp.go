package signature

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	pgp "github.com/ProtonMail/go-crypto/openpgp/v2"
)

// smallestRSA is what RSA has to have to count, in bits: 112 bits of security, as NIST SP 800-57 wants at least.
const smallestRSA = 2048

// pgpPolicy is what the library is to refuse besides what it refuses by itself, which is DSA, ElGamal and secp256k1. It would take SHA-1
// in what a key says of itself.
func pgpPolicy() *packet.Config {
	broken := map[crypto.Hash]bool{crypto.MD5: true, crypto.SHA1: true, crypto.RIPEMD160: true}
	return &packet.Config{RejectHashAlgorithms: broken, RejectMessageHashAlgorithms: broken, MinRSABits: smallestRSA}
}

// pgpKeys are the keys of OpenPGP in a keyring. The library notes at each key what it found out about it at one time, so the keyring is
// read again for each file.
type pgpKeys struct {
	packets      []byte
	fingerprints string
}

// parsePGPKeys reads one or more keys, armored or binary.
func parsePGPKeys(data []byte) (pgpKeys, error) {
	data, err := unarmor(data, armorPublicKey)
	if err != nil {
		return pgpKeys{}, err
	}
	unsupported, err := checkKeyring(data)
	if err != nil {
		return pgpKeys{}, err
	}
	ring, err := pgp.ReadKeyRing(bytes.NewReader(data))
	if err != nil || len(ring) == 0 {
		return pgpKeys{}, errors.Join(errors.New("holds no key that can be used"), err, unsupported)
	}
	names := make([]string, len(ring))
	for i, e := range ring {
		names[i] = fingerprint(e.PrimaryKey)
	}
	return pgpKeys{bytes.Clone(data), strings.Join(names, ", ")}, nil
}

func fingerprint(k *packet.PublicKey) string { return fmt.Sprintf("%X", k.Fingerprint) }

func (pgpKeys) Suffixes() []string { return []string{".asc", ".sig", ".gpg"} }

// String lists the fingerprints of the primary keys.
func (k pgpKeys) String() string { return k.fingerprints }

// Verify is content with one signature, if there are several in the file.
func (k pgpKeys) Verify(message, file []byte, now time.Time) error {
	signatures, unsupported, err := parsePGPSignatures(file)
	if err != nil {
		return fmt.Errorf("signature: %w", err)
	}
	errs := []error{unsupported}
	for _, s := range signatures {
		err := k.verify(message, s, now)
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return fmt.Errorf("signature: %w", errors.Join(errs...))
}

// verify checks one signature, which says that it was made by one of the keys. A keyring may hold a key twice, as it was at two times: one
// of them is enough, but a revocation counts wherever it stands.
func (k pgpKeys) verify(message []byte, s *packet.Signature, now time.Time) error {
	ring, err := pgp.ReadKeyRing(bytes.NewReader(k.packets))
	if err != nil {
		return err
	}
	if s.SigType != packet.SigTypeBinary {
		return fmt.Errorf("is one of the kind %#x, not of a file as it is; sign with gpg --detach-sign, without --textmode", uint8(s.SigType))
	}
	if now.Before(s.CreationTime) {
		now = s.CreationTime
	}
	signers := signersOf(ring, s)
	if len(signers) == 0 {
		return fmt.Errorf("made by key %s, expected %v", maker(s), k)
	}
	for _, x := range signers {
		if err := x.revoked(); err != nil {
			return err
		}
	}
	var errs []error
	for _, x := range signers {
		err := x.verify(message, s, now)
		if err == nil {
			return nil
		}
		errs = append(errs, fmt.Errorf("by key %s: %w", fingerprint(x.key), err))
	}
	return errors.Join(errs...)
}

// maker names the key that a signature says it was made by.
func maker(s *packet.Signature) string {
	switch {
	case len(s.IssuerFingerprint) > 0:
		return fmt.Sprintf("%X", s.IssuerFingerprint)
	case s.IssuerKeyId != nil:
		return fmt.Sprintf("%016X", *s.IssuerKeyId)
	}
	return "(not named)"
}

// A signer is a key that a signature says it was made by: the primary key of an entity or, where subkey is not nil, one of its subkeys.
type signer struct {
	*pgp.Entity
	key    *packet.PublicKey
	subkey *pgp.Subkey
}

func signersOf(ring pgp.EntityList, s *packet.Signature) (all []signer) {
	for _, e := range ring {
		if s.CheckKeyIdOrFingerprint(e.PrimaryKey) {
			all = append(all, signer{e, e.PrimaryKey, nil})
		}
		for i := range e.Subkeys {
			if k := &e.Subkeys[i]; s.CheckKeyIdOrFingerprint(k.PublicKey) {
				all = append(all, signer{e, k.PublicKey, k})
			}
		}
	}
	return all
}

// revoked asks as of the last time that OpenPGP knows: to the library, a key that was revoked for no more than being replaced is good until
// then, and who is to say when a signature was made?
func (x signer) revoked() error {
	end := time.Unix(math.MaxUint32, 0)
	switch {
	case x.Entity.Revoked(end):
		return fmt.Errorf("the key %s is revoked", fingerprint(x.PrimaryKey))
	case x.subkey != nil && x.subkey.Revoked(nil, end):
		return fmt.Errorf("the subkey %s is revoked", fingerprint(x.key))
	}
	return nil
}

// verify asks the library for a key that may sign now. Its own function for whole signatures asks for one that could when the signature was
// made: it would take a key that has expired since, and refuse one that was prolonged since and whose earlier word on itself was cleaned
// away, which is how key servers and rpm hand keys out.
func (x signer) verify(message []byte, s *packet.Signature, now time.Time) error {
	if err := acceptable(s); err != nil {
		return err
	}
	switch {
	case s.CreationTime.Before(x.key.CreationTime):
		return errors.New("it is older than the key")
	case s.SigExpired(now):
		return fmt.Errorf("it expired%s", on(s.CreationTime, s.SigLifetimeSecs))
	}
	key, ok := x.SigningKeyById(now, x.key.KeyId, pgpPolicy())
	if !ok {
		return x.refusal(now)
	}
	// The library has not looked at this one: it is the subkey's word that it belongs to the primary key.
	if back := key.SelfSignature.EmbeddedSignature; !key.IsPrimary() && back != nil {
		if err := acceptable(back); err != nil {
			return fmt.Errorf("the subkey is not bound to its primary key by itself: %w", err)
		}
	}
	hash, err := s.PrepareVerify()
	if err != nil {
		return err
	}
	hash.Write(message)
	if err := key.PublicKey.VerifySignature(hash, s); err != nil {
		return fmt.Errorf("is wrong: the signed file is another: %w", err)
	}
	return nil
}

// acceptable checks what a signature is made of.
func acceptable(s *packet.Signature) error {
	policy := pgpPolicy()
	if policy.RejectHashAlgorithm(s.Hash) {
		return fmt.Errorf("uses a broken hash, %v; sign with --digest-algo SHA512", s.Hash)
	}
	for _, n := range s.Notations {
		if n.IsCritical && !policy.KnownNotation(n.Name) {
			return fmt.Errorf("demands that its notation %q is understood, which it is not", n.Name)
		}
	}
	return nil
}

// refusal says why the library has no key that may sign, which it does not do itself.
func (x signer) refusal(now time.Time) error {
	policy, name := pgpPolicy(), fingerprint(x.PrimaryKey)
	self, err := x.PrimarySelfSignature(now, policy)
	if err != nil {
		return fmt.Errorf("the key %s has no valid signature by itself, as of now and with a hash that is not broken: %w", name, err)
	}
	if _, err := x.VerifyPrimaryKey(now, policy); err != nil {
		return fmt.Errorf("the key %s: %w%s", name, err, expiry(x.PrimaryKey, self, now))
	}
	if x.subkey != nil {
		if self, err = x.subkey.LatestValidBindingSignature(now, policy); err != nil {
			return fmt.Errorf("the subkey is not bound to its primary key, as of now and with a hash that is not broken: %w", err)
		}
		if _, err := x.subkey.Verify(now, policy); err != nil {
			return fmt.Errorf("the key %s: %w%s", fingerprint(x.key), err, expiry(x.key, self, now))
		}
	}
	if !self.FlagSign {
		return errors.New("the key is not made to sign")
	}
	return fmt.Errorf("the key is too weak, or its primary key is: want RSA of %d bits or more, Ed25519 or ECDSA", smallestRSA)
}

// expiry says when a key expired, if it is this signature that makes it expire.
func expiry(k *packet.PublicKey, self *packet.Signature, now time.Time) string {
	if !k.KeyExpired(self, now) {
		return ""
	}
	return on(k.CreationTime, self.KeyLifetimeSecs)
}

// on names the day that lies so many seconds behind a time, if there is one.
func on(from time.Time, seconds *uint32) string {
	if seconds == nil {
		return ""
	}
	return " on " + from.Add(time.Duration(*seconds)*time.Second).UTC().Format(time.DateOnly)
}
