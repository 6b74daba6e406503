package alg

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"hash"
	"os"
	"testing"

	"github.com/liveboot/liveboot/pkg/network/nettest"
)

// kernel returns the kernel's hash. There are kernels of developers without; integration/ runs these tests in a virtual machine with a
// distribution's, where nothing is left out.
func kernel(t *testing.T, name string) *Hash {
	t.Helper()
	h, err := New(name)
	switch {
	case err == nil:
		t.Cleanup(func() { h.Close() })
	case os.Getenv(nettest.CompleteVariable) != "":
		t.Fatal(err)
	default:
		t.Skipf("%v: TestNamespaces in integration/ has a kernel for it", err)
	}
	return h
}

// The kernel's digests are Go's, of whatever lengths the parts are; one that was asked for in between disturbs nothing.
func TestHash(t *testing.T) {
	for name, ours := range map[string]func() hash.Hash{"sha256": sha256.New, "sha512": sha512.New} {
		t.Run(name, func(t *testing.T) {
			h := kernel(t, name)
			if h.Size() != ours().Size() || h.BlockSize() != ours().BlockSize() {
				t.Errorf("Size() = %d, BlockSize() = %d, want %d, %d", h.Size(), h.BlockSize(), ours().Size(), ours().BlockSize())
			}
			p := bytes.Repeat([]byte("a part of an image\n"), 100_000)
			for range 2 {
				want, rest := ours(), p
				for _, n := range []int{0, 1, 63, 64, 65, 4095, 4097, 1 << 20, 0, 300_000} {
					if got, err := h.Write(rest[:n]); got != n || err != nil {
						t.Fatalf("Write(%d bytes) = %d, %v", n, got, err)
					}
					want.Write(rest[:n])
					rest = rest[n:]
					for range 2 {
						if got := h.Sum([]byte("x")); string(got) != string(want.Sum([]byte("x"))) {
							t.Fatalf("behind a part of %d bytes Sum() = %x, want %x", n, got, want.Sum([]byte("x")))
						}
					}
				}
				h.Reset()
			}
			if err := h.Err(); err != nil {
				t.Error(err)
			}
		})
	}
}

// After a failure nothing is a digest.
func TestFails(t *testing.T) {
	h := kernel(t, "sha256")
	before := h.Sum(nil)
	if err := h.operation.Close(); err != nil { // as if the kernel refused it
		t.Fatal(err)
	}
	if n, err := h.Write([]byte("x")); n != 0 || err == nil {
		t.Errorf("Write() = %d, %v, want an error", n, err)
	}
	if got := h.Sum(nil); h.Err() == nil || bytes.Equal(got, before) || len(got) != h.Size() {
		t.Errorf("Sum() = %x, Err() = %v, want zeros and an error", got, h.Err())
	}
}

func TestUnknown(t *testing.T) {
	if h, err := New("md5"); err == nil || h != nil {
		t.Errorf("New(md5) = %v, %v, want an error", h, err)
	}
}
