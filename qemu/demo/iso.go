package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"

	"github.com/klauspost/compress/zstd"
	"github.com/u-root/u-root/pkg/cpio"

	"github.com/liveboot/liveboot/initramfs"
	"github.com/liveboot/liveboot/integration/liveiso"
	"github.com/liveboot/liveboot/qemu"
)

// demoInit is process 1 of the demo's live system.
const demoInit = "github.com/liveboot/liveboot/qemu/demo/demoinit"

// padMiB makes the ISO large enough for the download to be seen, in MiB.
const padMiB = 96

// makeISO makes the demo's live ISO in the cache folder. Its root is the Go busybox of an initrd with another program as
// process 1.
func makeISO(ctx context.Context, kernel string) (string, error) {
	cache, err := qemu.CacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "demo")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make the demo's ISO: %w", err)
	}
	host, err := qemu.HostKernel()
	if err != nil {
		return "", err
	}
	m, err := initramfs.Build(ctx, initramfs.Config{Init: demoInit, Kernel: host.Image, Modules: host.Modules, Output: dir})
	if err != nil {
		return "", fmt.Errorf("make the demo's ISO: %w", err)
	}
	file := filepath.Join(dir, "demo-"+m.SHA256[:16]+".iso")
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	if err := removeOthers(dir); err != nil {
		return "", fmt.Errorf("remove the demo's former ISOs: %w", err)
	}
	root, err := os.MkdirTemp(dir, "root-")
	if err != nil {
		return "", fmt.Errorf("make the demo's ISO: %w", err)
	}
	defer os.RemoveAll(root)
	if err := unpackBase(filepath.Join(dir, "initrd"), m, root); err != nil {
		return "", fmt.Errorf("unpack the demo's root: %w", err)
	}
	made := filepath.Join(root + ".iso")
	if err := liveiso.Pack(ctx, liveiso.RootfsImage, root, padMiB, made); err != nil {
		return "", fmt.Errorf("make the demo's ISO: %w", err)
	}
	return file, os.Rename(made, file)
}

// removeOthers removes what former builds of the demo left.
func removeOthers(dir string) error {
	old, err := filepath.Glob(filepath.Join(dir, "demo-*.iso"))
	for _, f := range old {
		err = errors.Join(err, os.Remove(f))
	}
	return err
}

// unpackBase unpacks the first segment of an initrd, the busybox, and gives the root the /sbin/init of a live system.
func unpackBase(initrd string, m *initramfs.Manifest, root string) error {
	if len(m.Segments) == 0 {
		return errors.New("the initrd has no segment")
	}
	f, err := os.Open(initrd)
	if err != nil {
		return err
	}
	defer f.Close()
	archive, err := expand(io.LimitReader(f, m.Segments[0].Compressed), m.Compression, m.Segments[0].Raw)
	if err != nil {
		return err
	}
	if err := cpio.ForEachRecord(cpio.Newc.Reader(bytes.NewReader(archive)), func(r cpio.Record) error {
		switch r.Mode & cpio.S_IFMT {
		case cpio.S_IFREG, cpio.S_IFDIR, cpio.S_IFLNK:
			return cpio.CreateFileInRoot(r, root, false)
		}
		return nil // device nodes need root, and devtmpfs has them
	}); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(root, "sbin"), 0o755); err != nil {
		return err
	}
	return os.Symlink("../bbin/"+path.Base(demoInit), filepath.Join(root, "sbin", "init"))
}

// expand reads size bytes of a compressed segment; padding may follow.
func expand(r io.Reader, kind initramfs.Compression, size int64) ([]byte, error) {
	var plain io.Reader
	if kind == initramfs.Gzip {
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, err
		}
		plain = z
	} else {
		z, err := zstd.NewReader(r)
		if err != nil {
			return nil, err
		}
		defer z.Close()
		plain = z
	}
	b := make([]byte, size)
	_, err := io.ReadFull(plain, b)
	return b, err
}
