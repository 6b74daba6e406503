package mediacheck

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/liveboot/liveboot/pkg/needs"
)

// image is noise with a primary volume descriptor, behind one of another type, and this text for applications.
func image(t testing.TB, size int, text string) []byte {
	t.Helper()
	b := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{}).Read(b) // it always fills the slice
	copy(b[descriptors:], "\x00CD001\x01")
	copy(b[descriptors+blockSize:], "\x01CD001\x01")
	copy(b[descriptors+2*blockSize:], "\xffCD001\x01")
	binary.LittleEndian.PutUint32(b[descriptors+blockSize+sizeAt:], uint32(size/blockSize))
	copy(application(b), text+strings.Repeat(" ", applicationLen-len(text)))
	return b
}

func application(image []byte) []byte {
	return image[descriptors+blockSize+applicationAt:][:applicationLen]
}

// suse is an image with what tagmedia puts in; the sum is taken in the way its README describes it.
func suse(t testing.TB) []byte {
	t.Helper()
	const size, pad, sign = 3<<20 + 10*blockSize, 5, 2000 * blockSize / 2
	b := image(t, size, "")
	copy(b[sign:], signatureMagic+strings.Repeat("\x00", blockSize-len(signatureMagic)))
	blank := bytes.Clone(b)
	clear(blank[:512])
	clear(blank[size-pad*blockSize:])
	text := fmt.Sprintf("check=1;pad=%d;sha256sum=%x;signature=%d", pad, sha256.Sum256(blank), sign/512)
	copy(application(b), text)
	copy(b[sign+signatureAt:], "-----BEGIN PGP SIGNATURE-----")
	return b
}

func verify(b []byte) error {
	s, err := Find(bytes.NewReader(b))
	if err != nil {
		return err
	}
	return s.Verify(context.Background(), bytes.NewReader(b), nil)
}

func TestSUSE(t *testing.T) {
	good := suse(t)
	for _, tt := range []struct {
		name   string
		change func([]byte) []byte
		want   string // part of the error; empty for none
	}{
		{"as made", func(b []byte) []byte { return b }, ""},
		{"another boot sector", func(b []byte) []byte { b[3]++; return b }, ""},
		{"other padding", func(b []byte) []byte { b[len(b)-1]++; return b }, ""},
		{"more behind it", func(b []byte) []byte { return append(b, "more"...) }, ""},
		{"first byte behind the boot sector", func(b []byte) []byte { b[512]++; return b }, "is damaged: its sha256 is"},
		{"last byte before the padding", func(b []byte) []byte { b[len(b)-5*blockSize-1]++; return b }, "is damaged"},
		{"cut off", func(b []byte) []byte { return b[:len(b)-1] }, "it ends after"},
		{"no sum", func(b []byte) []byte { copy(application(b), "check=1;pad=5;x"); clear(application(b)[15:]); return b }, ErrNone.Error()},
		{"short sum", func(b []byte) []byte { copy(application(b), "sha256sum=1234;"); return b }, "no sha256 sum"},
		{"padding larger than the image", func(b []byte) []byte { copy(application(b), "sha256sum=;pad=999999999;"); return b }, "pad ="},
		{"no ISO", func(b []byte) []byte { b[descriptors+1] = 'X'; return b }, "no ISO 9660"},
		{"no primary descriptor", func(b []byte) []byte { b[descriptors+blockSize] = 255; return b }, "no ISO 9660"},
		{"empty", func([]byte) []byte { return nil }, "volume descriptor: EOF"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := verify(tt.change(bytes.Clone(good)))
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("verify = %v, want %q", err, tt.want)
			}
		})
	}
}

// TestImplanted: what implantisomd5 puts in is read as checkisomd5 reads it, also of an image that is damaged in every part.
func TestImplanted(t *testing.T) {
	implant, check := needs.Program(t, "implantisomd5", "isomd5sum"), needs.Program(t, "checkisomd5", "isomd5sum")
	xorriso := needs.Program(t, "xorriso", "xorriso")
	dir := t.TempDir()
	iso := filepath.Join(dir, "image.iso")
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "root"), 0o755), os.WriteFile(filepath.Join(dir, "root/file"), image(t, 3<<20, ""), 0o644)); err != nil {
		t.Fatal(err)
	}
	for _, cmd := range []*exec.Cmd{
		exec.Command(xorriso, "-as", "mkisofs", "-quiet", "-R", "-o", iso, filepath.Join(dir, "root")), exec.Command(implant, iso),
	} {
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", cmd, err, out)
		}
	}
	good, err := os.ReadFile(iso)
	if err != nil {
		t.Fatal(err)
	}
	if err := verify(good); err != nil {
		t.Errorf("verify of the image as made: %v", err)
	}
	for _, at := range []int{0, 600, 16 * blockSize, len(good) / 2, len(good) - 16*blockSize, len(good) - 15*blockSize - 1, len(good) - 15*blockSize, len(good) - 1} {
		damaged := bytes.Clone(good)
		damaged[at] ^= 0x10
		if err := os.WriteFile(iso, damaged, 0o644); err != nil {
			t.Fatal(err)
		}
		want := exec.Command(check, iso).Run() == nil
		if err := verify(damaged); (err == nil) != want {
			t.Errorf("byte %d of %d changed: verify = %v, checkisomd5 says %t", at, len(good), err, want)
		}
	}
}

// TestVerifyEnds: a check that nobody waits for any more stops, and tells how far it is.
func TestVerifyEnds(t *testing.T) {
	b := suse(t)
	s, err := Find(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var last int64
	err = s.Verify(ctx, bytes.NewReader(b), func(done int64) { last = done; cancel() })
	if !errors.Is(err, context.Canceled) || last != bufferSize {
		t.Errorf("Verify = %v after %d bytes", err, last)
	}
}

func FuzzFind(f *testing.F) {
	f.Add([]byte("ISO MD5SUM = e1842c4acb9da2ad6bcb13c758bb73cc;SKIPSECTORS = 15;RHLISOSTATUS=0"))
	f.Add([]byte("check=1;pad=150;sha256sum=a722af5e8ff16b07bc38c0971a79f8581016e0d39d3ccc520ac02f6a81f08158;signature=64"))
	plain := image(f, 64*blockSize, "")
	f.Fuzz(func(t *testing.T, text []byte) {
		b := bytes.Clone(plain)
		copy(application(b), text)
		s, err := Find(bytes.NewReader(b))
		if err != nil {
			return
		}
		if s.Size < 0 || s.Size > int64(len(b)) {
			t.Fatalf("size %d", s.Size)
		}
		var mismatch *MismatchError
		if err := s.Verify(context.Background(), bytes.NewReader(b), nil); err != nil && !errors.As(err, &mismatch) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("Verify: %v", err)
		}
	})
}
