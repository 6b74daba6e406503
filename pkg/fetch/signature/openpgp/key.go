package openpgp

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha1"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// Algorithms of RFC 9580, 9.1.
const (
	algorithmRSA           = 1
	algorithmRSASign       = 3
	algorithmECDSA         = 19
	algorithmEdDSALegacy   = 22
	algorithmEd25519       = 27
	smallestRSA            = 2048 // bits
	keyVersion             = 4
	signatureVersion       = 4
	fingerprintSize        = sha1.Size
	oidP256                = "\x2a\x86\x48\xce\x3d\x03\x01\x07"
	oidP384                = "\x2b\x81\x04\x00\x22"
	oidP521                = "\x2b\x81\x04\x00\x23"
	oidEd25519             = "\x2b\x06\x01\x04\x01\xda\x47\x0f\x01"
	compressedEd25519Point = 0x40
)

// A fingerprint is the SHA-1 of a key: RFC 9580 has no other for version 4, and all that depends on it here is which key is tried first.
type fingerprint [fingerprintSize]byte

func (f fingerprint) String() string { return fmt.Sprintf("%X", f[:]) }

// id is the key id, the fingerprint's last eight bytes.
func (f fingerprint) id() keyID { return keyID(f[fingerprintSize-8:]) }

type keyID [8]byte

func (id keyID) String() string { return fmt.Sprintf("%X", id[:]) }

// A publicKey is a primary key or a subkey.
type publicKey struct {
	body        []byte
	created     time.Time
	algorithm   byte
	fingerprint fingerprint
	// key is *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey; nil if unusable says why it cannot be used.
	key      crypto.PublicKey
	unusable error
}

// errVersion is for keys of other versions than 4, which GnuPG and most others make.
type errVersion byte

func (v errVersion) Error() string {
	return fmt.Sprintf("keys of version %d are not supported, only those of version %d", byte(v), keyVersion)
}

func parsePublicKey(body []byte) (*publicKey, error) {
	r := reader{rest: body}
	version := r.number(1)
	if version != keyVersion {
		return nil, errVersion(version)
	}
	k := &publicKey{body: body, created: time.Unix(int64(r.number(4)), 0)}
	k.algorithm = byte(r.number(1))
	if r.short || len(body) > 0xffff {
		return nil, errMalformed
	}
	k.fingerprint = fingerprint(sha1.Sum(k.hashed(nil)))
	k.key, k.unusable = parseMaterial(k.algorithm, &r)
	return k, nil
}

// hashed appends what of a key goes into signatures and into its fingerprint.
func (k *publicKey) hashed(b []byte) []byte {
	return append(append(b, 0x99, byte(len(k.body)>>8), byte(len(k.body))), k.body...)
}

func parseMaterial(algorithm byte, r *reader) (crypto.PublicKey, error) {
	switch algorithm {
	case algorithmRSA, algorithmRSASign:
		return parseRSA(r)
	case algorithmECDSA:
		return parseECDSA(r)
	case algorithmEdDSALegacy:
		oid, err1 := r.bytes(r.number(1))
		point, err2 := r.mpi()
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		if string(oid) != oidEd25519 || len(point) != ed25519.PublicKeySize+1 || point[0] != compressedEd25519Point {
			return nil, errors.New("EdDSA on another curve than Ed25519 is not supported")
		}
		return ed25519.PublicKey(point[1:]), nil
	case algorithmEd25519:
		point, err := r.bytes(ed25519.PublicKeySize)
		return ed25519.PublicKey(point), err
	}
	return nil, fmt.Errorf("algorithm %d is not supported, only RSA, ECDSA and Ed25519", algorithm)
}

func parseRSA(r *reader) (crypto.PublicKey, error) {
	n, err1 := r.mpi()
	e, err2 := r.mpi()
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	modulus, exponent := new(big.Int).SetBytes(n), new(big.Int).SetBytes(e)
	if modulus.BitLen() < smallestRSA {
		return nil, fmt.Errorf("RSA of %d bits is too weak, want %d or more", modulus.BitLen(), smallestRSA)
	}
	if exponent.BitLen() > 31 {
		return nil, errors.New("RSA with that exponent is not supported")
	}
	return &rsa.PublicKey{N: modulus, E: int(exponent.Int64())}, nil
}

func parseECDSA(r *reader) (crypto.PublicKey, error) {
	oid, err1 := r.bytes(r.number(1))
	point, err2 := r.mpi()
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	switch string(oid) {
	case oidP256:
		return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	case oidP384:
		return ecdsa.ParseUncompressedPublicKey(elliptic.P384(), point)
	case oidP521:
		return ecdsa.ParseUncompressedPublicKey(elliptic.P521(), point)
	}
	return nil, errors.New("ECDSA on another curve than P-256, P-384 and P-521 is not supported")
}

var errWrong = errors.New("is wrong: what is signed is something else")

// verify checks a signature over content, which is hashed with the signature's own fields behind it.
func (k *publicKey) verify(s *signature, content []byte) error {
	if k.unusable != nil {
		return k.unusable
	}
	if k.algorithm != s.algorithm {
		return errMalformed
	}
	h := s.hash.New()
	h.Write(content)
	h.Write(s.trailer)
	digest := h.Sum(nil)
	ok, err := k.check(s, digest)
	if err != nil {
		return err
	}
	if !ok {
		return errWrong
	}
	return nil
}

func (k *publicKey) check(s *signature, digest []byte) (bool, error) {
	r := reader{rest: s.material}
	if k.algorithm == algorithmEd25519 {
		raw, err := r.bytes(ed25519.SignatureSize)
		return err == nil && ed25519.Verify(k.key.(ed25519.PublicKey), digest, raw), err
	}
	first, err := r.mpi()
	if err != nil {
		return false, err
	}
	if key, ok := k.key.(*rsa.PublicKey); ok {
		size := key.Size()
		if len(first) > size {
			return false, errMalformed
		}
		return rsa.VerifyPKCS1v15(key, s.hash, digest, padded(first, size)) == nil, nil
	}
	second, err := r.mpi()
	if err != nil {
		return false, err
	}
	switch key := k.key.(type) {
	case *ecdsa.PublicKey:
		return ecdsa.Verify(key, digest, new(big.Int).SetBytes(first), new(big.Int).SetBytes(second)), nil
	case ed25519.PublicKey:
		const half = ed25519.SignatureSize / 2
		if len(first) > half || len(second) > half {
			return false, errMalformed
		}
		return ed25519.Verify(key, digest, append(padded(first, half), padded(second, half)...)), nil
	}
	return false, errMalformed
}

// padded puts back the zeros that an integer has lost at its beginning.
func padded(b []byte, size int) []byte {
	return append(make([]byte, size-len(b), size*2), b...)
}
