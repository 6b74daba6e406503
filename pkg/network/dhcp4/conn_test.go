package dhcp4

import (
	"encoding/binary"
	"net"
	"testing"

	"golang.org/x/net/bpf"

	"github.com/liveboot/liveboot/pkg/network"
)

// ip4 is an IPv4 packet with a UDP message to port 68.
func ip4(payload string, change func([]byte)) []byte {
	p := make([]byte, 28, 28+len(payload))
	p[0], p[8], p[9] = 0x45, 64, 17
	binary.BigEndian.PutUint16(p[2:], uint16(28+len(payload)))
	copy(p[12:], []byte{10, 0, 2, 2, 255, 255, 255, 255})
	binary.BigEndian.PutUint16(p[20:], 67)
	binary.BigEndian.PutUint16(p[22:], 68)
	binary.BigEndian.PutUint16(p[24:], uint16(8+len(payload)))
	p = append(p, payload...)
	change(p)
	return p
}

// frames is a packet socket from which these packets come.
type frames struct {
	net.PacketConn
	packets [][]byte
}

func (f *frames) ReadFrom(b []byte) (int, net.Addr, error) {
	if len(f.packets) == 0 {
		return 0, nil, net.ErrClosed
	}
	n := copy(b, f.packets[0])
	f.packets = f.packets[1:]
	return n, nil, nil
}

func TestPackets(t *testing.T) {
	same := func([]byte) {}
	vm, err := bpf.NewVM(withoutExtensions(filter()))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		in   []byte
		want string // empty: nothing gets through
	}{
		{"no checksum", ip4("answer", same), "answer"},
		{"a checksum that the card would have filled in", ip4("answer", func(p []byte) { p[26], p[27] = 0x12, 0x34 }), "answer"},
		{"padded to the least size of a frame", append(ip4("x", same), make([]byte, 17)...), "x"},
		{"options in the header", append([]byte{0x46, 0, 0, 34, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 2, 2, 10, 0, 2, 15, 1, 1, 1, 0, 0, 67, 0, 68, 0, 10, 0, 0}, "ok"...), "ok"},
		{"to another port", ip4("answer", func(p []byte) { p[23] = 67 }), ""},
		{"TCP", ip4("answer", func(p []byte) { p[9] = 6 }), ""},
		{"first fragment", ip4("answer", func(p []byte) { p[6] = 0x20 }), ""},
		{"last fragment", ip4("answer", func(p []byte) { p[7] = 1 }), ""},
		{"must not be fragmented", ip4("answer", func(p []byte) { p[6] = 0x40 }), "answer"},
		{"cut off", ip4("answer", same)[:30], ""},
		{"shorter than its UDP header", ip4("", func(p []byte) { p[3] = 24 }), ""},
		{"no packet", nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			length, err := vm.Run(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			var passed [][]byte
			if length > 0 {
				passed = append(passed, tt.in)
			}
			b := make([]byte, 100)
			n, _, err := overIP(&frames{packets: passed}).ReadFrom(b)
			if got := string(b[:n]); got != tt.want || (err == nil) != (tt.want != "") {
				t.Errorf("ReadFrom = %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

// withoutExtensions leaves out what only the kernel knows: whom a packet is for.
func withoutExtensions(program []bpf.Instruction) []bpf.Instruction { return program[2:] }

func TestNoLink(t *testing.T) {
	gone := network.Link{Index: 1 << 30, Name: "gone", MAC: eth0.MAC}
	if conn, err := rawConn(gone); err == nil {
		conn.Close()
		t.Error("rawConn opens a link that is not there")
	}
	if conn, err := udpConn(gone, leaseOf20s().Address.Addr()); err == nil {
		conn.Close()
		t.Error("udpConn opens a link that is not there")
	}
}
