package ring

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// An Introduction is what a parent says before it sends the file.
type Introduction struct {
	Config
	// Text is the configuration as it came. It is passed on unchanged.
	Text []byte
}

// DirectoryError says that the parent sends folders in the place of an image.
type DirectoryError struct{}

// Error says what to do.
func (*DirectoryError) Error() string {
	return "it sends folders (dolly's option -D), which are no image: give the server the image with -I"
}

// Receive reads the introduction of a parent on its control connection, and proves that it knows the password if there is one. Without
// a password it takes none, and with one it takes no parent without. Only the first byte is waited for as long as the connection lives.
func Receive(control net.Conn, password string) (Introduction, error) {
	var in Introduction
	var first [1]byte
	if _, err := io.ReadFull(control, first[:]); err != nil {
		return in, unexpected(err)
	}
	dialect, err := DialectOf(first[0])
	if err != nil {
		return in, err
	}
	if err := control.SetDeadline(time.Now().Add(stepTime)); err != nil {
		return in, err
	}
	text := first[:]
	if dialect == Dialect07 {
		text = nil
		err = receive07(control, first[0] == 1, password)
	} else if password != "" {
		err = &PasswordError{"it speaks the dialect of dolly 0.6x, which has no password"}
	}
	if err != nil {
		return in, err
	}
	if in.Text, err = receiveText(control, text); err != nil {
		return in, err
	}
	if in.Config, err = ParseConfig(dialect, in.Text); err != nil {
		return in, err
	}
	return in, control.SetDeadline(time.Time{})
}

// receive07 reads what dialect 0.7x has before the configuration.
func receive07(control net.Conn, asks bool, password string) error {
	switch {
	case asks && password == "":
		return &PasswordError{"it asks for a password, and this node has none: give it with -P"}
	case !asks && password != "":
		return &PasswordError{"it has no password, and this node has one"}
	case asks:
		if err := prove(control, password); err != nil {
			return err
		}
	}
	var mode [4]byte
	if _, err := io.ReadFull(control, mode[:]); err != nil {
		return fmt.Errorf("read the mode: %w", unexpected(err))
	}
	if mode != [4]byte{} {
		return &DirectoryError{}
	}
	return nil
}

// end of a configuration, if nothing else is in its line.
const end = "\nendconfig"

// endOf returns where the end of a configuration begins, -1 if it is not there.
func endOf(text []byte) int {
	for from := 0; ; {
		at := bytes.Index(text[from:], []byte(end))
		if at < 0 {
			return -1
		}
		at += from
		if from = at + len(end); from == len(text) || bytes.IndexByte([]byte(" \r\n"), text[from]) >= 0 {
			return at
		}
	}
}

// receiveText reads the configuration, of which the beginning is there. It is sent in one piece; what may follow its end in that piece is a
// part of it, and must not be taken for what the parent says after it.
func receiveText(control net.Conn, text []byte) ([]byte, error) {
	buffer := make([]byte, MaxConfig)
	n := copy(buffer, text)
	for {
		at := endOf(buffer[:n])
		if at >= 0 && n > at+len(end) && n != padded {
			break
		}
		if n == len(buffer) {
			return nil, fmt.Errorf("the configuration has no end within %d bytes", MaxConfig)
		}
		if at >= 0 { // a line feed, or the space behind one of that length: there may be none
			if err := control.SetReadDeadline(time.Now().Add(rest)); err != nil {
				return nil, err
			}
		}
		m, err := control.Read(buffer[n:])
		if n += m; at >= 0 && errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil && m == 0 {
			return nil, fmt.Errorf("read the configuration: %w", unexpected(err))
		}
	}
	if n == len(buffer) {
		return nil, fmt.Errorf("the configuration has %d bytes or more", MaxConfig)
	}
	return buffer[:n], nil
}

// Total reads how many bytes the file has, which the parent says after the last one.
func Total(control io.Reader) (int64, error) {
	var b [8]byte
	if _, err := io.ReadFull(control, b[:]); err != nil {
		return 0, err
	}
	n := binary.LittleEndian.Uint64(b[:])
	if n > MaxTotal {
		return 0, fmt.Errorf("the size %d that was announced is no size of a file", n)
	}
	return int64(n), nil
}

// PutTotal tells a child how many bytes the file has, or a parent how many arrived.
func PutTotal(control io.Writer, n int64) error {
	_, err := control.Write(binary.LittleEndian.AppendUint64(nil, uint64(n)))
	return err
}
