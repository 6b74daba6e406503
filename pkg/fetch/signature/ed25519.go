package signature

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/crypto/blake2b"
)

// The files of minisign and signify are lines of text: a comment, then bytes in base64, which begin with two letters for the algorithm
// and the key's id of eight bytes. Behind the signature minisign writes a second comment, and a signature over the first one and that
// comment.
const (
	untrusted = "untrusted comment: "
	trusted   = "trusted comment: "

	algorithmSize = 2
	idSize        = 8
	headSize      = algorithmSize + idSize

	algorithmPlain     = "Ed" // Ed25519 of the file
	algorithmPrehashed = "ED" // Ed25519 of the file's BLAKE2b-512
)

// A keyID is the random number that tells keys apart.
type keyID [idSize]byte

// String is the id as minisign prints it.
func (id keyID) String() string { return fmt.Sprintf("%016X", binary.LittleEndian.Uint64(id[:])) }

type ed25519Key struct {
	id  keyID
	key ed25519.PublicKey
}

type ed25519Keys []ed25519Key

// parseEd25519Keys reads keys in lines of base64; comments in between are left out.
func parseEd25519Keys(text string) (ed25519Keys, error) {
	var keys ed25519Keys
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, strings.TrimSpace(untrusted)) {
			continue
		}
		b, err := decode(line, headSize+ed25519.PublicKeySize)
		if err != nil {
			return nil, fmt.Errorf("want a key of minisign or signify (RW…) or of OpenPGP: %w", err)
		}
		if string(b[:algorithmSize]) != algorithmPlain {
			return nil, fmt.Errorf("want a key of minisign or signify (RW…) or of OpenPGP: algorithm %q is neither", b[:algorithmSize])
		}
		keys = append(keys, ed25519Key{keyID(b[algorithmSize:headSize]), b[headSize:]})
	}
	if len(keys) == 0 {
		return nil, errors.New("holds only comments")
	}
	return keys, nil
}

// decode reads base64 that stands for so many bytes. It never shows the text: a person may have given the secret key.
func decode(text string, size int) ([]byte, error) {
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("not base64: %w", err)
	}
	if len(b) != size {
		return nil, fmt.Errorf("is %d bytes long, want %d", len(b), size)
	}
	return b, nil
}

func (ed25519Keys) Suffixes() []string { return []string{".minisig", ".sig"} }

func (k ed25519Keys) String() string {
	ids := make([]string, len(k))
	for i, key := range k {
		ids[i] = key.id.String()
	}
	return strings.Join(ids, ", ")
}

// An ed25519Signature is what is in a file of minisign or signify.
type ed25519Signature struct {
	prehashed bool
	id        keyID
	signature []byte
	// comment and global are minisign's trusted comment and the signature over it; global is nil in signify's files.
	comment string
	global  []byte
}

func parseEd25519Signature(data []byte) (s ed25519Signature, err error) {
	lines := strings.Split(strings.TrimSuffix(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n"), "\n")
	if len(lines) != 2 && len(lines) != 4 || !strings.HasPrefix(lines[0], untrusted) {
		return s, errors.New("is neither minisign's nor signify's: want a line that begins with \"untrusted comment:\", a line of base64, and of minisign two more")
	}
	b, err := decode(lines[1], headSize+ed25519.SignatureSize)
	if err != nil {
		return s, err
	}
	s.id, s.signature = keyID(b[algorithmSize:headSize]), b[headSize:]
	switch algorithm := string(b[:algorithmSize]); algorithm {
	case algorithmPlain:
	case algorithmPrehashed:
		s.prehashed = true
	default:
		return s, fmt.Errorf("algorithm %q is not Ed25519", algorithm)
	}
	if len(lines) == 2 {
		if s.prehashed {
			return s, errors.New("is cut off: the trusted comment is missing")
		}
		return s, nil
	}
	comment, ok := strings.CutPrefix(lines[2], trusted)
	if !ok {
		return s, errors.New("has no trusted comment in its third line")
	}
	s.comment = comment
	s.global, err = decode(lines[3], ed25519.SignatureSize)
	return s, err
}

// Verify has no use for the time: these keys do not expire.
func (k ed25519Keys) Verify(message, signature []byte, _ time.Time) error {
	s, err := parseEd25519Signature(signature)
	if err != nil {
		return fmt.Errorf("signature: %w", err)
	}
	signed := message
	if s.prehashed {
		hash := blake2b.Sum512(message)
		signed = hash[:]
	}
	found := false
	for _, key := range k {
		if key.id != s.id {
			continue
		}
		found = true
		if !ed25519.Verify(key.key, signed, s.signature) {
			continue
		}
		if s.global != nil && !ed25519.Verify(key.key, append(bytes.Clone(s.signature), s.comment...), s.global) {
			return fmt.Errorf("signature: by key %v is wrong: its trusted comment was changed", s.id)
		}
		return nil
	}
	if !found {
		return fmt.Errorf("signature: made by key %v, expected %v", s.id, k)
	}
	return fmt.Errorf("signature: by key %v is wrong: the signed file is another", s.id)
}
