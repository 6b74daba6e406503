package openpgp

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// Packet types of RFC 9580, 5.
const (
	packetSignature     = 2
	packetSecretKey     = 5
	packetPublicKey     = 6
	packetSecretSubkey  = 7
	packetMarker        = 10
	packetTrust         = 12
	packetUserID        = 13
	packetPublicSubkey  = 14
	packetUserAttribute = 17
	packetPadding       = 21
)

// Kinds of armor.
const (
	armorPublicKey  = "PUBLIC KEY BLOCK"
	armorPrivateKey = "PRIVATE KEY BLOCK"
	armorSignature  = "SIGNATURE"
)

var errMalformed = errors.New("is damaged: its packets are not those of OpenPGP")

// errUnknownLength is for packets whose length stands nowhere, which only whole messages have.
var errUnknownLength = errors.New("is neither a key nor detached; sign with gpg --detach-sign")

// A packet is a piece of a keyring or of a signature.
type packet struct {
	kind byte
	body []byte
}

// Recognise reports whether data is of OpenPGP, as far as its beginning tells.
func Recognise(data []byte) bool {
	if strings.Contains(string(data), "-----BEGIN PGP ") {
		return true
	}
	p, _, err := nextPacket(data)
	return err == nil && (p.kind == packetPublicKey || p.kind == packetSecretKey || p.kind == packetSignature)
}

// unarmor returns the bytes in armored blocks of one kind (RFC 9580, 6.2), or data itself if it is not armored. The checksum of an armor is
// not looked at, as the RFC demands: what it protects is signed.
func unarmor(data []byte, kind string) ([]byte, error) {
	const begin = "-----BEGIN PGP "
	text := strings.ReplaceAll(string(data), "\r\n", "\n")
	if !strings.Contains(text, begin) {
		return data, nil
	}
	var all []byte
	for {
		_, rest, found := strings.Cut(text, begin)
		if !found {
			break
		}
		line, block, _ := strings.Cut(rest, "\n")
		name, ok := strings.CutSuffix(strings.TrimRight(line, " \t"), "-----")
		content, after, closed := strings.Cut(block, "-----END PGP "+name+"-----")
		switch {
		case ok && name == armorPrivateKey:
			return nil, errSecretKey
		case !ok || name != kind:
			return nil, fmt.Errorf("holds a %s, want a %s", strings.ToLower(strings.Trim(line, "- \t")), strings.ToLower(kind))
		case !closed:
			return nil, errors.New("is cut off: the armor has no end")
		}
		b, err := unarmorBlock(content)
		if err != nil {
			return nil, err
		}
		all = append(all, b...)
		text = after
	}
	return all, nil
}

// unarmorBlock reads headers, an empty line, base64, and a checksum that begins with "=".
func unarmorBlock(content string) ([]byte, error) {
	var body strings.Builder
	headers := true
	for line := range strings.Lines(content) {
		line = strings.TrimSpace(line)
		switch {
		case headers && strings.Contains(line, ": "):
		case headers && line == "":
			headers = false
		case strings.HasPrefix(line, "="):
		default:
			headers = false
			body.WriteString(line)
		}
	}
	b, err := base64.StdEncoding.DecodeString(body.String())
	if err != nil {
		return nil, fmt.Errorf("is damaged: the armor holds no base64: %w", err)
	}
	return b, nil
}

// packets takes data apart.
func packets(data []byte) ([]packet, error) {
	var all []packet
	for len(data) > 0 {
		p, rest, err := nextPacket(data)
		if err != nil {
			return nil, err
		}
		all, data = append(all, p), rest
	}
	return all, nil
}

// nextPacket reads a header in either form (RFC 9580, 4.2). Keys and signatures have no partial and no unknown lengths.
func nextPacket(data []byte) (p packet, rest []byte, err error) {
	r := reader{rest: data}
	head := r.number(1)
	var size uint64
	switch {
	case head&0x80 == 0:
		return p, nil, errMalformed
	case head&0x40 != 0:
		p.kind = byte(head & 0x3f)
		switch first := r.number(1); {
		case first < 192:
			size = first
		case first < 224:
			size = (first-192)<<8 + r.number(1) + 192
		case first == 255:
			size = r.number(4)
		default:
			return p, nil, errUnknownLength
		}
	case head&3 == 3:
		return p, nil, errUnknownLength
	default:
		p.kind = byte(head >> 2 & 0xf)
		size = r.number(1 << (head & 3))
	}
	if p.body, err = r.bytes(size); err != nil {
		return p, nil, err
	}
	return p, r.rest, nil
}

// A reader reads fields. What is cut off is zero, and an error of the next call of bytes.
type reader struct {
	rest  []byte
	short bool
}

// number reads a big-endian number of up to eight bytes.
func (r *reader) number(size int) uint64 {
	if len(r.rest) < size {
		r.rest, r.short = nil, true
		return 0
	}
	var b [8]byte
	copy(b[8-size:], r.rest)
	r.rest = r.rest[size:]
	return binary.BigEndian.Uint64(b[:])
}

func (r *reader) bytes(size uint64) ([]byte, error) {
	if r.short || size > uint64(len(r.rest)) {
		return nil, errMalformed
	}
	b := r.rest[:size:size]
	r.rest = r.rest[size:]
	return b, nil
}

// mpi reads a multiprecision integer (RFC 9580, 3.2): its length in bits, and its bytes.
func (r *reader) mpi() ([]byte, error) {
	bits := r.number(2)
	return r.bytes((bits + 7) / 8)
}
