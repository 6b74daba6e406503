// Package mediacheck verifies an ISO 9660 image by the checksum that its maker put into it, in the application's part of its primary volume
// descriptor. There are two kinds: that of implantisomd5 (package isomd5sum; Fedora and its relatives, and what dracut's rd.live.check verifies),
// and that of tagmedia (package checkmedia; SUSE and KIWI). Both leave out what has to differ from medium to medium, so the sum is not that of the
// file. It guards against damage, not against people: whoever changes the image can change the sum.
//
// The formats are described in the README of https://github.com/openSUSE/checkmedia.
package mediacheck

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"strconv"
	"strings"
)

// Where things are, in bytes: ECMA-119, 8.4.
const (
	blockSize      = 2048
	descriptors    = 16 * blockSize
	maxDescriptors = 64
	sizeAt         = 80
	applicationAt  = 883
	applicationLen = 512
)

// ErrNone says that an image has no checksum in it.
var ErrNone = errors.New("the image has no checksum in it (implantisomd5 and tagmedia put one in)")

// A MismatchError says that an image is not what its maker made.
type MismatchError struct{ Algorithm, Want, Got string }

// Error shows both sums.
func (e *MismatchError) Error() string {
	return fmt.Sprintf("the image is damaged: its %s is %s, and it should be %s", e.Algorithm, e.Got, e.Want)
}

// A span is part of an image, in bytes, that counts as if it held only this byte.
type span struct {
	from, to int64
	as       byte
}

// A Sum is the checksum of an image, and what it is taken over.
type Sum struct {
	// Algorithm is md5, sha1, sha224, sha256, sha384 or sha512.
	Algorithm string
	// Size is how much of the image is read, in bytes.
	Size    int64
	want    []byte
	blanked []span
}

func algorithms() map[string]func() hash.Hash {
	return map[string]func() hash.Hash{
		"md5": md5.New, "sha1": sha1.New, "sha224": sha256.New224, "sha256": sha256.New, "sha384": sha512.New384, "sha512": sha512.New,
	}
}

// Find reads the checksum of the image r. The error is ErrNone if there is none.
func Find(r io.ReaderAt) (*Sum, error) {
	s, err := find(r)
	if err != nil {
		return nil, fmt.Errorf("find the image's checksum: %w", err)
	}
	return s, nil
}

func find(r io.ReaderAt) (*Sum, error) {
	at, descriptor, err := primary(r)
	if err != nil {
		return nil, err
	}
	size := int64(binary.LittleEndian.Uint32(descriptor[sizeAt:])) * blockSize
	tags := parse(descriptor[applicationAt : applicationAt+applicationLen])
	application := span{at + applicationAt, at + applicationAt + applicationLen, ' '}
	if value, ok := tags["iso md5sum"]; ok {
		skip, err := blocks(tags, "skipsectors", size)
		if err != nil {
			return nil, err
		}
		return newSum("md5", value, size-skip, application)
	}
	for name := range algorithms() {
		value, ok := tags[name+"sum"]
		if !ok {
			continue
		}
		pad, err := blocks(tags, "pad", size)
		if err != nil {
			return nil, err
		}
		// The boot sector is changed by isohybrid, and padding may be missing.
		blanked := []span{{0, 512, 0}, application, {size - pad, size, 0}}
		signature, err := signature(r, tags)
		if err != nil {
			return nil, err
		}
		return newSum(name, value, size, append(blanked, signature...)...)
	}
	return nil, ErrNone
}

// primary returns the primary volume descriptor and where it is.
func primary(r io.ReaderAt) (int64, []byte, error) {
	block := make([]byte, blockSize)
	for i := range int64(maxDescriptors) {
		at := descriptors + i*blockSize
		if n, err := r.ReadAt(block, at); n < len(block) {
			return 0, nil, fmt.Errorf("read volume descriptor: %w", err)
		}
		switch {
		case string(block[1:6]) != "CD001" || block[0] == 255:
			return 0, nil, errors.New("the image is no ISO 9660 file system")
		case block[0] == 1:
			return at, block, nil
		}
	}
	return 0, nil, errors.New("the image is no ISO 9660 file system: it has no primary volume descriptor")
}

// parse reads "key = value;…". Case and white space are of no meaning.
func parse(area []byte) map[string]string {
	tags := make(map[string]string)
	area, _, _ = bytes.Cut(area, []byte{0})
	for tag := range strings.SplitSeq(string(area), ";") {
		if key, value, ok := strings.Cut(tag, "="); ok {
			tags[strings.ToLower(strings.TrimSpace(key))] = strings.TrimSpace(value)
		}
	}
	return tags
}

// blocks is a number of blocks at the end of an image of size bytes, in bytes; 0 without the tag.
func blocks(tags map[string]string, key string, size int64) (int64, error) {
	value, ok := tags[key]
	if !ok {
		return 0, nil
	}
	n, err := strconv.ParseUint(value, 10, 31)
	if err != nil || int64(n)*blockSize > size {
		return 0, fmt.Errorf("%s = %q of an image of %d bytes", key, value, size)
	}
	return int64(n) * blockSize, nil
}

// signatureMagic begins the block in which tagmedia keeps a signature; it is followed by zeros up to signatureAt.
const (
	signatureMagic = "7984fc91-a43f-4e45-bf27-6d3aa08b24cf"
	signatureAt    = 0x40
)

// signature is the place of the signature of the sum, which was made after it. The tag is in units of 512 bytes.
func signature(r io.ReaderAt, tags map[string]string) ([]span, error) {
	value, ok := tags["signature"]
	if !ok {
		return nil, nil
	}
	sector, err := strconv.ParseUint(value, 10, 40)
	if err != nil {
		return nil, fmt.Errorf("signature = %q", value)
	}
	at := int64(sector) * 512
	magic := make([]byte, len(signatureMagic))
	if n, err := r.ReadAt(magic, at); n < len(magic) && err != io.EOF {
		return nil, fmt.Errorf("read signature: %w", err)
	}
	if at == 0 || string(magic) != signatureMagic {
		return nil, nil
	}
	return []span{{at + signatureAt, at + blockSize, 0}}, nil
}

func newSum(algorithm, value string, size int64, blanked ...span) (*Sum, error) {
	want, err := hex.DecodeString(value)
	if err != nil || len(want) != algorithms()[algorithm]().Size() {
		return nil, fmt.Errorf("%q is no %s sum", value, algorithm)
	}
	return &Sum{Algorithm: algorithm, Size: size, want: want, blanked: blanked}, nil
}

// bufferSize is how much is read at once, in bytes.
const bufferSize = 1 << 20

// Verify reads the image r and compares. Progress, which may be nil, is told how many of s.Size bytes are done. The error is a *MismatchError
// when the image is damaged.
func (s *Sum) Verify(ctx context.Context, r io.ReaderAt, progress func(done int64)) error {
	h := algorithms()[s.Algorithm]()
	buffer := make([]byte, bufferSize)
	for at := int64(0); at < s.Size; {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("check the image: %w", err)
		}
		part := buffer[:min(bufferSize, s.Size-at)]
		if n, err := r.ReadAt(part, at); n < len(part) {
			if err == io.EOF {
				err = fmt.Errorf("it ends after %d of %d bytes: %w", at+int64(n), s.Size, io.ErrUnexpectedEOF)
			}
			return fmt.Errorf("check the image: %w", err)
		}
		for _, b := range s.blanked {
			for i := max(b.from-at, 0); i < min(b.to-at, int64(len(part))); i++ {
				part[i] = b.as
			}
		}
		h.Write(part)
		at += int64(len(part))
		if progress != nil {
			progress(at)
		}
	}
	if got := h.Sum(nil); !bytes.Equal(got, s.want) {
		return fmt.Errorf("check the image: %w", &MismatchError{s.Algorithm, hex.EncodeToString(s.want), hex.EncodeToString(got)})
	}
	return nil
}
