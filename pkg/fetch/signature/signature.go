// Package signature verifies who made a small file: a detached signature over it, by a key that is trusted beforehand.
//
// Three kinds of signatures are known: those of minisign (both forms: of the file, and of its BLAKE2b hash), those of OpenBSD's
// signify, whose keys are the same, and those of OpenPGP. Which one a key is for is recognised by its content.
//
// Formats: https://jedisct1.github.io/minisign/, signify(1), RFC 9580 (see package openpgp).
package signature

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/signature/openpgp"
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
	case openpgp.Recognise(data):
		ring, err := openpgp.ParseKeyring(data)
		if err != nil {
			return nil, fmt.Errorf("public key: %w", err)
		}
		return pgpKey{ring}, nil
	}
	keys, err := parseEd25519Keys(string(data))
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	return keys, nil
}

// Suffixes returns the suffixes of every kind of key, for a look at what lies beside a file.
func Suffixes() []string {
	all := slices.Concat(ed25519Keys{}.Suffixes(), pgpKey{}.Suffixes())
	slices.Sort(all)
	return slices.Compact(all)
}

// A pgpKey is a keyring of OpenPGP.
type pgpKey struct{ openpgp.Keyring }

func (pgpKey) Suffixes() []string { return []string{".asc", ".sig", ".gpg"} }

func (k pgpKey) Verify(message, signature []byte, now time.Time) error {
	if err := k.Keyring.Verify(message, signature, now); err != nil {
		return fmt.Errorf("signature: %w", err)
	}
	return nil
}
