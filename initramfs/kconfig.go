package initramfs

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// chooseCompression settles Auto by the kernel's configuration, and says why.
func chooseCompression(wanted Compression, root string, k *kernel, a arch) (Compression, string, error) {
	if wanted != Auto && wanted != "" {
		_, err := compressorFor(wanted)
		return wanted, "asked for", err
	}
	config, from, err := kernelConfig(root, k, a)
	if err != nil {
		return "", "", err
	}
	switch {
	case config == nil:
		return Gzip, "the kernel's configuration is not to be found, and every kernel has gzip", nil
	case hasOption(config, "CONFIG_RD_ZSTD"):
		return Zstd, "CONFIG_RD_ZSTD=y in " + from, nil
	}
	return Gzip, "no CONFIG_RD_ZSTD=y in " + from, nil
}

// kernelConfig finds the configuration: beside an image in /boot, in the
// folder of the modules (Fedora, openSUSE), or inside the image
// (CONFIG_IKCONFIG). None is nil.
func kernelConfig(root string, k *kernel, a arch) (config []byte, from string, err error) {
	for _, file := range []string{
		filepath.Join(filepath.Dir(k.file), "config-"+k.release),
		filepath.Join(k.modules, "config"),
		filepath.Join(root, "boot", "config-"+k.release),
	} {
		if b, err := os.ReadFile(file); err == nil {
			return b, filepath.Base(file), nil
		}
	}
	b, err := embeddedConfig(k.image, a)
	if err != nil {
		return nil, "", fmt.Errorf("read the configuration in kernel %s: %w", k.file, err)
	}
	return b, "the kernel image", nil
}

// embeddedConfig is the configuration inside a kernel image: a gzip stream
// between the marks IKCFG_ST and IKCFG_ED (the kernel's kernel/configs.c).
// It is nil where there is none, or where the kernel is compressed in a way
// that is not known here.
func embeddedConfig(image []byte, a arch) ([]byte, error) {
	payload, err := a.payload(bytes.NewReader(image))
	if err != nil {
		return nil, err
	}
	vmlinux, err := decompress(payload)
	if err != nil {
		return nil, nil
	}
	_, rest, ok := bytes.Cut(vmlinux, []byte("IKCFG_ST"))
	if !ok {
		return nil, nil
	}
	stream, _, ok := bytes.Cut(rest, []byte("IKCFG_ED"))
	if !ok {
		return nil, nil
	}
	return decompress(stream)
}

// hasOption says whether a configuration has an option built in.
func hasOption(config []byte, option string) bool {
	for line := range strings.Lines(string(config)) {
		if strings.TrimSpace(line) == option+"=y" {
			return true
		}
	}
	return false
}
