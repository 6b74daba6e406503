// Package kernelmodulestest makes folders of kernel modules for tests.
package kernelmodulestest

import (
	"bytes"
	"compress/gzip"
	"strings"
	"testing/fstest"
)

// Text is a file of these lines.
func Text(lines ...string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte(strings.Join(lines, "\n") + "\n")}
}

// Folder is a small lib/modules/<version>, with one module that is compressed.
func Folder() fstest.MapFS {
	fsys := fstest.MapFS{
		"modules.dep": Text(
			"kernel/fs/ext4/ext4.ko: kernel/fs/jbd2/jbd2.ko kernel/fs/mbcache.ko",
			"kernel/fs/jbd2/jbd2.ko:",
			"kernel/fs/mbcache.ko:",
			"kernel/crypto/crc32c_generic.ko:",
			"kernel/drivers/block/brd.ko:",
			"kernel/drivers/net/ethernet/realtek/r8169.ko.gz: kernel/drivers/net/phy/libphy.ko",
			"kernel/drivers/net/phy/libphy.ko:",
			"kernel/drivers/net/phy/realtek.ko: kernel/drivers/net/phy/libphy.ko",
			"kernel/drivers/net/wireless/ath/ath9k/ath9k.ko:",
			"kernel/fs/isofs/isofs.ko:",
			"kernel/fs/overlayfs/overlay.ko:",
			"kernel/fs/squashfs/squashfs.ko:",
			"updates/dkms/private.ko:",
		),
		"modules.softdep": Text(
			"# Soft dependencies extracted from modules themselves.",
			"softdep ext4 pre: crypto-crc32c",
			"softdep r8169 pre: realtek",
			"softdep ath9k post: private",
		),
		"modules.alias": Text(
			"alias crypto-crc32c crc32c_generic",
			"alias crypto-crc32c-generic crc32c_generic",
			"alias fs-ext4 ext4",
			"alias pci:v000010ECd00008168sv*sd*bc*sc*i* r8169",
			"alias pci:v0000168Cd0000002Asv*sd*bc*sc*i* ath9k",
		),
		"modules.builtin":         Text("kernel/drivers/block/loop.ko"),
		"modules.builtin.modinfo": {Data: []byte("loop.license=GPL\x00loop.alias=block-major-7-*\x00")},
	}
	for line := range strings.Lines(string(fsys["modules.dep"].Data)) {
		file, _, _ := strings.Cut(line, ":")
		fsys[file] = &fstest.MapFile{Data: []byte("module " + file)}
	}
	fsys["kernel/drivers/net/ethernet/realtek/r8169.ko.gz"].Data = gzipped("module r8169")
	return fsys
}

func gzipped(s string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(s)); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}
