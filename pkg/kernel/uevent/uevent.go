// Package uevent listens to what the kernel says of devices that come and go: the kobject uevents, broadcast on netlink
// as lib/kobject_uevent.c formats them.
package uevent

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// An Event is one uevent.
type Event struct {
	// Action is "add", "remove", "change", "bind", and so on.
	Action string
	// Path is the device's folder below /sys, with a slash in front.
	Path string
	// Env holds the event's variables, SUBSYSTEM and MODALIAS among them.
	Env map[string]string
}

// Parse reads one message: "action@path", then the variables, each ended by a zero byte.
func Parse(message []byte) (Event, error) {
	head, rest, ok := bytes.Cut(message, []byte{0})
	action, path, at := strings.Cut(string(head), "@")
	if !ok || !at || action == "" || !strings.HasPrefix(path, "/") {
		return Event{}, fmt.Errorf("parse uevent: %.40q is not action@path", message)
	}
	event := Event{Action: action, Path: path, Env: make(map[string]string)}
	for variable := range bytes.SplitSeq(rest, []byte{0}) {
		if key, value, ok := strings.Cut(string(variable), "="); ok {
			event.Env[key] = value
		}
	}
	return event, nil
}

// A Listener receives the kernel's uevents.
type Listener struct{ file *os.File }

// kernelGroup is the multicast group of the kernel itself; udev re-broadcasts in another one.
const kernelGroup = 1

// receiveBuffer is what the kernel may queue for us. A cold plug of a large machine sends thousands of events faster than drivers load.
const receiveBuffer = 8 << 20

// Listen starts to listen: what happens from here on is queued until Receive is called.
func Listen() (*Listener, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return nil, fmt.Errorf("listen to uevents: %w", err)
	}
	if err := errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer),
		unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: kernelGroup}),
	); err != nil {
		return nil, errors.Join(fmt.Errorf("listen to uevents: %w", err), unix.Close(fd))
	}
	return &Listener{os.NewFile(uintptr(fd), "uevents")}, nil
}

// Receive waits for the next event. After Close it returns an error that wraps os.ErrClosed. An error that wraps
// unix.ENOBUFS says that events were lost, and that the caller should look through /sys again.
func (l *Listener) Receive() (Event, error) {
	// UEVENT_BUFFER_SIZE is 2048, and the head has room beside it.
	buffer := make([]byte, 8192)
	for {
		n, err := l.file.Read(buffer)
		if err != nil {
			return Event{}, fmt.Errorf("receive uevent: %w", err)
		}
		if event, err := Parse(buffer[:n]); err == nil {
			return event, nil
		}
	}
}

// Close ends a Receive that waits, and the listening.
func (l *Listener) Close() error { return l.file.Close() }
