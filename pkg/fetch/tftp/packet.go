package tftp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// Kinds of packet (RFC 1350 section 5, RFC 2347).
const (
	opRead    = 1
	opData    = 3
	opAck     = 4
	opError   = 5
	opOptions = 6
)

// Codes of errors (RFC 1350 section 5, RFC 2347).
const (
	errUnknown  = 0
	errNotFound = 1
	errAccess   = 2
	errDiskFull = 3
	errTransfer = 5
	errOptions  = 8
)

// maxBlock is the largest block that a packet can hold.
const maxBlock = 65464

// A packet is what a server sends.
type packet struct {
	op    byte
	block uint16 // of opData; the code of opError
	body  []byte
}

var errMalformed = errors.New("malformed packet")

// parsePacket reads a packet. Its body is a part of data.
func parsePacket(data []byte) (packet, error) {
	if len(data) < 2 || data[0] != 0 {
		return packet{}, errMalformed
	}
	p := packet{op: data[1], body: data[2:]}
	switch p.op {
	case opData, opError:
		if len(data) < 4 {
			return packet{}, errMalformed
		}
		p.block, p.body = binary.BigEndian.Uint16(data[2:]), data[4:]
	case opOptions:
	default:
		return packet{}, errMalformed
	}
	return p, nil
}

// parseOptions reads the options that a server acknowledges, all of which are numbers.
func parseOptions(body []byte) (map[string]int64, error) {
	fields := bytes.Split(bytes.TrimSuffix(body, []byte{0}), []byte{0})
	options := make(map[string]int64)
	for i := 0; i+1 < len(fields); i += 2 {
		n, err := strconv.ParseUint(string(fields[i+1]), 10, 63)
		if err != nil {
			return nil, fmt.Errorf("the server's option %q is %q, which is no number", fields[i], fields[i+1])
		}
		options[strings.ToLower(string(fields[i]))] = int64(n)
	}
	return options, nil
}

// request asks for a file.
func request(name string, options bool) []byte {
	fields := []string{name, "octet"}
	if options {
		fields = append(fields, "blksize", strconv.Itoa(blockSize), "tsize", "0", "windowsize", strconv.Itoa(windowSize))
	}
	return append([]byte{0, opRead}, strings.Join(fields, "\x00")+"\x00"...)
}

// A ReplyError is an error that a server sent.
type ReplyError struct {
	Code int
	Text string
}

// failure returns what a packet of the kind opError says.
func (p packet) failure() *ReplyError {
	text, _, _ := bytes.Cut(p.body, []byte{0})
	return &ReplyError{Code: int(p.block), Text: strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, string(text))}
}

// Error shows the server's own words.
func (e *ReplyError) Error() string {
	return fmt.Sprintf("the server answered error %d: %s", e.Code, e.Text)
}

// Permanent reports whether the same request will get the same answer.
func (e *ReplyError) Permanent() bool {
	return e.Code != errUnknown && e.Code != errDiskFull && e.Code != errTransfer
}

// NotThere reports whether there is no such file for us. Some servers have no code for that.
func (e *ReplyError) NotThere() bool {
	return e.Code == errNotFound || e.Code == errAccess || e.Code == errUnknown
}

// OfFile is true: the protocol has one question.
func (*ReplyError) OfFile() bool { return true }
