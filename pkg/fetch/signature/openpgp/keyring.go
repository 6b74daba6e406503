// Package openpgp verifies detached signatures of OpenPGP (RFC 9580), and nothing else: keys and signatures of version 4, as GnuPG
// makes them, with RSA, ECDSA and Ed25519 of Go's standard library.
//
// It is strict. A key counts only with a valid signature by itself, a subkey only if it is bound to its primary key in both directions
// and made to sign; what is revoked or has expired, for whatever reason, does not count; neither do SHA-1, MD5, and RSA below 2048 bits. A
// complete OpenPGP library would add more than 300 KiB to the compressed image, most of it for algorithms that nobody signs images with.
package openpgp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

var errSecretKey = errors.New("is a secret key: take it away from here, and export the public one (gpg --export)")

// A Keyring holds keys of which any may have signed.
type Keyring struct{ entities []*entity }

// An entity is a primary key with all that is bound to it.
type entity struct {
	primary *publicKey
	revoked bool
	// direct is the newest valid signature of the key over itself, user that over any of its users that it has not taken back; nil without.
	direct, user *signature
	subkeys      []*subkey
	problem      error // the last one met in a signature of the key over itself
}

// A subkey is bound to its primary key by the newest of its valid binding signatures.
type subkey struct {
	*publicKey
	revoked bool
	binding *signature
}

// ParseKeyring reads one or more keys, armored or binary.
func ParseKeyring(data []byte) (Keyring, error) {
	data, err := unarmor(data, armorPublicKey)
	if err != nil {
		return Keyring{}, err
	}
	all, err := packets(data)
	if err != nil {
		return Keyring{}, err
	}
	var ring Keyring
	var b builder
	var skipped error
	for _, p := range all {
		switch p.kind {
		case packetSecretKey, packetSecretSubkey:
			return Keyring{}, errSecretKey
		case packetPublicKey:
			b.finish()
			b = builder{}
			primary, err := parsePublicKey(p.body)
			if _, other := errors.AsType[errVersion](err); other {
				skipped = err
				continue
			} else if err != nil {
				return Keyring{}, err
			}
			b.entity = &entity{primary: primary}
			ring.entities = append(ring.entities, b.entity)
		default:
			if b.entity != nil {
				b.add(p)
			}
		}
	}
	b.finish()
	if len(ring.entities) == 0 {
		return Keyring{}, errors.Join(errors.New("holds no key"), skipped)
	}
	return ring, nil
}

// A builder collects the packets of an entity. Signatures are about what stands before them.
type builder struct {
	*entity
	subkey  *subkey
	unknown bool // behind something that is not understood

	userHashed  []byte // what of a user goes into signatures; nil behind the primary key and behind subkeys
	userSelf    *signature
	userRevoked time.Time
}

func (b *builder) add(p packet) {
	switch p.kind {
	case packetUserID:
		b.beginUser(0xb4, p.body)
	case packetUserAttribute:
		b.beginUser(0xd1, p.body)
	case packetPublicSubkey:
		b.end()
		k, err := parsePublicKey(p.body)
		if b.unknown = err != nil; !b.unknown {
			b.subkey = &subkey{publicKey: k}
			b.subkeys = append(b.subkeys, b.subkey)
		}
	case packetSignature:
		// A signature that cannot be read, or is somebody else's, says nothing; but not to understand a revocation is no reason to
		// trust the key.
		if s, err := parseSignature(p.body); err != nil {
			b.problem = err
			b.unreadable(p.body)
		} else if !b.unknown && s.by(b.primary.fingerprint) {
			b.signature(s)
		}
	case packetTrust, packetMarker, packetPadding:
	default:
		b.unknown = true
	}
}

// finish is end, for an entity if there is one.
func (b *builder) finish() {
	if b.entity != nil {
		b.end()
	}
}

// unreadable takes a signature for a revocation that looks like one.
func (b *builder) unreadable(body []byte) {
	if len(body) < 2 || b.unknown {
		return
	}
	switch kind := signatureKind(body[1]); {
	case kind == kindSubkeyRevocation && b.subkey != nil:
		b.subkey.revoked = true
	case kind == kindKeyRevocation && b.subkey == nil && b.userHashed == nil:
		b.revoked = true
	}
}

func (b *builder) beginUser(prefix byte, user []byte) {
	b.end()
	b.userHashed = append(binary.BigEndian.AppendUint32([]byte{prefix}, uint32(len(user))), user...)
}

// end takes what was said about a user: nothing, if it was taken back later.
func (b *builder) end() {
	if b.userSelf != nil && b.userSelf.created.After(b.userRevoked) {
		b.user = newer(b.user, b.userSelf)
	}
	b.userHashed, b.userSelf, b.userRevoked, b.subkey, b.unknown = nil, nil, time.Time{}, nil, false
}

// signature takes one of the primary key, if it is valid.
func (b *builder) signature(s *signature) {
	content := b.primary.hashed(nil)
	switch {
	case b.subkey != nil:
		content = b.subkey.hashed(content)
	case b.userHashed != nil:
		content = append(content, b.userHashed...)
	}
	if err := b.primary.verify(s, content); err != nil {
		b.problem = err
		return
	}
	switch {
	case b.subkey != nil:
		b.subkey.signature(s)
	case b.userHashed != nil && s.kind == kindCertRevocation:
		if s.created.After(b.userRevoked) {
			b.userRevoked = s.created
		}
	case b.userHashed != nil && kindGenericCert <= s.kind && s.kind <= kindPositiveCert:
		b.userSelf = newer(b.userSelf, s)
	case b.userHashed != nil:
	case s.kind == kindKeyRevocation:
		b.revoked = true
	case s.kind == kindDirectKey:
		b.direct = newer(b.direct, s)
	}
}

func (k *subkey) signature(s *signature) {
	switch s.kind {
	case kindSubkeyRevocation:
		k.revoked = true
	case kindSubkeyBinding:
		k.binding = newer(k.binding, s)
	}
}

func newer(a, b *signature) *signature {
	if a == nil || b.created.After(a.created) {
		return b
	}
	return a
}

// String lists the keys' fingerprints.
func (k Keyring) String() string {
	names := make([]string, len(k.entities))
	for i, e := range k.entities {
		names[i] = e.primary.fingerprint.String()
	}
	return strings.Join(names, ", ")
}

// Verify returns nil if one of the signatures in a file, armored or binary, is one of the message by a key of the ring that was valid when
// it signed, and still is.
func (k Keyring) Verify(message, file []byte, now time.Time) error {
	file, err := unarmor(file, armorSignature)
	if err != nil {
		return err
	}
	all, err := packets(file)
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range all {
		switch p.kind {
		case packetSignature:
			s, err := parseSignature(p.body)
			if err == nil {
				err = k.verify(message, s, now)
			}
			if err == nil {
				return nil
			}
			errs = append(errs, err)
		case packetMarker, packetPadding:
		default:
			return errors.New("is not detached: it holds more than signatures; sign with gpg --detach-sign")
		}
	}
	if len(errs) == 0 {
		return errors.New("is empty")
	}
	return errors.Join(errs...)
}

func (k Keyring) verify(message []byte, s *signature, now time.Time) error {
	if s.kind != kindBinary {
		return fmt.Errorf("is one of the kind %#x, not of a file as it is; sign with gpg --detach-sign, without --textmode", byte(s.kind))
	}
	if now.Before(s.created) {
		now = s.created
	}
	for _, e := range k.entities {
		if s.by(e.primary.fingerprint) {
			return e.verify(e.primary, nil, message, s, now)
		}
		for _, sub := range e.subkeys {
			if s.by(sub.fingerprint) {
				return e.verify(sub.publicKey, sub, message, s, now)
			}
		}
	}
	return fmt.Errorf("made by key %s, expected %v", s.maker(), k)
}

// verify checks a signature by the primary key or by a subkey, and that the key may sign.
func (e *entity) verify(k *publicKey, sub *subkey, message []byte, s *signature, now time.Time) error {
	err := k.verify(s, message)
	if err == nil {
		err = e.mayGive(s, now)
	}
	if err == nil && sub != nil {
		err = sub.mayGive(e.primary, s, now)
	}
	if err == nil && sub == nil && !e.maySign() {
		err = errors.New("the key is not made to sign")
	}
	if err == nil && s.expires != 0 && now.After(s.created.Add(s.expires)) {
		err = fmt.Errorf("it expired on %v", day(s.created.Add(s.expires)))
	}
	if err != nil {
		return fmt.Errorf("by key %v: %w", k.fingerprint, err)
	}
	return nil
}

// about are the signatures in which the key says what holds for it. Where there are two, each has to allow what is asked.
func (e *entity) about() []*signature {
	return slices.DeleteFunc([]*signature{e.direct, e.user}, func(s *signature) bool { return s == nil })
}

// maySign: a key that says nothing on what it is for may sign.
func (e *entity) maySign() bool {
	return !slices.ContainsFunc(e.about(), func(s *signature) bool { return s.flags >= 0 && s.flags&flagSign == 0 })
}

// mayGive checks the primary key, which has to be valid whichever key signed.
func (e *entity) mayGive(s *signature, now time.Time) error {
	if e.revoked {
		return fmt.Errorf("the key %v is revoked", e.primary.fingerprint)
	}
	about := e.about()
	if len(about) == 0 {
		return errors.Join(fmt.Errorf("the key %v has no valid signature by itself", e.primary.fingerprint), e.problem)
	}
	for _, self := range about {
		if self.expires != 0 && now.After(self.created.Add(self.expires)) {
			return fmt.Errorf("the signature of the key %v by itself has expired", e.primary.fingerprint)
		}
		if err := e.primary.validAt(s, self.keyExpires, now); err != nil {
			return err
		}
	}
	return nil
}

// mayGive checks a subkey, and that it says itself whose it is.
func (k *subkey) mayGive(primary *publicKey, s *signature, now time.Time) error {
	switch b := k.binding; {
	case k.revoked:
		return errors.New("the subkey is revoked")
	case b == nil:
		return errors.New("the subkey is not bound to its primary key")
	case b.flags < 0 || b.flags&flagSign == 0:
		return errors.New("the subkey is not made to sign")
	case b.embedded == nil || b.embedded.kind != kindPrimaryBinding || k.verify(b.embedded, k.hashed(primary.hashed(nil))) != nil:
		return errors.New("the subkey is not bound to its primary key by itself")
	}
	return k.validAt(s, k.binding.keyExpires, now)
}

func (k *publicKey) validAt(s *signature, expires time.Duration, now time.Time) error {
	if s.created.Before(k.created) {
		return fmt.Errorf("it is older than the key %v", k.fingerprint)
	}
	if end := k.created.Add(expires); expires != 0 && !now.Before(end) {
		return fmt.Errorf("the key %v expired on %v", k.fingerprint, day(end))
	}
	return nil
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }
