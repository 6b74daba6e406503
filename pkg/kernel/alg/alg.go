// Package alg computes digests by the kernel, through its user space interface to cryptography (AF_ALG;
// https://docs.kernel.org/crypto/userspace-if.html). Where the processor has no instructions for them that may be the faster way: QEMU's
// translator, for one, runs the kernel's code twice as fast as Go's.
package alg

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Module is the kernel module that New needs, where it is none of the kernel's own parts.
const Module = "algif_hash"

// A Hash is a hash.Hash of the kernel's. Unlike others it can fail; after that its digest is worth nothing, and Err tells why.
type Hash struct {
	name        string
	size, block int
	transform   *os.File // bound to the algorithm
	operation   *os.File // what was written
	err         error
}

// New returns the kernel's hash of a name, which is "sha256" or "sha512". It is an error if the kernel has none.
func New(name string) (*Hash, error) {
	h := &Hash{name: name}
	switch name {
	case "sha256":
		h.size, h.block = 32, 64
	case "sha512":
		h.size, h.block = 64, 128
	default:
		return nil, h.failed(unix.ENOENT)
	}
	fd, err := unix.Socket(unix.AF_ALG, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, h.failed(err)
	}
	h.transform = os.NewFile(uintptr(fd), name)
	if err := unix.Bind(fd, &unix.SockaddrALG{Type: "hash", Name: name}); err != nil {
		_ = h.transform.Close()
		return nil, h.failed(err)
	}
	if h.operation, err = accept(h.transform); err != nil {
		_ = h.transform.Close()
		return nil, h.failed(err)
	}
	return h, nil
}

func (h *Hash) failed(err error) error {
	return fmt.Errorf("compute %s by the kernel: %w", h.name, err)
}

// accept returns a new operation: of what is bound an empty one, of another operation a copy.
func accept(f *os.File) (*os.File, error) {
	for {
		// The kernel knows no address of the other side, for which unix.Accept4 has room only.
		fd, _, err := unix.Syscall6(unix.SYS_ACCEPT4, f.Fd(), 0, 0, unix.SOCK_CLOEXEC, 0, 0)
		runtime.KeepAlive(f)
		switch err {
		case 0:
			return os.NewFile(fd, f.Name()), nil
		case unix.EINTR:
		default:
			return nil, err
		}
	}
}

// Write adds p. An error is the kernel's; it is that of all that follows, too.
func (h *Hash) Write(p []byte) (n int, err error) {
	for n < len(p) && h.err == nil {
		sent, err := unix.SendmsgN(int(h.operation.Fd()), p[n:], nil, nil, unix.MSG_MORE)
		runtime.KeepAlive(h.operation)
		switch {
		case err == unix.EINTR:
		case err != nil:
			h.err = h.failed(err)
		default:
			n += sent
		}
	}
	return n, h.err
}

// Sum appends the digest of what was written to b; zeros if it failed.
func (h *Hash) Sum(b []byte) []byte {
	digest := make([]byte, h.size)
	if h.err == nil {
		if err := h.finish(digest); err != nil {
			h.err = h.failed(err)
			clear(digest)
		}
	}
	return append(b, digest...)
}

// finish computes the digest in a copy, since the kernel ends what is read from.
func (h *Hash) finish(digest []byte) error {
	end, err := accept(h.operation)
	if err != nil {
		return err
	}
	defer end.Close()
	for {
		n, err := unix.Read(int(end.Fd()), digest)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return err
		case n < len(digest):
			return fmt.Errorf("got %d bytes, want %d", n, len(digest))
		default:
			return nil
		}
	}
}

// Err returns the first failure, nil if there was none.
func (h *Hash) Err() error { return h.err }

// Reset begins anew.
func (h *Hash) Reset() {
	operation, err := accept(h.transform)
	if err != nil {
		h.err = h.failed(err)
		return
	}
	_ = h.operation.Close()
	h.operation, h.err = operation, nil
}

// Size returns the length of a digest in bytes.
func (h *Hash) Size() int { return h.size }

// BlockSize returns the algorithm's own in bytes.
func (h *Hash) BlockSize() int { return h.block }

// Close gives back what the kernel keeps. The garbage collector does so, too, for one that is forgotten.
func (h *Hash) Close() error {
	err := h.operation.Close()
	if closeErr := h.transform.Close(); err == nil {
		err = closeErr
	}
	return err
}
