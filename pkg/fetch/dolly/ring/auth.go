package ring

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
)

// PasswordError says that parent and child have not the same password, or only one of them has one.
type PasswordError struct{ What string }

// Error says which of it.
func (e *PasswordError) Error() string { return e.What }

const (
	nonceSize = 32
	accepted  = "OK\x00"
	rejected  = "AUTH_FAILED:"
	// maxVerdict is the longest answer: rejected, a host, and the zero byte.
	maxVerdict = len(rejected) + maxHost + 1
)

// proof is what shows that somebody knows the password.
func proof(password string, nonce []byte) []byte {
	inner := sha256.Sum256([]byte(password))
	outer := sha256.Sum256(append(inner[:], nonce...))
	return outer[:]
}

// prove answers a parent that asks for the password.
func prove(rw io.ReadWriter, password string) error {
	nonce := make([]byte, nonceSize)
	if _, err := io.ReadFull(rw, nonce); err != nil {
		return fmt.Errorf("read the nonce: %w", unexpected(err))
	}
	if _, err := rw.Write(proof(password, nonce)); err != nil {
		return err
	}
	var verdict []byte
	for one := make([]byte, 1); !bytes.HasSuffix(verdict, []byte{0}); verdict = append(verdict, one[0]) {
		if len(verdict) == maxVerdict {
			return errors.New("the answer to the password has no end")
		}
		if _, err := io.ReadFull(rw, one); err != nil {
			return fmt.Errorf("read the answer to the password: %w", unexpected(err))
		}
	}
	if string(verdict) != accepted {
		return &PasswordError{"its password is another one"}
	}
	return nil
}

// challenge asks a child for the password, and tells it what it thinks of the answer.
func challenge(rw io.ReadWriter, password, host string) error {
	nonce := make([]byte, nonceSize)
	rand.Read(nonce) // it never fails
	answer := make([]byte, sha256.Size)
	_, err := rw.Write(nonce)
	if err == nil {
		_, err = io.ReadFull(rw, answer)
	}
	if err != nil {
		return &PasswordError{fmt.Sprintf("it did not answer when it was asked for the password, so it may have none: %v", unexpected(err))}
	}
	if subtle.ConstantTimeCompare(answer, proof(password, nonce)) != 1 {
		_, _ = io.WriteString(rw, rejected+host+"\x00") // it is not there any more for what follows
		return &PasswordError{"its password is another one"}
	}
	_, err = io.WriteString(rw, accepted)
	return err
}

// unexpected makes an end of what it is where more was to come.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
