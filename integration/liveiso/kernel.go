package liveiso

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/u-root/u-root/pkg/cpio"

	"github.com/liveboot/liveboot/qemu"
)

// loader is the folder of KIWI's ISOs that holds the kernel, "linux", and its initrd.
const loader = "boot/x86_64/loader"

// moduleParts are the parts of a kernel's modules that the root gets: what a boot here needs, and one that no initramfs holds.
func moduleParts() []string {
	return []string{
		"modules.builtin", "modules.builtin.modinfo", "modules.order", "kernel/crypto", "kernel/lib", "kernel/arch/x86/crypto", "kernel/drivers/ata",
		"kernel/drivers/block/brd.ko", "kernel/drivers/block/loop.ko", "kernel/drivers/block/virtio_blk.ko",
		"kernel/drivers/cdrom", "kernel/drivers/scsi", "kernel/drivers/virtio", "kernel/net/core", "kernel/fs/ext4", "kernel/fs/jbd2", "kernel/fs/isofs",
		"kernel/fs/mbcache.ko", "kernel/fs/overlayfs", "kernel/fs/squashfs", "kernel/drivers/net/net_failover.ko", "kernel/drivers/net/virtio_net.ko",
		"kernel/fs/xfs", UnknownModule,
	}
}

// UnknownModule is a module of the root, as a path below its folder of modules, that no initramfs has a use for.
const UnknownModule = "kernel/fs/minix/minix.ko"

// notInInitrd are the modules that the ISO's own initrd lacks: KIWI's has no driver for RAM disks.
func notInInitrd() []string { return []string{"kernel/drivers/block/brd.ko", UnknownModule} }

// kernelKey is what a kernel adds to the name of an ISO in the cache.
func kernelKey(k qemu.Kernel) (string, error) {
	if k == (qemu.Kernel{}) {
		return "", nil
	}
	image, err := os.ReadFile(k.Image)
	if err != nil {
		return "", err
	}
	index, err := os.ReadFile(filepath.Join(k.Modules, "modules.order"))
	if err != nil {
		return "", err
	}
	return fmt.Sprintf(" kernel %x %s %x %v", sha256.Sum256(image), filepath.Base(k.Modules), sha256.Sum256(index), moduleParts()), nil
}

// addModules puts the modules into the root.
func (c Config) addModules(ctx context.Context, root string) error {
	if err := errors.Join(os.MkdirAll(filepath.Join(root, "usr/lib"), 0o755), os.Symlink("usr/lib", filepath.Join(root, "lib"))); err != nil {
		return err
	}
	release := filepath.Base(c.Kernel.Modules)
	for _, part := range moduleParts() {
		if err := CopyTree(filepath.Join(c.Kernel.Modules, part), filepath.Join(root, "usr/lib/modules", release, part)); err != nil {
			return err
		}
	}
	return run(exec.CommandContext(ctx, "depmod", "-b", root, release))
}

// addLoader puts kernel and initrd beside the live system, where KIWI does.
func (c Config) addLoader(root, tree string) error {
	image, err := os.ReadFile(c.Kernel.Image)
	if err != nil {
		return err
	}
	initrd, err := packModules(filepath.Join(root, "usr/lib/modules"))
	if err != nil {
		return err
	}
	folder := filepath.Join(tree, loader)
	menu := filepath.Join(tree, "boot/grub2/grub.cfg")
	const entries = "set default=0\nmenuentry \"Live\" {\n  linux ($root)/" + loader + "/linux root=live:CDLABEL=" + VolumeID +
		" rd.live.image livetest.menu=entry\n  initrd ($root)/" + loader + "/initrd\n}\n"
	return errors.Join(
		os.MkdirAll(folder, 0o755), os.MkdirAll(filepath.Dir(menu), 0o755),
		os.WriteFile(filepath.Join(folder, "linux"), image, 0o644), os.WriteFile(filepath.Join(folder, "initrd"), initrd, 0o644),
		os.WriteFile(menu, []byte(entries), 0o644),
	)
}

// packModules makes an initrd of a folder with modules, which are in usr/lib/modules there.
func packModules(modules string) ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := cpio.Newc.Writer(z)
	err := filepath.WalkDir(modules, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := filepath.Join("usr/lib/modules", strings.TrimPrefix(path, modules))
		for _, missing := range notInInitrd() {
			if strings.HasSuffix(name, missing) {
				return nil
			}
		}
		if d.IsDir() {
			return w.WriteRecord(cpio.Directory(name, 0o755))
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return w.WriteRecord(cpio.StaticFile(name, string(content), 0o644))
	})
	err = errors.Join(err, cpio.WriteTrailer(w), z.Close())
	return b.Bytes(), err
}

// CopyTree copies a file or a folder, with the folders above it. What a kernel has built in, and so has no module for, is left out.
func CopyTree(from, to string) error {
	info, err := os.Stat(from)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.IsDir():
		return os.CopyFS(to, os.DirFS(from))
	}
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, content, 0o644))
}
