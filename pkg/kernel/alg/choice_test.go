package alg

import (
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"
)

func TestInstructions(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       bool
	}{
		{"x86 with", "processor\t: 0\nflags\t\t: fpu sse2 sha_ni avx2\n", true},
		{"x86 without", "processor\t: 0\nmodel name\t: QEMU TCG CPU sha_ni\nflags\t\t: fpu sse2 avx2\n", false},
		{"Arm with", "processor\t: 0\nFeatures\t: fp asimd aes sha1 sha2 crc32\n", true},
		{"Arm without", "processor\t: 0\nFeatures\t: fp asimd crc32\n", false},
		{"nothing", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := instructions(fstest.MapFS{"proc/cpuinfo": {Data: []byte(tt.text)}}); got != tt.want {
				t.Errorf("instructions() = %t, want %t", got, tt.want)
			}
		})
	}
	if !instructions(fstest.MapFS{}) {
		t.Error("instructions() without /proc = false, want true")
	}
}

// without is the /proc of a machine whose processor has no instructions for hashes.
func without() fstest.MapFS { return fstest.MapFS{"proc/cpuinfo": {Data: []byte("flags\t\t: fpu\n")}} }

// Whatever is wrong with the kernel's, it is Go's that is used; the kernel is asked only where it may be faster, and once.
func TestChooseGo(t *testing.T) {
	for _, tt := range []struct {
		name  string
		proc  fstest.MapFS
		err   error
		loads int
		want  string
	}{
		{"instructions", fstest.MapFS{"proc/cpuinfo": {Data: []byte("flags\t\t: sha_ni\n")}}, nil, 0, ""},
		{"no module", without(), errors.New("no such module"), 1, "sha256 is computed by Go: no such module"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			loads, said := 0, ""
			c := &Chooser{
				Proc: tt.proc, Load: func() error { loads++; return tt.err },
				Report: func(format string, args ...any) { said += fmt.Sprintf(format, args...) },
			}
			for range 2 {
				if h := c.Choose("sha256", sha256.New()); h != nil {
					t.Errorf("Choose() = %v, want nil", h)
				}
			}
			if loads != tt.loads || said != tt.want {
				t.Errorf("the module was loaded %d times, said %q, want %d, %q", loads, said, tt.loads, tt.want)
			}
		})
	}
}

// The kernel's is used where it is faster, as long as it does not fail.
func TestChooseKernel(t *testing.T) {
	kernel(t, "sha256")
	var said []string
	c := &Chooser{
		Proc: without(), Load: func() error { return nil },
		Report: func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) },
	}
	if h, ok := c.Choose("sha256", sha256.New()).(*Hash); ok { // the kernel of a machine with instructions may be no faster
		h.Close()
	}
	if len(said) != 1 || !strings.HasPrefix(said[0], "sha256 is computed by ") {
		t.Errorf("said %q, want what is used", said)
	}
	crawling := slow{sha512.New(), 100 * time.Millisecond, nil}
	first, isFirst := c.Choose("sha512", crawling).(*Hash)
	second, isSecond := c.Choose("sha512", crawling).(*Hash)
	if !isFirst || !isSecond || first == second {
		t.Fatalf("Choose() = %v and %v, want two of the kernel's", first, second)
	}
	defer first.Close()
	if got, want := fmt.Sprintf("%x", second.Sum(nil)), fmt.Sprintf("%x", sha512.Sum512(nil)); got != want {
		t.Errorf("what was chosen has the digest %s, want that of nothing, %s", got, want)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := second.Write([]byte("x")); err == nil {
		t.Fatal("Write() to a closed hash = nil, want an error")
	}
	if h := c.Choose("sha512", crawling); h != nil {
		t.Error("Choose() after a failure is the kernel's again, want Go's")
	}
	if want := []string{said[0], "sha512 is computed by the kernel, which is faster than Go on this processor"}; !slices.Equal(said, want) {
		t.Errorf("said %q, want %q", said, want)
	}
}

// slow is a hash that takes its time.
type slow struct {
	hash.Hash
	takes time.Duration
	err   error
}

func (s slow) Write(p []byte) (int, error) {
	time.Sleep(s.takes)
	if s.err != nil {
		return 0, s.err
	}
	return s.Hash.Write(p)
}

func TestFaster(t *testing.T) {
	for _, tt := range []struct {
		name string
		a    slow
		want bool
	}{
		{"twice as fast", slow{sha256.New(), 5 * time.Millisecond, nil}, true},
		{"a little faster", slow{sha256.New(), 9500 * time.Microsecond, nil}, false},
		{"slower", slow{sha256.New(), 20 * time.Millisecond, nil}, false},
		{"fails", slow{sha256.New(), time.Millisecond, errors.New("no memory")}, false},
		{"another digest", slow{sha512.New(), time.Millisecond, nil}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if got := Faster(tt.a, slow{sha256.New(), 10 * time.Millisecond, nil}); got != tt.want {
					t.Errorf("Faster() = %t, want %t", got, tt.want)
				}
			})
			if got, want := tt.a.Sum(nil), tt.a.Hash; tt.a.err == nil {
				want.Reset()
				if string(got) != string(want.Sum(nil)) {
					t.Error("it is not empty after it")
				}
			}
		})
	}
}
