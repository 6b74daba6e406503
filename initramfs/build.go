package initramfs

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"
)

// Config says what to build. The zero value builds for this machine from the
// newest installed kernel.
type Config struct {
	// Kernel is the path of the kernel image. Empty: the newest one in
	// <Root>/boot of which the modules are installed.
	Kernel string

	// Modules is a folder lib/modules/<version>. Empty: the one below Root
	// of the kernel's version, which is read from the image.
	Modules string

	// Root is where installed kernels are looked for. Empty: "/".
	Root string

	// Commands is Go packages to compile into the image, beside liveboot
	// and the shell. Nil: DefaultCommands().
	Commands []string

	// Init is the Go package of process 1. Empty: InitPackage.
	Init string

	// Files is what the site adds.
	Files []File

	// Output is the folder for vmlinuz, initrd and initrd.json. It is made
	// if it does not exist. Empty: "build".
	Output string

	// Compression of the segments. Empty: Auto.
	Compression Compression

	// Arch is the architecture of the image, as Go names it. Empty: that of
	// this machine.
	Arch string

	// Version is liveboot's own, as people should see it. Empty: "devel".
	Version string

	// Date is the image's own date. Zero: $SOURCE_DATE_EPOCH, else the later
	// of Committed and the kernel's date.
	Date time.Time

	// Committed is the date of the source; zero when not known.
	Committed time.Time

	// Source is the checkout to compile from. Empty: the one around the
	// working directory, else the one this program was compiled in.
	Source string

	// Cache is a folder for intermediate results, which may be shared by
	// builds at the same time. Empty: $LIVEBOOT_CACHE, else
	// $XDG_CACHE_HOME/liveboot, else $HOME/.cache/liveboot.
	Cache string

	// Report is called with a sentence when a longer step starts. May be nil.
	Report func(string)
}

// Build writes vmlinuz, initrd and initrd.json into the output folder, each
// of them at once and only when all succeeded. The same inputs give the same
// bytes.
func Build(ctx context.Context, c Config) (*Manifest, error) {
	m, err := build(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("build initramfs: %w", err)
	}
	return m, nil
}

func build(ctx context.Context, c Config) (*Manifest, error) {
	b, err := prepare(c)
	if err != nil {
		return nil, err
	}
	segments := []func(context.Context) (string, []byte, error){b.base, b.modules, b.site}
	var initrd []byte
	for _, segment := range segments {
		name, raw, err := segment(ctx)
		if err != nil {
			return nil, err
		}
		if raw == nil {
			continue
		}
		packed, err := b.pack(ctx, name, raw)
		if err != nil {
			return nil, err
		}
		b.manifest.Segments = append(b.manifest.Segments, Segment{Name: name, Raw: int64(len(raw)), Compressed: int64(len(packed))})
		initrd = append(initrd, packed...)
	}
	return b.manifest, b.write(initrd)
}

// builder is a build under way.
type builder struct {
	config     Config
	arch       arch
	kernel     *kernel
	compressor compressor
	cache      cache
	date       time.Time
	manifest   *Manifest
}

// prepare fills in what the configuration left out.
func prepare(c Config) (*builder, error) {
	c.Root = cmp.Or(c.Root, "/")
	c.Init = cmp.Or(c.Init, InitPackage)
	c.Output = cmp.Or(c.Output, "build")
	c.Version = cmp.Or(c.Version, "devel")
	if c.Commands == nil {
		c.Commands = DefaultCommands()
	}
	if c.Report == nil {
		c.Report = func(string) {}
	}
	b := &builder{config: c}
	var err error
	if b.arch, err = archFor(c.Arch); err != nil {
		return nil, err
	}
	if b.config.Cache == "" {
		if b.config.Cache, err = cacheDir(); err != nil {
			return nil, err
		}
	}
	b.cache = cache{dir: filepath.Join(b.config.Cache, "initramfs")}
	if b.kernel, err = findKernel(c.Root, c.Kernel, c.Modules, b.arch); err != nil {
		return nil, err
	}
	compression, reason, err := chooseCompression(c.Compression, c.Root, b.kernel, b.arch)
	if err != nil {
		return nil, err
	}
	if b.compressor, err = compressorFor(compression); err != nil {
		return nil, err
	}
	if b.date, err = b.imageDate(); err != nil {
		return nil, err
	}
	b.manifest = &Manifest{
		Version: c.Version, Arch: b.arch.goarch, Kernel: b.kernel.release, Date: b.date,
		Compression: compression, Reason: reason, Init: c.Init,
	}
	return b, nil
}

// imageDate follows https://reproducible-builds.org/specs/source-date-epoch/.
func (b *builder) imageDate() (time.Time, error) {
	if !b.config.Date.IsZero() {
		return b.config.Date.UTC(), nil
	}
	if epoch := os.Getenv("SOURCE_DATE_EPOCH"); epoch != "" {
		seconds, err := strconv.ParseInt(epoch, 10, 64)
		if err != nil {
			return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH=%s: want seconds since 1970", epoch)
		}
		return time.Unix(seconds, 0).UTC(), nil
	}
	if b.config.Committed.After(b.kernel.date) {
		return b.config.Committed.UTC(), nil
	}
	return b.kernel.date, nil
}

// base is the segment with our commands: everything but the kernel's own.
func (b *builder) base(ctx context.Context) (string, []byte, error) {
	commands, err := newCommandSet(b.config.Init, b.config.Commands)
	if err != nil {
		return "", nil, err
	}
	source, err := FindSource(b.config.Source)
	if err != nil {
		return "", nil, err
	}
	tools, err := findToolchain(ctx, source)
	if err != nil {
		return "", nil, err
	}
	a, err := b.compiled(ctx, source, tools, commands)
	if err != nil {
		return "", nil, err
	}
	a.addSkeleton()
	about, err := marshal(image{Version: b.config.Version, Kernel: b.kernel.release, Date: b.date})
	if err != nil {
		return "", nil, err
	}
	a.file("etc/liveboot/image.json", about, 0o644)
	b.manifest.Commands = commands.packages
	raw, err := a.bytes()
	return "base", raw, err
}

// compiled is the archive of the commands, from the cache when their source
// is as it was.
func (b *builder) compiled(ctx context.Context, source string, tools toolchain, commands commandSet) (*archive, error) {
	key, err := sourceKey(ctx, source, b.arch, tools, commands)
	if err != nil {
		return nil, err
	}
	if raw, ok := b.cache.load(key); ok {
		return readArchive(raw)
	}
	b.config.Report(fmt.Sprintf("compiling %d commands with %s (the first time takes about a minute)", len(commands.packages), tools.GOVERSION))
	a, err := buildCommands(ctx, source, b.arch, tools, commands)
	if err != nil {
		return nil, err
	}
	raw, err := a.bytes()
	if err != nil {
		return nil, err
	}
	// Someone may have saved a file meanwhile: then it is not known which
	// source this is the result of.
	after, err := sourceKey(ctx, source, b.arch, tools, commands)
	if err != nil {
		return nil, err
	}
	if after == key {
		err = b.cache.store(key, raw)
	}
	return a, err
}

// modules is the segment with the kernel's modules.
func (b *builder) modules(context.Context) (string, []byte, error) {
	b.config.Report("collecting the modules of kernel " + b.kernel.release)
	fsys := os.DirFS(b.kernel.modules)
	index, err := readModuleIndex(fsys)
	if err != nil {
		return "", nil, fmt.Errorf("read %s: %w", b.kernel.modules, err)
	}
	set, err := selectModules(index, selection(), requirements())
	if err != nil {
		return "", nil, fmt.Errorf("modules of kernel %s: %w", b.kernel.release, err)
	}
	a, list, err := modulesSegment(fsys, b.kernel.release, set)
	if err != nil {
		return "", nil, fmt.Errorf("read %s: %w", b.kernel.modules, err)
	}
	b.manifest.Modules = list
	raw, err := a.bytes()
	return "modules", raw, err
}

// site is the segment with the site's own files; without any there is none.
func (b *builder) site(context.Context) (string, []byte, error) {
	if len(b.config.Files) == 0 {
		return "site", nil, nil
	}
	a, names, err := siteSegment(b.config.Files)
	if err != nil {
		return "", nil, err
	}
	b.manifest.Files = names
	raw, err := a.bytes()
	return "site", raw, err
}

// pack compresses a segment, or takes it from the cache. Compressed segments
// need no padding between them, and without it "zstd -dc" and "zcat" read the
// whole, too.
func (b *builder) pack(ctx context.Context, name string, raw []byte) ([]byte, error) {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%s\n", b.compressor.identity, runtime.Version())
	h.Write(raw)
	packed, err := b.cache.get([sha256.Size]byte(h.Sum(nil)), func() ([]byte, error) {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		b.config.Report(fmt.Sprintf("compressing segment %s, %s", name, megabytes(int64(len(raw)))))
		return b.compressor.compress(raw)
	})
	if err != nil {
		return nil, fmt.Errorf("compress segment %s: %w", name, err)
	}
	return packed, nil
}

func (b *builder) write(initrd []byte) error {
	m := b.manifest
	sum, kernelSum := sha256.Sum256(initrd), sha256.Sum256(b.kernel.image)
	m.Bytes, m.SHA256 = int64(len(initrd)), hex.EncodeToString(sum[:])
	m.KernelBytes, m.KernelSum = int64(len(b.kernel.image)), hex.EncodeToString(kernelSum[:])
	manifest, err := marshal(m)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(b.config.Output, 0o777); err != nil {
		return err
	}
	return errors.Join(
		writeFile(filepath.Join(b.config.Output, "vmlinuz"), 0o644, b.kernel.image),
		writeFile(filepath.Join(b.config.Output, "initrd"), 0o644, initrd),
		writeFile(filepath.Join(b.config.Output, "initrd.json"), 0o644, manifest),
	)
}
