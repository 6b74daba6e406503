package dm

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Commands, as ioctl numbers: _IOWR(0xfd, n, struct dm_ioctl).
const (
	commandCreate  = base | 3
	commandRemove  = base | 4
	commandSuspend = base | 6 // without flagSuspend: resume
	commandLoad    = base | 9
	commandClear   = base | 10
	commandTable   = base | 12

	base = 3<<30 | ioctlSize<<16 | 0xfd<<8
)

// Flags of struct dm_ioctl.
const (
	flagReadOnly    = 1 << 0
	flagSuspend     = 1 << 1
	flagStatusTable = 1 << 4
	flagSkipLockFS  = 1 << 10
)

// Layout of struct dm_ioctl, struct dm_target_spec and the buffer that holds them, in bytes. The numbers are in the machine's order.
const (
	ioctlSize = 312

	versionAt    = 0
	sizeAt       = 12
	startAt      = 16
	countAt      = 20
	openAt       = 24
	flagsAt      = 28
	numberAt     = 40
	nameAt       = 48
	nameSize     = 128 // with a zero at its end
	specSize     = 40
	specLengthAt = ioctlSize + 8
	specTypeAt   = ioctlSize + 24
	parametersAt = ioctlSize + specSize

	// bufferSize has room for one target with its parameters, both ways.
	bufferSize = 1024
)

// answer is what the kernel says of a device.
type answer struct {
	number uint64
	open   int
	flags  uint32
	table  string
}

// call makes one ioctl for the device name, with a table of one target if target is not nil.
func (c *Control) call(command uintptr, name string, flags uint32, target *Linear) (answer, error) {
	if len(name) == 0 || len(name) >= nameSize {
		return answer{}, fmt.Errorf("the name %q is not of 1 to %d bytes", name, nameSize-1)
	}
	var b *[bufferSize]byte
	errno := uninterrupted(func() unix.Errno {
		b = encode(name, flags, target) // the kernel writes to it whatever comes of it
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, c.file.Fd(), command, uintptr(unsafe.Pointer(b)))
		return errno
	})
	if errno != 0 {
		return answer{}, errno
	}
	return decode(b), nil
}

// uninterrupted makes a system call again that a signal has interrupted. That happens to one that waits for reads which are under way: the
// device stays as it was, with the new table beside the live one, and any signal will do, those included with which the Go runtime stops
// its threads.
func uninterrupted(call func() unix.Errno) (errno unix.Errno) {
	for errno = unix.EINTR; errno == unix.EINTR; {
		errno = call()
	}
	return errno
}

func encode(name string, flags uint32, target *Linear) *[bufferSize]byte {
	b, native := new([bufferSize]byte), binary.NativeEndian
	native.PutUint32(b[versionAt:], 4) // the interface's major version; the kernel fills in the others
	native.PutUint32(b[sizeAt:], bufferSize)
	native.PutUint32(b[startAt:], ioctlSize)
	native.PutUint32(b[flagsAt:], flags)
	copy(b[nameAt:nameAt+nameSize-1], name)
	if target != nil {
		native.PutUint32(b[countAt:], 1)
		native.PutUint64(b[specLengthAt:], uint64(target.Size/SectorSize))
		copy(b[specTypeAt:], "linear")
		copy(b[parametersAt:bufferSize-1], target.parameters())
	}
	return b
}

// decode reads the kernel's answer, in which there is at most one target.
func decode(b *[bufferSize]byte) answer {
	native := binary.NativeEndian
	a := answer{number: unfoldNumber(native.Uint64(b[numberAt:])), open: int(int32(native.Uint32(b[openAt:]))), flags: native.Uint32(b[flagsAt:])}
	if native.Uint32(b[countAt:]) > 0 {
		a.table = fmt.Sprintf("0 %d %s %s", native.Uint64(b[specLengthAt:]), text(b[specTypeAt:parametersAt]), text(b[parametersAt:]))
	}
	return a
}

// unfoldNumber turns the kernel's encoding of a device's number in 32 bits (huge_encode_dev, the same as new_encode_dev) into the C
// library's.
func unfoldNumber(n uint64) uint64 {
	return unix.Mkdev(uint32(n&0xfff00>>8), uint32(n&0xff|n>>12&0xfff00))
}

// text returns the string that ends with the first zero.
func text(b []byte) string {
	s, _, _ := bytes.Cut(b, []byte{0})
	return string(s)
}
