package fetch

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"
)

// A Digest is a fingerprint of an image, of the kind that coreutils' sha256sum and sha512sum print.
type Digest struct {
	// Algorithm is "sha256" or "sha512"; empty in the zero Digest, which stands for none.
	Algorithm string
	// Hex is the fingerprint in lower-case hexadecimal.
	Hex string
}

// newHash returns the hash of an algorithm by its name.
func newHash(algorithm string) (hash.Hash, bool) {
	switch algorithm {
	case "sha256":
		return sha256.New(), true
	case "sha512":
		return sha512.New(), true
	}
	return nil, false
}

// ParseDigest reads a fingerprint in hexadecimal of either case.
func ParseDigest(algorithm, text string) (Digest, error) {
	h, ok := newHash(algorithm)
	if !ok {
		return Digest{}, fmt.Errorf("digest %s: not one of sha256, sha512", algorithm)
	}
	bytes, err := hex.DecodeString(text)
	if err != nil {
		return Digest{}, fmt.Errorf("digest %s=%s: not hexadecimal: %w", algorithm, text, err)
	}
	if size := h.Size(); len(bytes) != size {
		return Digest{}, fmt.Errorf("digest %s=%s: has %d hexadecimal digits, want %d", algorithm, text, len(text), 2*size)
	}
	return Digest{algorithm, strings.ToLower(text)}, nil
}

// String returns the digest as "sha256:…".
func (d Digest) String() string {
	if d == (Digest{}) {
		return "none"
	}
	return d.Algorithm + ":" + d.Hex
}

// DigestError says that an image is another than the one that was asked for.
type DigestError struct{ Want, Got Digest }

// Error gives both digests.
func (e *DigestError) Error() string {
	return fmt.Sprintf("the image is not the expected one: its %s is %s, expected %s", e.Want.Algorithm, e.Got.Hex, e.Want.Hex)
}

// Permanent is true: the same file has the same digest.
func (*DigestError) Permanent() bool { return true }
