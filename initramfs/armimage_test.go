package initramfs

import (
	"bytes"
	"context"
	"encoding/binary"
	"testing"
)

// armImage is an arm64 kernel with the parts that are read here.
func armImage(description string) []byte {
	b := make([]byte, 0x1000)
	copy(b, "MZ")
	copy(b[armMagic:], "ARM\x64")
	return append(b, "Linux version %s\n\x00Linux version "+description+"\n\x00and more"...)
}

// zboot puts a compressed kernel into an EFI program.
func zboot(payload []byte) []byte {
	b := make([]byte, 0x400)
	copy(b, "MZ\x00\x00zimg")
	binary.LittleEndian.PutUint32(b[zbootOffset:], uint32(len(b)))
	binary.LittleEndian.PutUint32(b[zbootLength:], uint32(len(payload)))
	return append(append(b, payload...), "signature"...)
}

func TestArmDescription(t *testing.T) {
	const description = "6.1.0-56-arm64 (user@host) (gcc 12) #1 SMP Debian 6.1.192-2 (2026-11-16)"
	image := armImage(description)
	cut := zboot(mustGzip(string(image)))
	tests := []struct {
		name    string
		in      []byte
		want    string
		wantErr string
	}{
		{name: "Image", in: image, want: description},
		{name: "Image.gz", in: mustGzip(string(image)), want: description},
		{name: "zboot, gzip", in: zboot(mustGzip(string(image))), want: description},
		{name: "zboot, zstd", in: zboot(mustZstd(image)), want: description},
		{name: "empty", wantErr: "only 0 bytes"},
		{name: "text", in: bytes.Repeat([]byte("text"), 100), wantErr: "no header"},
		{name: "x86", in: bzImage("6.1.0 (u@h)", []byte("k")), wantErr: "not an arm64 Linux kernel"},
		{name: "no version", in: armImage("unknown"), wantErr: "does not say its version"},
		{name: "cut off", in: cut[:len(cut)/2], wantErr: "compressed kernel of"},
		{name: "damaged", in: zboot(append([]byte("\x1f\x8b"), make([]byte, 100)...)), wantErr: "not an arm64 Linux kernel"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := armDescription(bytes.NewReader(tt.in))
			if !errorContains(err, tt.wantErr) || got != tt.want {
				t.Errorf("armDescription() = %q, %v, want %q, error with %q", got, err, tt.want, tt.wantErr)
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
	image := append(armImage("6.1.0 (u@h)"), "IKCFG_ST"+string(config)+"IKCFG_ED"...)
	for name, b := range map[string][]byte{"Image": image, "zboot": zboot(mustZstd(image))} {
		got, _, err := chooseCompression(Auto, &kernel{image: b}, a)
		if err != nil || got != Zstd {
			t.Errorf("chooseCompression(%s) = %s, %v, want zstd", name, got, err)
		}
	}
}

func FuzzArmImage(f *testing.F) {
	f.Add(armImage("6.1.0 (u@h)"))
	f.Add(zboot(mustGzip(string(armImage("6.1.0 (u@h)")))))
	f.Fuzz(func(t *testing.T, image []byte) {
		if payload, err := armPayload(bytes.NewReader(image)); err == nil && len(payload) > len(image) {
			t.Errorf("payload of %d bytes out of %d", len(payload), len(image))
		}
		if description, err := armDescription(bytes.NewReader(image)); err == nil && !isDigit(description[0]) {
			t.Errorf("description %q", description)
		}
	})
}
