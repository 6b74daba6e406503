package initramfs

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"math/bits"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/liveboot/liveboot/pkg/kernelmodules"
)

// packedSuffix is what the name of a module gets that is compressed by itself.
const packedSuffix = ".xz"

// packedFrom is from which size on, in bytes, a module is compressed by itself. Small ones are much alike, and take less room as a part of the whole.
const packedFrom = 128 << 10

// everyday is the modules that nearly every machine loads, as patterns of rules. They are not compressed by themselves: it would only cost time.
func everyday() []rule {
	var rules []rule
	for _, pattern := range []string{
		"drivers/ata/libata", "drivers/cdrom/cdrom", "drivers/hid/hid", "drivers/hid/usbhid/usbhid", "drivers/md/dm-mod", "drivers/net/phy/libphy",
		"drivers/net/virtio_net", "drivers/nvme/host/...", "drivers/scsi/scsi_mod", "drivers/scsi/sd_mod", "drivers/usb/core/...",
		"drivers/usb/host/...", "drivers/usb/storage/usb-storage",
	} {
		rules = append(rules, rule{pattern: pattern})
	}
	return rules
}

// packable says of each large module whether it is to be compressed by itself. A machine needs a few of them, and would otherwise have all of them
// unpacked in memory as long as it starts.
func packable(s *moduleSet, size func(name string) int) map[string]bool {
	needed := &moduleSet{kernelmodules.Set{Index: s.Index, Why: map[string]string{}, Out: s.Out}}
	for _, r := range requirements() {
		modules, _ := s.Index.Resolve(r.module)
		for _, m := range modules {
			needed.Why[m] = r.why
		}
	}
	needed.Close()
	packed := map[string]bool{}
	for name := range s.Why {
		_, often := takenBy(everyday(), cmp.Or(s.Index.Tree[name], s.Index.Paths[name]))
		if size(name) >= packedFrom && !often && needed.Why[name] == "" {
			packed[name] = true
		}
	}
	return packed
}

// packModules compresses modules beside each other, or takes them from the cache.
func (b *builder) packModules(ctx context.Context, plain map[string][]byte) (map[string][]byte, error) {
	if len(plain) == 0 {
		return nil, nil
	}
	c := modulePacker(ctx)
	b.manifest.ModulePack = c.identity
	if strings.HasPrefix(c.identity, "Go ") {
		b.report("no xz program here (Debian's package xz-utils): the initrd gets 12 %% larger than it must be")
	}
	b.report("compressing %d large modules, with %s", len(plain), c.identity)
	names := slices.Sorted(maps.Keys(plain))
	packed := make([][]byte, len(names))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, name := range names {
		group.Go(func() (err error) {
			h := sha256.New()
			fmt.Fprintf(h, "module\n%s\n%s\n", c.identity, runtime.Version())
			h.Write(plain[name])
			packed[i], err = b.cache.get([sha256.Size]byte(h.Sum(nil)), func() ([]byte, error) { return c.compress(ctx, plain[name]) })
			if err != nil {
				return fmt.Errorf("compress module %s: %w", name, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	all := map[string][]byte{}
	for i, name := range names {
		all[name] = packed[i]
	}
	return all, nil
}

// modulePacker is what compresses single modules: the xz program (Debian package xz-utils), else Go's encoder, which makes them a fifth larger. Of the
// formats of the kernel's build xz makes the smallest, and each machine unpacks few.
func modulePacker(ctx context.Context) compressor {
	program, version := installed(ctx, "xz", xzVersion)
	if version == "" {
		return compressor{goXZ(), func(_ context.Context, b []byte) ([]byte, error) { return encodeXZ(b, packedDictionary(len(b))) }}
	}
	return compressor{"xz " + version + " -9e", func(ctx context.Context, b []byte) ([]byte, error) {
		// The format's own default, 64 MiB, would be the memory that each unpacking takes.
		cmd := exec.CommandContext(ctx, program, "--format=xz", "--check=crc32", "--threads=1", fmt.Sprintf("--lzma2=preset=9e,dict=%d", packedDictionary(len(b))), "--stdout")
		cmd.Env = slices.DeleteFunc(cmd.Environ(), func(v string) bool { return strings.HasPrefix(v, "XZ_") })
		return filter(ctx, cmd, b)
	}}
}

// xzVersion finds the version in "xz (XZ Utils) 5.4.1".
var xzVersion = regexp.MustCompile(`\b\d+\.\d+\.\d+\b`)

// packedDictionary is the dictionary for a module of size bytes: all of it, in a power of two as the format has them, up to 4 MiB.
func packedDictionary(size int) int {
	return min(max(1<<bits.Len(uint(max(size, 1)-1)), 64<<10), 4<<20)
}
