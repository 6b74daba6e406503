package nbd

import (
	"encoding/binary"
	"fmt"
)

const (
	requestMagic = 0x25609513
	replyMagic   = 0x67446698

	// requestSize and replySize are those of struct nbd_request and struct nbd_reply, in bytes.
	requestSize = 28
	replySize   = 16
)

// Commands of a request: the lower half of its type, the upper one holds flags, of which none concerns a reader.
const (
	commandRead  = 0
	commandWrite = 1 // its data follow
	commandClose = 2
)

// Errors of a reply, which are the kernel's errno of any architecture.
const (
	errorNone       = 0
	errorPermission = 1  // EPERM
	errorIO         = 5  // EIO
	errorInvalid    = 22 // EINVAL
)

// header is struct nbd_request.
type header struct {
	command uint16
	// handle comes back in the reply.
	handle uint64
	offset uint64
	length uint32
}

// parseHeader reads a struct nbd_request, whose numbers are big-endian.
func parseHeader(b *[requestSize]byte) (header, error) {
	if magic := binary.BigEndian.Uint32(b[:]); magic != requestMagic {
		return header{}, fmt.Errorf("a request begins with %#x, not with %#x", magic, requestMagic)
	}
	return header{
		command: binary.BigEndian.Uint16(b[6:]),
		handle:  binary.BigEndian.Uint64(b[8:]),
		offset:  binary.BigEndian.Uint64(b[16:]),
		length:  binary.BigEndian.Uint32(b[24:]),
	}, nil
}

// putReply writes a struct nbd_reply to b, behind which the data of a read come.
func putReply(b []byte, handle uint64, code uint32) {
	binary.BigEndian.PutUint32(b, replyMagic)
	binary.BigEndian.PutUint32(b[4:], code)
	binary.BigEndian.PutUint64(b[8:], handle)
}
