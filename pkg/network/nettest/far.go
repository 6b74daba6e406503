package nettest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/needs"
)

// Far returns a network that has a far side only, for a virtual machine whose cards Tap makes. The test stays in its own process and
// namespace, so IP and Veth are not for it. Root is needed.
func Far(t *testing.T) *Net {
	t.Helper()
	needs.Program(t, "ip", "iproute2")
	needs.That(t, os.Geteuid() == 0, "root")
	n := &Net{t: t}
	if err := n.openFar(); err != nil {
		t.Fatalf("make the far side: %v", err)
	}
	t.Cleanup(n.stop)
	n.beginFar()
	return n
}

// Tap makes a tap device on the far side, which is up, and returns the file behind it for a virtual machine's card: what the machine
// sends comes in on the device. (Its carrier is QEMU's to take, not the far side's.)
func (n *Net) Tap(name string) *os.File {
	n.t.Helper()
	// QEMU looks at IFF_VNET_HDR itself, and sets what it needs.
	return n.tap(name, unix.IFF_VNET_HDR, unix.O_CLOEXEC)
}

func (n *Net) tap(name string, flags uint16, open int) *os.File {
	n.t.Helper()
	var file *os.File
	n.Far(func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|open, 0)
		if err != nil {
			return fmt.Errorf("open /dev/net/tun: %w", err)
		}
		request, err := unix.NewIfreq(name)
		if err != nil {
			return err
		}
		request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | flags)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
			return fmt.Errorf("make tap %s: %w", name, err)
		}
		file = os.NewFile(uintptr(fd), "tap "+name)
		return nil
	})
	n.t.Cleanup(func() { file.Close() })
	n.FarIP("link set " + name + " up")
	return file
}

// VLAN makes a device on the far side, which is up, and returns a datagram socket for a virtual machine's card: between the two is the
// port of a switch that passes the frames of one VLAN, with tags to the machine (IEEE 802.1Q) and without to the device. It needs no kernel with VLANs.
func (n *Net) VLAN(name string, id uint16) *os.File {
	n.t.Helper()
	device := n.tap(name, 0, unix.O_NONBLOCK)
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		n.t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(ends[0]), "switch port"), os.NewFile(uintptr(ends[1]), "card")
	n.t.Cleanup(func() { ours.Close(); theirs.Close() })
	go forward(device, ours, func(frame []byte) []byte { return tag(frame, id) })
	go forward(ours, device, func(frame []byte) []byte { return untag(frame, id) })
	return theirs
}

// forward passes frames on until one end is closed.
func forward(from, to *os.File, change func([]byte) []byte) {
	buffer := make([]byte, 1<<16)
	for {
		length, err := from.Read(buffer)
		if errors.Is(err, os.ErrClosed) {
			return
		}
		if err != nil {
			continue // nobody is there yet, or any more
		}
		if frame := change(buffer[:length]); frame != nil {
			_, _ = to.Write(frame) // a switch drops what it cannot pass
		}
	}
}

// addresses are the two at the beginning of an Ethernet frame; behind them the tag is.
const addresses = 12

func tag(frame []byte, id uint16) []byte {
	if len(frame) < addresses {
		return nil
	}
	header := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_8021Q), id)
	return slices.Concat(frame[:addresses], header, frame[addresses:])
}

// untag returns nil for a frame that is of no VLAN, or of another.
func untag(frame []byte, id uint16) []byte {
	if len(frame) < addresses+4 || binary.BigEndian.Uint16(frame[addresses:]) != unix.ETH_P_8021Q || binary.BigEndian.Uint16(frame[addresses+2:])&0xfff != id {
		return nil
	}
	return slices.Concat(frame[:addresses], frame[addresses+4:])
}
