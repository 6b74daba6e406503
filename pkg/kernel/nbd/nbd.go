// Package nbd makes a block device that this program serves: the kernel's network block device, whose requests come through a socket pair.
// Attach makes the device by generic netlink (include/uapi/linux/nbd-netlink.h), and Serve answers its requests, in the protocol of the
// kernel's side of it (include/uapi/linux/nbd.h; "Transmission phase" with simple replies in
// https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md). The device is read-only.
//
// A request has no time-out: what reads the device waits for as long as the answer takes. The kernel says every 30 seconds in its log that
// a request is still waiting.
package nbd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// BlockSize is that of the device in bytes. An ISO has blocks of 2048, and the kernel mounts none on a device whose blocks are larger.
const BlockSize = 512

// Parameters are what the module nbd should be loaded with: Attach makes the device it needs, and partitions of it would only keep it in
// use.
const Parameters = "nbds_max=0 max_part=0"

// Of enum in include/uapi/linux/nbd-netlink.h.
const (
	family = "nbd"

	commandConnect    = 1
	commandDisconnect = 2

	attributeIndex       = 1
	attributeSize        = 2
	attributeBlockSize   = 3
	attributeServerFlags = 5
	attributeSockets     = 7
	attributeSocketItem  = 1
	attributeSocketFD    = 1
)

// Of include/uapi/linux/nbd.h.
const (
	flagHasFlags = 1 << 0
	flagReadOnly = 1 << 1
)

// socketBuffer is how much of the answers may be under way to the kernel, in bytes: one of the largest requests that it makes without being
// told otherwise is 128 KiB.
const socketBuffer = 1 << 20

// A Device is attached. Before something reads it, Serve must run.
type Device struct {
	// Path is that in /dev, Index the number in it.
	Path  string
	Index int
	// Number is what the kernel knows it by.
	Number uint64
	// Socket is our end of the socket pair; Serve reads and writes it.
	Socket *os.File
}

// Attach makes a device of size bytes, a multiple of BlockSize. The module nbd must be loaded.
//
// The device has one socket. With several the kernel takes a request that waits for 30 seconds for the fault of its socket, and gives that
// up.
func Attach(size int64) (*Device, error) {
	d, err := attach(size)
	if err != nil {
		return nil, fmt.Errorf("attach a network block device: %w", err)
	}
	return d, nil
}

func attach(size int64) (_ *Device, err error) {
	if size <= 0 || size%BlockSize != 0 {
		return nil, fmt.Errorf("its size of %d bytes is no multiple of %d", size, BlockSize)
	}
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close() // the kernel has its own reference by then
	defer func() {
		if err != nil {
			err = errors.Join(err, ours.Close())
		}
	}()
	index, err := connect(size, theirs)
	if err != nil {
		return nil, err
	}
	d := &Device{Path: filepath.Join("/dev", "nbd"+strconv.Itoa(index)), Index: index, Socket: ours}
	var stat unix.Stat_t
	if err := unix.Stat(d.Path, &stat); err != nil {
		return nil, errors.Join(fmt.Errorf("look at %s: %w", d.Path, err), disconnect(index))
	}
	d.Number = stat.Rdev
	return d, nil
}

func socketPair() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make a socket pair: %w", err)
	}
	// Ours is one that the runtime polls, so that a Close ends a Read; in the kernel's it waits itself.
	err = errors.Join(
		unix.SetNonblock(fds[0], true),
		unix.SetsockoptInt(fds[0], unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, socketBuffer))
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("prepare a socket pair: %w", err), unix.Close(fds[0]), unix.Close(fds[1]))
	}
	return os.NewFile(uintptr(fds[0]), "nbd"), os.NewFile(uintptr(fds[1]), "nbd of the kernel"), nil
}

// connect gives the kernel the socket, and returns the number of the device.
func connect(size int64, socket *os.File) (int, error) {
	sockets := nl.NewRtAttr(attributeSockets|unix.NLA_F_NESTED, nil)
	sockets.AddRtAttr(attributeSocketItem|unix.NLA_F_NESTED, nil).AddRtAttr(attributeSocketFD, nl.Uint32Attr(uint32(socket.Fd())))
	answers, err := request(commandConnect,
		nl.NewRtAttr(attributeSize, nl.Uint64Attr(uint64(size))),
		nl.NewRtAttr(attributeBlockSize, nl.Uint64Attr(BlockSize)),
		nl.NewRtAttr(attributeServerFlags, nl.Uint64Attr(flagHasFlags|flagReadOnly)),
		sockets)
	if err != nil {
		return 0, err
	}
	for _, answer := range answers {
		if len(answer) < nl.SizeofGenlmsg {
			continue
		}
		attributes, err := nl.ParseRouteAttrAsMap(answer[nl.SizeofGenlmsg:])
		if err != nil {
			return 0, err
		}
		if index, ok := attributes[attributeIndex]; ok && len(index.Value) == 4 {
			return int(nl.NativeEndian().Uint32(index.Value)), nil
		}
	}
	return 0, errors.New("the kernel does not tell which device it is")
}

// Disconnect frees the device. Requests that are not answered fail then. The kernel tells Serve, which returns, and closes the socket.
func (d *Device) Disconnect() error {
	if err := disconnect(d.Index); err != nil {
		return fmt.Errorf("free %s: %w", d.Path, err)
	}
	return nil
}

func disconnect(index int) error {
	_, err := request(commandDisconnect, nl.NewRtAttr(attributeIndex, nl.Uint32Attr(uint32(index))))
	return err
}

// request sends a command to the driver.
func request(command uint8, attributes ...*nl.RtAttr) ([][]byte, error) {
	f, err := netlink.GenlFamilyGet(family)
	if err != nil {
		return nil, fmt.Errorf("ask for the kernel's driver nbd (is the module loaded?): %w", err)
	}
	r := nl.NewNetlinkRequest(int(f.ID), unix.NLM_F_ACK)
	r.AddData(&nl.Genlmsg{Command: command, Version: 1})
	for _, a := range attributes {
		r.AddData(a)
	}
	return r.Execute(unix.NETLINK_GENERIC, 0)
}
