package initramfs

import (
	"context"
	"github.com/liveboot/liveboot/pkg/kernelimage/kernelimagetest"
	"path/filepath"
	"testing"
)

func TestChooseCompression(t *testing.T) {
	tests := []struct {
		name    string
		wanted  Compression
		config  string
		payload string
		want    Compression
		wantErr string
	}{
		{name: "configured", wanted: Auto, config: "CONFIG_RD_GZIP=y\nCONFIG_RD_ZSTD=y\n", want: Zstd},
		{name: "no zstd", wanted: Auto, config: "# CONFIG_RD_ZSTD is not set\nCONFIG_RD_GZIP=y\nCONFIG_RD_XZ=y\n", want: Gzip},
		{name: "only xz", wanted: Auto, config: "CONFIG_RD_XZ=y\n", want: XZ},
		{name: "nothing known", wanted: Auto, config: "CONFIG_RD_LZO=y\n", wantErr: "neither zstd, gzip nor xz"},
		{name: "unknown", wanted: Auto, want: Gzip},
		{name: "default", config: "CONFIG_RD_ZSTD=y\n", want: Zstd},
		{name: "in the image", payload: string(mustGzip("vmlinux IKCFG_ST" + string(mustGzip("CONFIG_RD_ZSTD=y\n")) + "IKCFG_ED rest")), want: Zstd},
		{name: "asked for", wanted: Zstd, want: Zstd},
	}
	a, err := archFor("amd64")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			installKernel(t, root, "6.1.0", tt.config)
			image := filepath.Join(root, "boot/vmlinuz-6.1.0")
			if tt.payload != "" {
				write(t, image, kernelimagetest.BzImage("6.1.0 (u@h)", []byte(tt.payload)))
			}
			k, err := findKernel(root, image, "", a)
			if err != nil {
				t.Fatal(err)
			}
			got, reason, err := chooseCompression(tt.wanted, k)
			if !errorContains(err, tt.wantErr) {
				t.Fatalf("chooseCompression() = %v, want error with %q", err, tt.wantErr)
			}
			if err == nil && (got != tt.want || reason == "") {
				t.Errorf("chooseCompression() = %s, %q, want %s and a reason", got, reason, tt.want)
			}
		})
	}
}

// TestArmConfig: the configuration inside the image settles the compression.
func TestArmConfig(t *testing.T) {
	a, err := archFor("arm64")
	if err != nil {
		t.Fatal(err)
	}
	config, err := compressGzip(context.Background(), []byte("CONFIG_RD_ZSTD=y\n"))
	if err != nil {
		t.Fatal(err)
	}
	image := append(kernelimagetest.Arm64("6.1.0 (u@h)"), "IKCFG_ST"+string(config)+"IKCFG_ED"...)
	for name, b := range map[string][]byte{"Image": image, "zboot": kernelimagetest.ZBoot(mustZstd(image))} {
		k := &kernel{file: name}
		if err := k.parse(b, a); err != nil {
			t.Fatal(err)
		}
		got, _, err := chooseCompression(Auto, k)
		if err != nil || got != Zstd {
			t.Errorf("chooseCompression(%s) = %s, %v, want zstd", name, got, err)
		}
	}
}
