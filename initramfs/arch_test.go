package initramfs

import (
	"strings"
	"testing"

	"github.com/liveboot/liveboot/pkg/kernelimage/kernelimagetest"
)

// TestParse: a kernel for another architecture is told from what is none.
func TestParse(t *testing.T) {
	x86, arm := kernelimagetest.BzImage("6.1.0-56-amd64 (u@h)", []byte("k")), kernelimagetest.Arm64("6.1.0-56-arm64 (u@h)")
	tests := []struct {
		name, goarch string
		in           []byte
		wantErr      string
	}{
		{name: "own", goarch: "amd64", in: x86},
		{name: "own", goarch: "arm64", in: arm},
		{name: "own, lzma", goarch: "arm64", in: kernelimagetest.ZBoot(mustLZMA(arm))},
		{name: "other", goarch: "amd64", in: arm, wantErr: "-arch arm64"},
		{name: "other", goarch: "arm64", in: x86, wantErr: "-arch amd64"},
		{name: "none", goarch: "amd64", in: []byte("text"), wantErr: "not a Linux kernel"},
	}
	for _, tt := range tests {
		t.Run(tt.name+" "+tt.goarch, func(t *testing.T) {
			a, err := archFor(tt.goarch)
			if err != nil {
				t.Fatal(err)
			}
			if err := (&kernel{file: "vmlinuz"}).parse(tt.in, a); !errorContains(err, tt.wantErr) {
				t.Errorf("parse() = %v, want error with %q", err, tt.wantErr)
			}
		})
	}
}

// errorContains says whether err is as wanted; no text means no error.
func errorContains(err error, want string) bool {
	if want == "" || err == nil {
		return want == "" && err == nil
	}
	return strings.Contains(err.Error(), want)
}
