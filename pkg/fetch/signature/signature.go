// Package signature verifies who made a small file: a detached signature over it, by a key that is trusted beforehand.
//
// Three kinds of signatures are known: those of minisign (both forms: of the file, and of its BLAKE2b hash), those of OpenBSD's
// signify, whose keys are the same, and those of OpenPGP. Which one a key is for is recognised by its content.
//
// OpenPGP is read strictly. A key counts only with a valid signature by itself, a subkey only if it is bound to its primary key in both
// directions; the one that signs has to be made for it; what is revoked or has expired, for whatever reason, does not count; neither do
// SHA-1, MD5, DSA and RSA below 2048 bits.
//
// Formats: https://jedisct1.github.io/minisign/, signify(1), RFC 9580. Ed25519 is Go's, OpenPGP that of github.com/ProtonMail/go-crypto.
package signature

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Key is one public key, or several of one kind, any of which may have signed.
type Key interface {
	// Suffixes are what the names of signatures end in, behind the whole name of the signed file, the usual one first.
	Suffixes() []string
	// Verify returns nil only if the signature is one of the message and made by the key, which is valid now. Where the clock says a
	// time before the signature was made, the clock is taken to be wrong, as it is on machines without a battery, and the signature's
	// time for now.
	Verify(message, signature []byte, now time.Time) error
	// String names the key by its id, or the keys.
	String() string
}

// ParseKey reads a public key: a file as minisign or signify writes it, its second line alone ("RW…"), or a key or keyring of OpenPGP,
// armored or binary.
func ParseKey(data []byte) (Key, error) {
	switch {
	case len(strings.TrimSpace(string(data))) == 0:
		return nil, errors.New("public key: is empty")
	case isPGP(data):
		keys, err := parsePGPKeys(data)
		if err != nil {
			return nil, fmt.Errorf("public key: %w", err)
		}
		return keys, nil
	}
	keys, err := parseEd25519Keys(string(data))
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	return keys, nil
}

// Suffixes returns the suffixes of every kind of key, for a look at what lies beside a file.
func Suffixes() []string {
	all := slices.Concat(ed25519Keys{}.Suffixes(), pgpKeys{}.Suffixes())
	slices.Sort(all)
	return slices.Compact(all)
}
