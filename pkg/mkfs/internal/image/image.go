// Package image makes files for tests that have the size of a device, and runs the programs that check what is in them.
package image

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/mkfs/blockdev"
	"github.com/liveboot/liveboot/pkg/needs"
)

// New returns an open file of size bytes, which takes no space, and its path.
func New(t testing.TB, size int64) (*blockdev.Device, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	d, err := blockdev.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d, path
}

// Tool runs a program of Debian's package and returns what it printed. If it fails, so does the test.
func Tool(t testing.TB, debian, program string, args ...string) string {
	t.Helper()
	out, err := exec.Command(needs.Program(t, program, debian), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// Data returns the offsets of the blocks of a file that may hold more than zeros: those outside its holes.
func Data(t testing.TB, f *os.File, blockSize int64) []int64 {
	t.Helper()
	var offsets []int64
	for end := int64(0); ; {
		start, err := unix.Seek(int(f.Fd()), end, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return offsets
		}
		if err == nil {
			end, err = unix.Seek(int(f.Fd()), start, unix.SEEK_HOLE)
		}
		if err != nil {
			t.Fatal(err)
		}
		for at := start / blockSize * blockSize; at < end; at += blockSize {
			offsets = append(offsets, at)
		}
	}
}
