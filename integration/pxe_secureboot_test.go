package integration

import (
	"bytes"
	"debug/pe"
	"encoding/binary"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/liveboot/liveboot/integration/pxe"
)

// With Secure Boot on, what nobody has signed is not started, whichever link of the chain it is, and the screen says so. (That the documented chain
// starts is a row of TestPXE.)
func TestSecureBootRefuses(t *testing.T) {
	for _, tt := range []struct {
		name     string
		examples string
		// change puts something that is not signed in the place of what is.
		change func(*testing.T, *pxe.Site)
		says   string
	}{
		{"boot loader", useGRUB, func(*testing.T, *pxe.Site) {}, `Access Denied|Security Violation`},
		{"GRUB", useSecureBoot + " grub/install.sh", func(_ *testing.T, s *pxe.Site) { s.Put(s.Path("grub/x86_64-efi/core.efi"), "grubx64.efi") },
			`Verification failed: \(0x1A\) Security Violation`},
		{"kernel", useSecureBoot, func(t *testing.T, s *pxe.Site) { s.Write(withoutSignature(t, s.Path("boot/vmlinuz")), "boot/vmlinuz") },
			`bad shim signature`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			full(t)
			t.Parallel()
			s := newSite(t, tt.examples)
			tt.change(t, s)
			m := netboot(t, s, secureBoot(t))
			m.see(regexp.MustCompile(tt.says), regexp.MustCompile(`EFI stub: |Linux version `))
		})
	}
}

// withoutSignature is a PE program such as a kernel, without the certificates behind it (Microsoft's PE format, "The Attribute Certificate Table").
func withoutSignature(t *testing.T, file string) []byte {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	program, err := pe.NewFile(bytes.NewReader(content))
	if err != nil {
		t.Fatalf("%s: %v", filepath.Base(file), err)
	}
	header, ok := program.OptionalHeader.(*pe.OptionalHeader64)
	if !ok {
		t.Fatalf("%s: no program of 64 bits", filepath.Base(file))
	}
	signature := header.DataDirectory[pe.IMAGE_DIRECTORY_ENTRY_SECURITY]
	if signature.Size == 0 {
		t.Fatalf("%s is not signed", filepath.Base(file))
	}
	entry := binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, signature.VirtualAddress), signature.Size)
	return bytes.Replace(content[:signature.VirtualAddress], entry, make([]byte, len(entry)), 1)
}
