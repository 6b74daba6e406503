package initramfs

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Config says what to build. The zero value builds for this machine from the
// newest installed kernel.
type Config struct {
	// ISO is a live ISO of KIWI's to take kernel, modules and firmware from.
	// Empty: they are taken as the next three say.
	ISO string

	// Kernel is the path of the kernel image, or of a Debian or RPM package
	// with a kernel and its modules. Empty: the newest one in <Root>/boot of
	// which the modules are installed.
	Kernel string

	// KernelVersion is the version of an installed kernel, as uname -r has it,
	// in place of Kernel.
	KernelVersion string

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

	// Drivers and NoDrivers change the selection of modules. A pattern is for
	// a module's name, or, with a slash in it, for its path below
	// lib/modules/<version>/kernel, where "/..." stands for all below; both
	// have path.Match's wildcards, and each must mean something. What a module
	// needs it keeps; of a module that both name, Drivers decides.
	Drivers, NoDrivers []string

	// Firmware is a folder like /lib/firmware. Empty: the one beside the
	// folder of the modules.
	Firmware string

	// NoFirmware leaves the firmware out. SeparateFirmware writes it into a
	// file "firmware" of its own, for a second initrd.
	NoFirmware, SeparateFirmware bool

	// Microcode puts the processors' microcode in front, where the kernel
	// looks for it before it starts them.
	Microcode bool

	// Options is kernel options for every boot of this image; what stands on
	// the kernel's own line overrides them.
	Options string

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

	// Prebuilt is a folder that Prebuild wrote, to take the commands from in
	// place of compiling them. Version, Committed, Init and Commands are then
	// those of the folder. Empty: they are compiled.
	Prebuilt string

	// Cache is a folder for intermediate results, which may be shared by
	// builds at the same time. Empty: $LIVEBOOT_CACHE, else
	// $XDG_CACHE_HOME/liveboot, else $HOME/.cache/liveboot; where none of
	// these is set, nothing is kept.
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

func build(ctx context.Context, c Config) (m *Manifest, err error) {
	b, err := prepare(ctx, c)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.kernel.close()) }()
	segments, err := b.collect(ctx)
	if err != nil {
		return nil, err
	}
	initrd, beside, err := b.pack(ctx, segments)
	if err != nil {
		return nil, err
	}
	return b.manifest, b.write(initrd, beside)
}

// builder is a build under way.
type builder struct {
	config     Config
	arch       arch
	prebuilt   *prebuilt // nil: the commands are compiled
	kernel     *kernel
	compressor compressor
	cache      cache
	date       time.Time
	manifest   *Manifest
	wanted     firmwareNames // by the modules
	reporting  sync.Mutex    // so that the caller's Report need not be safe
}

// withDefaults fills in what the configuration left out, as far as that needs no look at the machine.
func (c Config) withDefaults() Config {
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
	return c
}

// prepare finds what the build is made from.
func prepare(ctx context.Context, c Config) (_ *builder, err error) {
	b := &builder{}
	if c.Prebuilt != "" {
		if b.prebuilt, err = readPrebuilt(c.Prebuilt); err != nil {
			return nil, err
		}
		if c, err = b.prebuilt.describe(c); err != nil {
			return nil, err
		}
	}
	c = c.withDefaults()
	b.config = c
	defer func() {
		if err != nil && b.kernel != nil {
			err = errors.Join(err, b.kernel.close())
		}
	}()
	if b.arch, err = archFor(c.Arch); err != nil {
		return nil, err
	}
	if b.cache, err = cacheOf(c); err != nil {
		return nil, err
	}
	if b.kernel, err = kernelOf(ctx, c, b.arch); err != nil {
		return nil, err
	}
	compression, reason, err := chooseCompression(c.Compression, b.kernel)
	if err != nil {
		return nil, err
	}
	if b.compressor, err = compressorFor(ctx, compression); err != nil {
		return nil, err
	}
	if strings.HasPrefix(b.compressor.identity, "Go zstd") {
		b.report("no zstd program here (Debian's package zstd): the initrd gets 8 %% larger than it must be")
	}
	if b.date, err = b.imageDate(); err != nil {
		return nil, err
	}
	b.manifest = &Manifest{
		Version: c.Version, Arch: b.arch.goarch, Kernel: b.kernel.release, Date: b.date,
		Compression: compression, Reason: reason, Compressor: b.compressor.identity, Init: c.Init,
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
func (b *builder) base(ctx context.Context) (segment, error) {
	commands, err := newCommandSet(b.config.Init, b.config.Commands)
	if err != nil {
		return segment{}, err
	}
	a, err := b.commands(ctx, commands)
	if err != nil {
		return segment{}, err
	}
	a.addSkeleton()
	about, err := marshal(image{Version: b.config.Version, Kernel: b.kernel.release, Date: b.date})
	if err != nil {
		return segment{}, err
	}
	a.file("etc/liveboot/image.json", about, 0o644)
	b.manifest.Commands = commands.packages
	raw, err := a.bytes()
	return segment{name: "base", raw: raw}, err
}

// commands is the archive of the commands, as they were compiled beforehand
// or as they are compiled now.
func (b *builder) commands(ctx context.Context, commands commandSet) (*archive, error) {
	if b.prebuilt != nil {
		return b.prebuilt.archive(b.config.Prebuilt, b.arch)
	}
	source, err := FindSource(b.config.Source)
	if err != nil {
		return nil, err
	}
	tools, err := findToolchain(ctx, source)
	if err != nil {
		return nil, err
	}
	return b.compiled(ctx, source, tools, commands)
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
	b.report("compiling %d commands with %s (the first time takes about a minute)", len(commands.packages), tools.GOVERSION)
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

// site is the segment with the site's own files and options; without any
// there is none.
func (b *builder) site(context.Context) (segment, error) {
	a, names, err := siteSegment(b.config.Files)
	if err != nil {
		return segment{}, err
	}
	if err := b.bakeOptions(a); err != nil {
		return segment{}, err
	}
	if len(a.records) == 0 {
		return segment{}, nil
	}
	b.manifest.Files = names
	raw, err := a.bytes()
	return segment{name: "site", raw: raw}, err
}

func (b *builder) write(initrd []byte, beside map[string][]byte) error {
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
	files := map[string][]byte{"vmlinuz": b.kernel.image, "initrd": initrd, "initrd.json": manifest}
	maps.Copy(files, beside)
	var errs []error
	if _, ok := files[firmwareFile]; b.config.SeparateFirmware && !ok {
		// One of an earlier build would be taken for this one's.
		if err := os.Remove(filepath.Join(b.config.Output, firmwareFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		errs = append(errs, writeFile(filepath.Join(b.config.Output, name), 0o644, files[name]))
	}
	return errors.Join(errs...)
}
