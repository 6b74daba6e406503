package initramfs

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/liveboot/liveboot/pkg/kernelimage"
)

// chooseCompression settles Auto by the kernel's configuration, and says why.
func chooseCompression(wanted Compression, k *kernel) (Compression, string, error) {
	if wanted != Auto && wanted != "" {
		return wanted, "asked for", nil
	}
	config, from, err := kernelConfig(k)
	if err != nil {
		return "", "", err
	}
	if config == nil {
		return Gzip, "the kernel's configuration is not to be found, and hardly a kernel is without gzip", nil
	}
	choices := []struct {
		compression Compression
		option      string
	}{{Zstd, "CONFIG_RD_ZSTD"}, {Gzip, "CONFIG_RD_GZIP"}, {XZ, "CONFIG_RD_XZ"}}
	lacks := ""
	for _, c := range choices {
		if hasOption(config, c.option) {
			return c.compression, c.option + "=y" + lacks + " in " + from, nil
		}
		lacks += ", no " + c.option
	}
	return "", "", fmt.Errorf("kernel %s unpacks neither zstd, gzip nor xz (%s has%s); choose another kernel", k.release, from, strings.TrimPrefix(lacks, ","))
}

// kernelConfig is the configuration that was beside the kernel, or else inside
// the image (CONFIG_IKCONFIG). None is nil.
func kernelConfig(k *kernel) (config []byte, from string, err error) {
	if k.config != nil {
		return k.config, k.configFrom, nil
	}
	b, err := embeddedConfig(k)
	if err != nil {
		return nil, "", fmt.Errorf("read the configuration in kernel %s: %w", k.file, err)
	}
	return b, "the kernel image", nil
}

// embeddedConfig is the configuration inside a kernel image: a gzip stream
// between the marks IKCFG_ST and IKCFG_ED (the kernel's kernel/configs.c).
// It is nil where there is none, or where the kernel is compressed in a way
// that is not known here.
func embeddedConfig(k *kernel) ([]byte, error) {
	payload, err := io.ReadAll(kernelimage.Payload(bytes.NewReader(k.image), k.info))
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
