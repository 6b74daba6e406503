package initramfs

import (
	"context"
	"crypto/sha256"
	"fmt"
	"runtime"

	"golang.org/x/sync/errgroup"
)

// segment is one archive of an initrd.
type segment struct {
	name string
	raw  []byte

	// stored is for what the kernel reads before it can decompress.
	stored bool

	// file is where a segment goes that is not part of the initrd, in the
	// output folder; empty for all others.
	file string
}

// collect makes the archives and returns them in the order in which the kernel
// unpacks them. What is quick and may be mistaken comes before the compiler.
func (b *builder) collect(ctx context.Context) ([]segment, error) {
	made := map[string]segment{}
	for _, make := range []func(context.Context) (segment, error){b.site, b.microcode, b.modules, b.firmware, b.base} {
		s, err := make(ctx)
		if err != nil {
			return nil, err
		}
		made[s.name] = s
	}
	var all []segment
	for _, name := range []string{"microcode", "base", "modules", "firmware", "site"} {
		if s := made[name]; s.raw != nil {
			all = append(all, s)
		}
	}
	return all, nil
}

// pack compresses the segments beside each other and puts them together: the
// initrd, and the files beside it.
func (b *builder) pack(ctx context.Context, segments []segment) (initrd []byte, beside map[string][]byte, err error) {
	packed := make([][]byte, len(segments))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, s := range segments {
		if s.stored {
			packed[i] = s.raw
			continue
		}
		group.Go(func() (err error) {
			packed[i], err = b.compress(ctx, s)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, nil, err
	}
	beside = map[string][]byte{}
	for i, s := range segments {
		b.manifest.Segments = append(b.manifest.Segments, Segment{
			Name: s.name, File: s.file, Raw: int64(len(s.raw)), Compressed: int64(len(packed[i])),
		})
		if s.file != "" {
			beside[s.file] = packed[i]
			continue
		}
		// Compressed segments need no padding between them, and without it
		// "zstd -dc" and "zcat" read the whole, too. A stored one is padded
		// by its archive.
		initrd = append(initrd, packed[i]...)
	}
	return initrd, beside, nil
}

// compress compresses a segment, or takes it from the cache.
func (b *builder) compress(ctx context.Context, s segment) ([]byte, error) {
	packed, err := b.compressed(ctx, b.compressor, s.raw, func() {
		b.report("compressing segment %s, %s, with %s", s.name, megabytes(int64(len(s.raw))), b.compressor.identity)
	})
	if err != nil {
		return nil, fmt.Errorf("compress segment %s: %w", s.name, err)
	}
	return packed, nil
}

// compressed is what c makes of raw, from the cache where that has it. Before it
// is made, begin is called.
func (b *builder) compressed(ctx context.Context, c compressor, raw []byte, begin func()) ([]byte, error) {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%s\n", c.identity, runtime.Version())
	h.Write(raw)
	return b.cache.get([sha256.Size]byte(h.Sum(nil)), func() ([]byte, error) {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		begin()
		return c.compress(ctx, raw)
	})
}

// report tells the caller of Build about a step, one at a time.
func (b *builder) report(format string, args ...any) {
	b.reporting.Lock()
	defer b.reporting.Unlock()
	b.config.Report(fmt.Sprintf(format, args...))
}
