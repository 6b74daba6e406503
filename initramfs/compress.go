package initramfs

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// Compression is how the segments of an initrd are compressed.
type Compression string

const (
	// Auto is what the kernel's configuration has, in this order: Zstd
	// (CONFIG_RD_ZSTD), Gzip, XZ. Xz makes smaller images than gzip, but a
	// kernel takes ten times as long to unpack them, so it is the last
	// choice. Gzip also where the configuration is not known: hardly a
	// kernel is without.
	Auto Compression = "auto"
	Zstd Compression = "zstd"
	Gzip Compression = "gzip"
	XZ   Compression = "xz"
)

// The decoder's memory in bytes, which the kernel allocates while it unpacks;
// lib/decompress_unzstd.c allows up to 128 MiB. Functions of one kind resemble
// each other from far away: with 32 MiB the commands are 3.5 % smaller than
// with 8 MiB, and more gains next to nothing. The Go encoder gains nothing
// from more than 8 MiB, which is what RFC 8878, section 3.1.1.1.2, asks every
// decoder to support.
const (
	zstdProgramWindowLog = 25
	zstdGoWindow         = 8 << 20
)

// compressor turns a segment into something the kernel unpacks. The output
// depends on the input and on the identity only.
type compressor struct {
	// identity names the program, its version and its settings. It is an
	// input of the build, and part of the cache's key.
	identity string
	compress func(context.Context, []byte) ([]byte, error)
}

// compressorFor finds the best compressor that this machine has.
func compressorFor(ctx context.Context, c Compression) (compressor, error) {
	switch c {
	case Zstd:
		return zstdCompressor(ctx), nil
	case Gzip:
		return compressor{"Go gzip " + runtime.Version() + " -9", compressGzip}, nil
	case XZ:
		return compressor{goXZ(), compressXZ}, nil
	}
	return compressor{}, fmt.Errorf("compression %q: not known, choose one of %s, %s, %s, %s", c, Auto, Zstd, Gzip, XZ)
}

// zstdCompressor is the zstd program, else Go's encoder.
func zstdCompressor(ctx context.Context) compressor {
	if p, ok := zstdProgram(ctx); ok {
		return p
	}
	return compressor{"Go zstd " + moduleVersion("github.com/klauspost/compress") + " best", compressZstd}
}

// zstdArgs are the settings of the zstd program; they override its environment
// variables. Its output does not depend
// on the number of threads as long as there is one beside the main thread,
// which -T0 always starts.
func zstdArgs() []string {
	return []string{"-19", fmt.Sprintf("--long=%d", zstdProgramWindowLog), "-T0", "--check", "--no-progress", "-q", "-c"}
}

// zstdProgram is the zstd program of the building machine (Debian package
// zstd), which makes a segment up to 15 % smaller than the Go encoder does. One that does not say its version as known is not used.
func zstdProgram(ctx context.Context) (compressor, bool) {
	program, version := installed(ctx, "zstd", zstdVersion)
	if version == "" {
		return compressor{}, false
	}
	args := zstdArgs()
	return compressor{
		identity: "zstd " + version + " " + strings.Join(args[:2], " "),
		compress: func(ctx context.Context, b []byte) ([]byte, error) {
			return filter(ctx, exec.CommandContext(ctx, program, append(args, fmt.Sprintf("--stream-size=%d", len(b)))...), b)
		},
	}, true
}

// installed returns a program of the building machine and its version, which
// is what matches in what --version says; both are empty where there is none
// that does.
func installed(ctx context.Context, name string, version *regexp.Regexp) (program, is string) {
	program, err := exec.LookPath(name)
	if err != nil {
		return "", ""
	}
	out, err := exec.CommandContext(ctx, program, "--version").Output()
	if is = version.FindString(string(out)); err != nil || is == "" {
		return "", ""
	}
	return program, is
}

// filter returns what cmd, which ends with ctx, makes of b.
func filter(ctx context.Context, cmd *exec.Cmd, b []byte) ([]byte, error) {
	cmd.Stdin = bytes.NewReader(b)
	out, err := cmd.Output()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("run %s: %w%s", cmd.Path, err, stderrOf(err))
	}
	return out, nil
}

// zstdVersion finds the version in "*** Zstandard CLI (64-bit) v1.5.4, by
// Yann Collet ***".
var zstdVersion = regexp.MustCompile(`\bv\d+\.\d+\.\d+\b`)

func compressZstd(_ context.Context, b []byte) ([]byte, error) {
	// One goroutine: with more the block borders, and so the output, would
	// depend on the number of processors. The checksum lets the kernel notice
	// a damaged initrd.
	w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression),
		zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(zstdGoWindow), zstd.WithEncoderCRC(true))
	if err != nil {
		return nil, err
	}
	return w.EncodeAll(b, nil), w.Close()
}

func compressGzip(_ context.Context, b []byte) ([]byte, error) {
	return through(b, func(out io.Writer) (io.WriteCloser, error) { return gzip.NewWriterLevel(out, gzip.BestCompression) })
}

func compressXZ(_ context.Context, b []byte) ([]byte, error) { return encodeXZ(b, 0) }

// encodeXZ is Go's encoder with a dictionary of so many bytes; 0 is its own, 8
// MiB. It uses the only checksum that the kernel knows (its
// Documentation/staging/xz.rst).
func encodeXZ(b []byte, dictionary int) ([]byte, error) {
	return through(b, func(out io.Writer) (io.WriteCloser, error) {
		return xz.WriterConfig{CheckSum: xz.CRC32, DictCap: dictionary}.NewWriter(out)
	})
}

// through returns what a stream compressor makes of b.
func through(b []byte, open func(io.Writer) (io.WriteCloser, error)) ([]byte, error) {
	var out bytes.Buffer
	w, err := open(&out)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(b); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// goXZ names Go's xz encoder.
func goXZ() string { return "Go xz " + moduleVersion("github.com/ulikunitz/xz") }

// moduleVersion is the version of a Go module in the running program; empty
// when the program does not know, as in some tests.
func moduleVersion(module string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, m := range info.Deps {
		if m.Path == module {
			return m.Version
		}
	}
	return ""
}
