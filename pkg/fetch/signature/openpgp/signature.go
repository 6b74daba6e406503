package openpgp

import (
	"crypto"
	_ "crypto/sha256" // for crypto.Hash.New
	_ "crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"
)

// A signatureKind is what a signature says (RFC 9580, 5.2.1).
type signatureKind byte

const (
	kindBinary           signatureKind = 0x00
	kindGenericCert      signatureKind = 0x10 // to 0x13, with more or less care
	kindPositiveCert     signatureKind = 0x13
	kindSubkeyBinding    signatureKind = 0x18
	kindPrimaryBinding   signatureKind = 0x19
	kindDirectKey        signatureKind = 0x1f
	kindKeyRevocation    signatureKind = 0x20
	kindSubkeyRevocation signatureKind = 0x28
	kindCertRevocation   signatureKind = 0x30
)

// Subpackets of RFC 9580, 5.2.3.7, that change what a signature means here.
const (
	subCreated     = 2
	subExpires     = 3
	subKeyExpires  = 9
	subIssuer      = 16
	subKeyFlags    = 27
	subEmbedded    = 32
	subFingerprint = 33

	criticalBit = 0x80
	flagSign    = 0x02
)

// harmless are the subpackets that change nothing here, and so may be marked as critical: exportable, revocable, preferences,
// key server, primary user, policy, signer's user, reason of a revocation, features.
const harmless = "\x04\x07\x0b\x15\x16\x17\x18\x19\x1a\x1c\x1d\x1e\x22\x27"

// A signature is one that has been read, and not yet verified.
type signature struct {
	kind      signatureKind
	algorithm byte
	hash      crypto.Hash
	trailer   []byte // is hashed behind what is signed
	material  []byte // the numbers of the algorithm

	created    time.Time
	expires    time.Duration // after created; 0 for never
	keyExpires time.Duration // after the creation of the key that it is about; 0 for never
	flags      int           // of that key; -1 for none
	issuer     keyID
	issuerIs   *fingerprint // nil if only the id is known
	embedded   *signature
}

func parseSignature(body []byte) (*signature, error) { return parseSignatureAt(body, 0) }

// parseSignatureAt reads a signature that is embedded in so many others, of which one at most makes sense.
func parseSignatureAt(body []byte, depth int) (*signature, error) {
	r := reader{rest: body}
	if version := r.number(1); version != signatureVersion {
		return nil, fmt.Errorf("signatures of version %d are not supported, only those of version %d", version, signatureVersion)
	}
	s := &signature{kind: signatureKind(r.number(1)), algorithm: byte(r.number(1)), flags: -1}
	hash := r.number(1)
	hashed, err := r.bytes(r.number(2))
	if err != nil {
		return nil, err
	}
	fields := body[:len(body)-len(r.rest)]
	s.trailer = append(append([]byte{}, fields...), signatureVersion, 0xff)
	s.trailer = binary.BigEndian.AppendUint32(s.trailer, uint32(len(fields)))
	unhashed, err := r.bytes(r.number(2))
	if err != nil {
		return nil, err
	}
	if _, err := r.bytes(2); err != nil { // the digest's beginning, to give up early
		return nil, err
	}
	s.material = r.rest
	if err := s.subpackets(hashed, true, depth); err != nil {
		return nil, err
	}
	if err := s.subpackets(unhashed, false, depth); err != nil {
		return nil, err
	}
	if s.created.IsZero() {
		return nil, errors.New("does not say when it was made")
	}
	s.hash, err = hashOf(hash)
	return s, err
}

// hashOf knows the hashes of RFC 9580, 9.5, that are not broken.
func hashOf(number uint64) (crypto.Hash, error) {
	switch number {
	case 1, 2, 3:
		return 0, fmt.Errorf("uses a broken hash, %s; sign with --digest-algo SHA512", []string{"MD5", "SHA-1", "RIPEMD-160"}[number-1])
	case 8:
		return crypto.SHA256, nil
	case 9:
		return crypto.SHA384, nil
	case 10:
		return crypto.SHA512, nil
	}
	return 0, fmt.Errorf("uses hash %d, which is not supported; sign with --digest-algo SHA512", number)
}

// subpackets reads those that are signed, or those that are not: of the latter only what helps to find a key, or is a signature itself.
func (s *signature) subpackets(data []byte, signed bool, depth int) error {
	r := reader{rest: data}
	for len(r.rest) > 0 {
		size := r.number(1)
		switch {
		case size == 255:
			size = r.number(4)
		case size >= 192:
			size = (size-192)<<8 + r.number(1) + 192
		}
		b, err := r.bytes(size)
		if err != nil || len(b) == 0 {
			return errMalformed
		}
		kind, critical := b[0]&^criticalBit, b[0]&criticalBit != 0
		if err := s.subpacket(kind, reader{rest: b[1:]}, signed, critical, depth); err != nil {
			return err
		}
	}
	return nil
}

func (s *signature) subpacket(kind byte, r reader, signed, critical bool, depth int) error {
	size := len(r.rest)
	seconds := func() (time.Duration, error) {
		if size != 4 {
			return 0, errMalformed
		}
		return time.Duration(r.number(4)) * time.Second, nil
	}
	var err error
	switch {
	case kind == subIssuer && size == len(keyID{}):
		s.issuer = keyID(r.rest)
	case kind == subFingerprint && size == 1+fingerprintSize && r.rest[0] == keyVersion:
		f := fingerprint(r.rest[1:])
		if signed || s.issuerIs == nil {
			s.issuerIs = &f
		}
	case kind == subEmbedded && depth == 0:
		// One that cannot be read is as good as none: it is needed only for keys that sign.
		if embedded, err := parseSignatureAt(r.rest, depth+1); err == nil {
			s.embedded = embedded
		}
	case !signed:
	case kind == subCreated:
		var since time.Duration
		since, err = seconds()
		s.created = time.Unix(int64(since/time.Second), 0)
	case kind == subExpires:
		s.expires, err = seconds()
	case kind == subKeyExpires:
		s.keyExpires, err = seconds()
	case kind == subKeyFlags:
		if s.flags = 0; size > 0 {
			s.flags = int(r.rest[0])
		}
	case critical && strings.IndexByte(harmless, kind) < 0:
		err = fmt.Errorf("demands that subpacket %d is understood, which it is not", kind)
	}
	return err
}

// by reports whether the signature says that it was made by a key.
func (s *signature) by(f fingerprint) bool {
	if s.issuerIs != nil {
		return *s.issuerIs == f
	}
	return s.issuer == f.id()
}

// maker names the key that the signature says it was made by.
func (s *signature) maker() string {
	switch {
	case s.issuerIs != nil:
		return s.issuerIs.String()
	case s.issuer != (keyID{}):
		return s.issuer.String()
	}
	return "(not named)"
}
