package initramfs

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/bits"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/liveboot/liveboot/pkg/kernel/module"
	"github.com/liveboot/liveboot/pkg/kernelmodules"
)

// How a module lies in the image: what nearly every boot loads in a file of its own, which the kernel unpacks before process 1; large ones compressed by
// themselves, by xz, which makes the smallest; the rest in archives, compressed by zstd, which takes next to no time to unpack. A machine loads few of them, and
// would otherwise have all of them unpacked, in its memory, before it starts.
const (
	// singleSuffix is what the name of a module gets that is compressed by itself.
	singleSuffix = ".xz"
	// singleFrom is from which size on, in bytes, that is done.
	singleFrom = 128 << 10
	// archiveSize is how many bytes of modules an archive gets: with 1 MiB the initrd is 0.6 % larger, with more a machine unpacks more than it needs.
	archiveSize = 2 << 20
)

// atHand is the modules that nearly every boot loads, beside what none does without, as patterns of rules.
func atHand() []rule {
	return rules(
		"arch/*/crypto/sha256*", "crypto/algif_hash", "drivers/block/nbd", "drivers/md/dm-mod", "drivers/net/virtio_net", "drivers/virtio/virtio_mmio", "drivers/virtio/virtio_pci",
	)
}

// everyday is modules of many machines, as patterns of rules. They lie beside each other, large ones too: xz would take time of too many.
func everyday() []rule {
	return rules(
		"drivers/ata/ahci", "drivers/ata/libata", "drivers/cdrom/cdrom", "drivers/hid/hid", "drivers/hid/hid-generic", "drivers/hid/usbhid/usbhid", "drivers/net/phy/libphy",
		"drivers/nvme/host/...", "drivers/scsi/scsi_mod", "drivers/scsi/sd_mod", "drivers/usb/core/...", "drivers/usb/host/...", "drivers/usb/storage/uas",
		"drivers/usb/storage/usb-storage",
	)
}

func rules(patterns ...string) (all []rule) {
	for _, pattern := range patterns {
		all = append(all, rule{pattern: pattern})
	}
	return all
}

// closure is those modules of s that the rules take, and the named ones, with what they need.
func closure(s *moduleSet, rules []rule, named ...string) map[string]string {
	c := &moduleSet{kernelmodules.Set{Index: s.Index, Why: map[string]string{}, Out: s.Out}}
	for name := range s.Why {
		if r, ok := takenBy(rules, cmp.Or(s.Index.Tree[name], s.Index.Paths[name])); ok {
			c.Why[name] = r.pattern
		}
	}
	for _, alias := range named {
		modules, _ := s.Index.Resolve(alias)
		for _, m := range modules {
			c.Why[m] = alias
		}
	}
	c.Close()
	return c.Why
}

// stores says of the modules that are compressed in the image where they lie there.
func stores(s *moduleSet, size func(name string) int) map[string]string {
	var required []string
	for _, r := range requirements() {
		required = append(required, r.module)
	}
	plain, often := closure(s, atHand(), required...), closure(s, everyday())
	stored := map[string]string{}
	archives := 0
	archive := func(names []string) {
		filled := archiveSize + 1 // so that a new one begins
		for _, name := range names {
			if filled += size(name); filled > archiveSize {
				archives, filled = archives+1, size(name)
			}
			stored[name] = fmt.Sprintf("%s/%d%s/%s", module.ArchiveFolder, archives, module.ArchiveSuffix, s.PlainPath(name))
		}
	}
	var first, rest []string
	for _, name := range s.Sorted() {
		switch {
		case plain[name] != "":
		case often[name] != "":
			first = append(first, name)
		case size(name) >= singleFrom:
			stored[name] = s.PlainPath(name) + singleSuffix
		default:
			rest = append(rest, name)
		}
	}
	archive(first)
	archive(rest)
	return stored
}

// storedFiles is what the modules are in the image, by their paths below lib/modules/<release>: the files as they are, and what is still to be compressed.
func storedFiles(s *moduleSet, content map[string][]byte) (files, toCompress map[string][]byte, err error) {
	files, toCompress = map[string][]byte{}, map[string][]byte{}
	archives := map[string]*archive{}
	for name, b := range content {
		archive, file := module.CutArchive(s.ImagePath(name))
		switch {
		case archive != "":
			if archives[archive] == nil {
				archives[archive] = newArchive()
			}
			archives[archive].file(file, b, 0o644)
		case s.Stored[name] != "":
			toCompress[file] = b
		default:
			files[file] = b
		}
	}
	for name, a := range archives {
		if toCompress[name], err = a.bytes(); err != nil {
			return nil, nil, err
		}
	}
	return files, toCompress, nil
}

// packModules compresses files beside each other, each by what its name asks for, or takes them from the cache.
func (b *builder) packModules(ctx context.Context, plain map[string][]byte) (map[string][]byte, error) {
	var singles, archives []string
	for _, name := range slices.Sorted(maps.Keys(plain)) {
		if strings.HasSuffix(name, singleSuffix) {
			singles = append(singles, name)
		} else {
			archives = append(archives, name)
		}
	}
	all := map[string][]byte{}
	if len(singles) > 0 {
		c := singleCompressor(ctx)
		b.manifest.ModulePack = c.identity
		if strings.HasPrefix(c.identity, "Go ") {
			b.report("no xz program here (Debian's package xz-utils): the initrd gets 12 %% larger than it must be")
		}
		b.report("compressing %d large modules, with %s", len(singles), c.identity)
		if err := b.compressAll(ctx, c, singles, plain, all); err != nil {
			return nil, err
		}
	}
	if len(archives) > 0 {
		c := zstdCompressor(ctx)
		b.manifest.ModuleArchive = c.identity
		b.report("compressing %d archives of modules, with %s", len(archives), c.identity)
		if err := b.compressAll(ctx, c, archives, plain, all); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// compressAll puts what c makes of the files of these names, or has made of them before, into packed.
func (b *builder) compressAll(ctx context.Context, c compressor, names []string, plain, packed map[string][]byte) error {
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for _, name := range names {
		group.Go(func() error {
			content, err := b.compressed(ctx, c, plain[name], func() {}) // they were announced together
			if err != nil {
				return fmt.Errorf("compress %s: %w", name, err)
			}
			mu.Lock()
			defer mu.Unlock()
			packed[name] = content
			return nil
		})
	}
	return group.Wait()
}

// singleCompressor is what compresses single modules: the xz program (Debian package xz-utils), else Go's encoder, which makes them a fifth larger. Of the
// formats of the kernel's build xz makes the smallest.
func singleCompressor(ctx context.Context) compressor {
	program, version := installed(ctx, "xz", xzVersion)
	if version == "" {
		return compressor{goXZ(), func(_ context.Context, b []byte) ([]byte, error) { return encodeXZ(b, singleDictionary(len(b))) }}
	}
	return compressor{"xz " + version + " -9e", func(ctx context.Context, b []byte) ([]byte, error) {
		// The format's own default, 64 MiB, would be the memory that each unpacking takes.
		cmd := exec.CommandContext(ctx, program, "--format=xz", "--check=crc32", "--threads=1", fmt.Sprintf("--lzma2=preset=9e,dict=%d", singleDictionary(len(b))), "--stdout")
		cmd.Env = slices.DeleteFunc(cmd.Environ(), func(v string) bool { return strings.HasPrefix(v, "XZ_") })
		return filter(ctx, cmd, b)
	}}
}

// xzVersion finds the version in "xz (XZ Utils) 5.4.1".
var xzVersion = regexp.MustCompile(`\b\d+\.\d+\.\d+\b`)

// singleDictionary is the dictionary for a module of size bytes: all of it, in a power of two as the format has them, up to 4 MiB.
func singleDictionary(size int) int {
	return min(max(1<<bits.Len(uint(max(size, 1)-1)), 64<<10), 4<<20)
}
