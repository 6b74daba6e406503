package decompress

import (
	"bytes"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/liveboot/liveboot/pkg/needs"
)

// BenchmarkBesideTools unpacks what the tools pack, and reports how fast that is beside the tool itself, by the clock and by the
// processors' time, which other programs disturb less: 2 is twice as fast.
func BenchmarkBesideTools(b *testing.B) {
	plain := sample(32 << 20)
	for _, bb := range []struct{ name, pack, unpack, debian string }{
		{"xz", "xz -T1 -6 -c", "xz -T1 -dc", "xz-utils"},
		{"xz-T", "xz -T2 -6 --block-size=4MiB -c", "xz -T2 -dc", "xz-utils"},
		{"gzip", "gzip -6 -c", "gzip -dc", "gzip"},
		{"zstd", "zstd -10 -c", "zstd -dc", "zstd"},
		{"bzip2", "bzip2 -c", "bzip2 -dc", "bzip2"},
	} {
		b.Run(bb.name, func(b *testing.B) {
			file := run(b, plain, bb.pack, bb.debian)
			wall, processor := measureTool(b, file, bb.unpack, bb.debian)
			b.SetBytes(int64(len(plain)))
			b.ReportAllocs()
			start := processorTime(b)
			for b.Loop() {
				d, err := New(bytes.NewReader(file), Options{})
				if err != nil {
					b.Fatal(err)
				}
				if n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{d}, make([]byte, 1<<20)); err != nil || n != int64(len(plain)) {
					b.Fatal(n, err)
				}
				d.Close()
			}
			b.ReportMetric(wall.Seconds()*float64(b.N)/b.Elapsed().Seconds(), "×tool")
			b.ReportMetric(processor.Seconds()*float64(b.N)/(processorTime(b)-start).Seconds(), "×tool-cpu")
		})
	}
}

// measureTool returns how long a tool takes.
func measureTool(b *testing.B, in []byte, command, debian string) (wall, processor time.Duration) {
	b.Helper()
	args := strings.Fields(command)
	cmd := exec.Command(needs.Program(b, args[0], debian), args[1:]...)
	cmd.Stdin, cmd.Stdout = bytes.NewReader(in), io.Discard
	start := time.Now()
	if err := cmd.Run(); err != nil {
		b.Fatalf("%s: %v", command, err)
	}
	return time.Since(start), cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
}

func processorTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
