package dm

import (
	"encoding/binary"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The layout is that of the C structures, see pahole(1) of struct dm_ioctl and struct dm_target_spec.
func TestEncode(t *testing.T) {
	number := unix.Mkdev(43, 300)
	b := encode("live", flagReadOnly, &Linear{Device: number, Offset: 1 << 20, Size: 4 << 20})
	native := binary.NativeEndian
	for _, tt := range []struct {
		name string
		at   int
		want uint32
	}{
		{"version", 0, 4}, {"data_size", 12, bufferSize}, {"data_start", 16, 312}, {"target_count", 20, 1}, {"flags", 28, 1},
		{"sector_start", 312, 0}, {"length", 320, 8192}, {"next", 332, 0},
	} {
		if got := native.Uint32(b[tt.at:]); got != tt.want {
			t.Errorf("%s at %d = %d, want %d", tt.name, tt.at, got, tt.want)
		}
	}
	for _, tt := range []struct {
		name string
		at   int
		want string
	}{{"name", 48, "live"}, {"target_type", 336, "linear"}, {"parameters", 352, "43:300 2048"}} {
		if got := text(b[tt.at:]); got != tt.want {
			t.Errorf("%s at %d = %q, want %q", tt.name, tt.at, got, tt.want)
		}
	}
}

// _IOWR(0xfd, 3, struct dm_ioctl), as strace(1) shows it.
func TestCommand(t *testing.T) {
	if commandCreate != 0xc138fd03 {
		t.Errorf("DM_DEV_CREATE = %#x, want 0xc138fd03", commandCreate)
	}
}

func TestDecode(t *testing.T) {
	b := encode("live", 0, &Linear{Device: unix.Mkdev(1, 0), Size: 512})
	native := binary.NativeEndian
	native.PutUint32(b[24:], 2)
	native.PutUint32(b[28:], flagReadOnly|flagSuspend)
	native.PutUint64(b[40:], 254<<8|0x05|0x300<<12) // 254:773
	a := decode(b)
	if a.number != unix.Mkdev(254, 0x305) || a.open != 2 || a.flags != flagReadOnly|flagSuspend || a.table != "0 1 linear 1:0 0" {
		t.Errorf("decode() = %+v, want device 254:773, open twice, read-only, suspended, and a table", a)
	}
}

func TestRefused(t *testing.T) {
	c := &Control{}
	for _, tt := range []struct {
		name, device string
		table        Linear
	}{
		{"no name", "", Linear{Size: 512}},
		{"a name that is too long", strings.Repeat("x", 128), Linear{Size: 512}},
		{"no size", "live", Linear{}},
		{"half a sector", "live", Linear{Size: 256}},
		{"a negative offset", "live", Linear{Size: 512, Offset: -512}},
		{"an offset between sectors", "live", Linear{Size: 512, Offset: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := c.Create(tt.device, tt.table); err == nil {
				t.Error("Create() = nil, want an error")
			}
		})
	}
}

// A resume that was interrupted while it waited for reads is made again, and what else goes wrong is told.
func TestUninterrupted(t *testing.T) {
	for _, want := range []unix.Errno{0, unix.ENXIO} {
		answers := []unix.Errno{unix.EINTR, unix.EINTR, want}
		got := uninterrupted(func() unix.Errno {
			errno := answers[0]
			answers = answers[1:]
			return errno
		})
		if got != want || len(answers) != 0 {
			t.Errorf("uninterrupted() = %v with %d calls left, want %v and none", got, len(answers), want)
		}
	}
}
