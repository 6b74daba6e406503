package mkfs

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/liveboot/liveboot/pkg/mkfs/internal/image"
	"github.com/liveboot/liveboot/pkg/mkfs/internal/sparse"
	"github.com/liveboot/liveboot/pkg/needs"
	"github.com/liveboot/liveboot/pkg/probe"
)

// TestFormatters: each makes what it is named after, on the smallest and on the largest device it says it can, and no other.
func TestFormatters(t *testing.T) {
	for _, f := range Formatters() {
		for _, size := range []int64{f.MinSize, f.MaxSize} {
			if size > 64*tib {
				size = 64 * tib // the full size takes long
			}
			d := &sparse.Device{Size: size, Sector: 1024}
			if err := f.Format(d, size, Options{Label: strings.Repeat("l", f.MaxLabel)}); err != nil {
				t.Errorf("%s on %d bytes: %v", f.Name, size, err)
				continue
			}
			if got, err := probe.FileSystem(d); got != f.Name || err != nil {
				t.Errorf("%s on %d bytes: probe.FileSystem() = %q, %v", f.Name, size, got, err)
			}
		}
		for _, size := range []int64{f.MinSize - 1, f.MaxSize + 1} {
			d := &sparse.Device{Size: size, Sector: 1024}
			if err := f.Format(d, size, Options{}); err == nil || d.Calls > 0 {
				t.Errorf("%s on %d bytes: %v after %d calls, want an error after none", f.Name, size, err, d.Calls)
			}
		}
		d := &sparse.Device{Size: f.MinSize, Sector: 1024}
		if err := f.Format(d, f.MinSize, Options{Label: strings.Repeat("l", f.MaxLabel+1)}); err == nil || d.Calls > 0 {
			t.Errorf("%s with too long a label: %v after %d calls, want an error after none", f.Name, err, d.Calls)
		}
	}
}

// TestFormatWipes: no signature is left but the new one.
func TestFormatWipes(t *testing.T) {
	const size = 600 * mib
	for _, f := range Formatters() {
		full := &sparse.Device{Size: size, Sector: 512, Garbage: []byte("garbage")}
		plain := &sparse.Device{Size: size, Sector: 512, Garbage: []byte("garbage")}
		if err := errors.Join(f.Format(full, size, Options{}), f.Format(struct{ io.WriterAt }{plain}, size, Options{})); err != nil {
			t.Fatal(err)
		}
		for _, p := range places() {
			for _, d := range []*sparse.Device{full, plain} {
				b := make([]byte, 7)
				if _, err := d.ReadAt(b, min(p.at(size), size-7)); err == nil && strings.Contains("garbagegarbage", string(b)) {
					t.Errorf("%s: %s is left", f.Name, p.format)
				}
			}
		}
		if got, want := full.Events[:3], []string{"zero", "sync", "zero"}; !cmp.Equal(got, want) {
			t.Errorf("%s did %v, want %v first", f.Name, got, want)
		}
	}
}

// TestFormatFails passes on every error of the device.
func TestFormatFails(t *testing.T) {
	failure := errors.New("unplugged")
	for _, f := range Formatters() {
		const size = 300 * mib
		good := &sparse.Device{Size: size, Sector: 512}
		if err := f.Format(good, size, Options{}); err != nil {
			t.Fatal(err)
		}
		for n := 1; n <= good.Calls; n++ {
			d := &sparse.Device{Size: size, Sector: 512, FailAt: n, Failure: failure}
			if err := f.Format(d, size, Options{}); !errors.Is(err, failure) || d.Calls != n {
				t.Errorf("%s: Format() = %v after %d calls, want %v after %d", f.Name, err, d.Calls, failure, n)
			}
		}
	}
}

// TestRealSignatures: what programs have left on a device, wipefs finds no more.
func TestRealSignatures(t *testing.T) {
	const size = 600 * mib
	tests := []struct {
		name   string
		debian string
		args   []string
	}{
		{"btrfs", "btrfs-progs", []string{"mkfs.btrfs", "-q", "-f"}},
		{"swap", "util-linux", []string{"mkswap"}},
		{"ext4", "e2fsprogs", []string{"mkfs.ext4", "-q", "-F"}},
		{"xfs", "xfsprogs", []string{"mkfs.xfs", "-q", "-f"}},
		{"GPT", "fdisk", []string{"sfdisk", "-q", "--label", "gpt", "--wipe", "always"}},
	}
	for _, f := range Formatters() {
		for _, tt := range tests {
			t.Run(tt.name+" before "+f.Name, func(t *testing.T) {
				d, path := image.New(t, size)
				if tt.name == "GPT" {
					script := fmt.Sprintf("echo 'start=2048' | %s %s", needs.Program(t, "sfdisk", "fdisk"), strings.Join(append(tt.args[1:], path), " "))
					image.Tool(t, "dash", "sh", "-c", script)
				} else {
					image.Tool(t, tt.debian, tt.args[0], append(tt.args[1:], path)...)
				}
				if len(signatures(t, path)) == 0 {
					t.Fatalf("%s left no signature that wipefs finds", tt.name)
				}
				if err := f.Format(d, d.Size(), Options{}); err != nil {
					t.Fatal(err)
				}
				if got, want := signatures(t, path), []string{f.Name}; !cmp.Equal(got, want) {
					t.Errorf("wipefs finds %v, want %v", got, want)
				}
			})
		}
	}
}

// signatures are the types that wipefs finds.
func signatures(t *testing.T, path string) []string {
	t.Helper()
	return strings.Fields(image.Tool(t, "util-linux", "wipefs", "--noheadings", "-O", "TYPE", path))
}
