package signature

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	pgp "github.com/ProtonMail/go-crypto/openpgp/v2"
)

// Kinds of armor (RFC 9580, 6.2).
const (
	armorPublicKey = "PGP PUBLIC KEY BLOCK"
	armorSignature = "PGP SIGNATURE"
	armorBegin     = "-----BEGIN PGP "
)

var errSecretKey = errors.New("is a secret key: take it away from here, and export the public one (gpg --export)")

// isPGP reports whether data is of OpenPGP: armored, or binary, in which the first bit is always set and of text in ASCII never.
func isPGP(data []byte) bool {
	return bytes.Contains(data, []byte(armorBegin)) || len(data) > 0 && data[0] >= 0x80
}

// unarmor returns the bytes in armored blocks of one kind, or data itself if it is not armored. The library reads one block, whether it has
// an end or not.
func unarmor(data []byte, kind string) ([]byte, error) {
	_, rest, found := bytes.Cut(data, []byte(armorBegin))
	if !found {
		return data, nil
	}
	var all []byte
	for block := range bytes.SplitSeq(rest, []byte(armorBegin)) {
		decoded, err := armor.Decode(io.MultiReader(strings.NewReader(armorBegin), bytes.NewReader(block)))
		if err != nil {
			return nil, fmt.Errorf("is damaged: the armor has no beginning: %w", err)
		}
		switch {
		case decoded.Type == pgp.PrivateKeyType:
			return nil, errSecretKey
		case decoded.Type != kind:
			return nil, fmt.Errorf("holds a %s, want a %s", inWords(decoded.Type), inWords(kind))
		case !bytes.Contains(block, []byte("\n-----END "+kind+"-----")):
			return nil, errors.New("is cut off: the armor has no end")
		}
		b, err := io.ReadAll(decoded.Body)
		if err != nil {
			return nil, fmt.Errorf("is damaged: the armor holds no base64: %w", err)
		}
		all = append(all, b...)
	}
	return all, nil
}

func inWords(armor string) string { return strings.ToLower(strings.TrimPrefix(armor, "PGP ")) }

// next returns the next packet, and of one that the library leaves out the reason. At the end it returns io.EOF.
func next(r *packet.Reader) (p packet.Packet, unsupported, err error) {
	p, err = r.NextWithUnsupported()
	if u, ok := p.(*packet.UnsupportedPacket); ok && err == nil {
		return u.IncompletePacket, u.Error, nil
	}
	if err != nil && err != io.EOF {
		err = fmt.Errorf("is damaged: %w", err)
	}
	return p, nil, err
}

// checkKeyring refuses what the library would read keys from, or leave out: secret keys, and revocations that it does not understand, for
// that is no reason to trust the key. The first error is why something was left out, the second one why nothing is read.
func checkKeyring(data []byte) (unsupported, err error) {
	r := packet.NewReader(bytes.NewReader(data))
	for {
		p, reason, err := next(r)
		if _, secret := p.(*packet.PrivateKey); secret {
			return nil, errSecretKey
		}
		if err == io.EOF {
			return unsupported, nil
		}
		if err != nil {
			return nil, err
		}
		if reason == nil {
			continue
		}
		unsupported = reason
		if s, ok := p.(*packet.Signature); ok && (s.SigType == packet.SigTypeKeyRevocation || s.SigType == packet.SigTypeSubkeyRevocation) {
			return nil, fmt.Errorf("holds a revocation that is not understood, and may be valid: %w", reason)
		}
	}
}

// parsePGPSignatures reads detached signatures, armored or binary. The first error is why some of them were left out, the second one why
// none is read.
func parsePGPSignatures(file []byte) (all []*packet.Signature, unsupported, err error) {
	file, err = unarmor(file, armorSignature)
	if err != nil {
		return nil, nil, err
	}
	r := packet.NewReader(bytes.NewReader(file))
	for {
		p, reason, err := next(r)
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, nil, err
		}
		switch p := p.(type) {
		case packet.Padding:
		case *packet.Signature:
			if reason != nil {
				unsupported = errors.Join(unsupported, reason)
			} else {
				all = append(all, p)
			}
		default:
			return nil, nil, errors.New("is not detached: it holds more than signatures; sign with gpg --detach-sign")
		}
	}
	if len(all) == 0 && unsupported == nil {
		return nil, nil, errors.New("is empty")
	}
	return all, unsupported, nil
}
