package initramfs

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
)

// bzImage makes an image with the header fields that we read.
func bzImage(description string, payload []byte) []byte {
	b := make([]byte, 0x400)
	b[bzSetupSects] = 1
	binary.LittleEndian.PutUint16(b[bzBootFlag:], 0xaa55)
	copy(b[bzMagic:], "HdrS")
	binary.LittleEndian.PutUint16(b[bzVersion:], 0x20f)
	binary.LittleEndian.PutUint16(b[bzKernelVersion:], 0x100)
	binary.LittleEndian.PutUint32(b[bzPayloadOffset:], 0)
	binary.LittleEndian.PutUint32(b[bzPayloadLength:], uint32(len(payload)))
	copy(b[0x300:], description+"\x00")
	return append(b, payload...)
}

func TestBzImageDescription(t *testing.T) {
	const description = "6.1.0-56-amd64 (user@host) #1 SMP"
	image := bzImage(description, []byte("kernel"))
	noString := bytes.Clone(image)
	binary.LittleEndian.PutUint16(noString[bzKernelVersion:], 0)
	beyond := bytes.Clone(image)
	binary.LittleEndian.PutUint16(beyond[bzKernelVersion:], 0xffff)

	tests := []struct {
		name    string
		in      []byte
		want    string
		wantErr string
	}{
		{name: "good", in: image, want: description},
		{name: "empty", in: nil, wantErr: "only 0 bytes"},
		{name: "text", in: bytes.Repeat([]byte("text"), 1000), wantErr: "no boot header"},
		{name: "no version", in: noString, wantErr: "does not say its version"},
		{name: "version beyond the end", in: beyond, wantErr: "no version string"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := bzImageDescription(bytes.NewReader(tt.in))
			if !errorContains(err, tt.wantErr) || got != tt.want {
				t.Errorf("bzImageDescription() = %q, %v, want %q, error with %q", got, err, tt.want, tt.wantErr)
			}
		})
	}
}

// TestDescribe: a kernel for another architecture is told from what is none.
func TestDescribe(t *testing.T) {
	x86, arm := bzImage("6.1.0-56-amd64 (u@h)", []byte("k")), armImage("6.1.0-56-arm64 (u@h)")
	tests := []struct {
		name, goarch string
		in           []byte
		wantErr      string
	}{
		{name: "own", goarch: "amd64", in: x86},
		{name: "own", goarch: "arm64", in: arm},
		{name: "other", goarch: "amd64", in: arm, wantErr: "-arch arm64"},
		{name: "other", goarch: "arm64", in: x86, wantErr: "-arch amd64"},
		{name: "none", goarch: "amd64", in: []byte("text"), wantErr: "not an x86 Linux kernel"},
	}
	for _, tt := range tests {
		t.Run(tt.name+" "+tt.goarch, func(t *testing.T) {
			a, err := archFor(tt.goarch)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := a.describe(bytes.NewReader(tt.in)); !errorContains(err, tt.wantErr) {
				t.Errorf("describe() = %v, want error with %q", err, tt.wantErr)
			}
		})
	}
}

func TestBzImagePayload(t *testing.T) {
	image := bzImage("6.1.0", []byte("kernel"))
	got, err := bzImagePayload(bytes.NewReader(image))
	if err != nil || string(got) != "kernel" {
		t.Errorf("bzImagePayload() = %q, %v, want %q", got, err, "kernel")
	}
	if _, err := bzImagePayload(bytes.NewReader(image[:len(image)-1])); !errorContains(err, "cut off") {
		t.Errorf("bzImagePayload(cut off) = %v, want error with %q", err, "cut off")
	}
}

// FuzzBzImage feeds headers from anywhere to both readers: neither may panic
// or return more than there is.
func FuzzBzImage(f *testing.F) {
	f.Add(bzImage("6.1.0-56-amd64 (user@host) #1 SMP", []byte("kernel")))
	f.Add([]byte("HdrS"))
	f.Fuzz(func(t *testing.T, image []byte) {
		description, err := bzImageDescription(bytes.NewReader(image))
		if err == nil && !bytes.Contains(image, []byte(description)) {
			t.Errorf("description %q is not in the image", description)
		}
		if payload, err := bzImagePayload(bytes.NewReader(image)); err == nil && len(payload) > len(image) {
			t.Errorf("payload of %d bytes out of %d", len(payload), len(image))
		}
	})
}

// errorContains says whether err is as wanted; no text means no error.
func errorContains(err error, want string) bool {
	if want == "" || err == nil {
		return want == "" && err == nil
	}
	return strings.Contains(err.Error(), want)
}
