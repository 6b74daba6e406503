package integration

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/liveboot/liveboot/initramfs"
	"github.com/liveboot/liveboot/pkg/needs"
	"github.com/liveboot/liveboot/qemu"
)

// firmware gives a machine one.
type firmware func(testing.TB) func(*qemu.Config)

// ovmf is the folder of Debian's package ovmf.
const ovmf = "/usr/share/OVMF"

// bios leaves a machine as it is.
func bios(testing.TB) func(*qemu.Config) { return func(*qemu.Config) {} }

// uefi starts a machine with UEFI.
func uefi(t testing.TB) func(*qemu.Config) {
	return withUEFI(t, "OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd", false)
}

// secureBoot starts it with Secure Boot enforced, and with the keys that machines are sold with.
func secureBoot(t testing.TB) func(*qemu.Config) {
	return withUEFI(t, "OVMF_CODE_4M.secboot.fd", "OVMF_VARS_4M.ms.fd", true)
}

// uefiHTTP starts it with UEFI in whose menu a person has switched PXE off, so that HTTP boot is what is left.
func uefiHTTP(t testing.TB) func(*qemu.Config) {
	plain := uefi(t)
	return func(c *qemu.Config) {
		plain(c)
		for _, name := range []string{"IPv4PXESupport", "IPv6PXESupport"} {
			c.Extra = append(c.Extra, "-fw_cfg", "name=opt/org.tianocore/"+name+",string=n")
		}
	}
}

func withUEFI(t testing.TB, code, vars string, secure bool) func(*qemu.Config) {
	return func(c *qemu.Config) {
		t.Helper()
		variables, err := os.ReadFile(filepath.Join(ovmf, vars))
		needs.That(t, err == nil, "Debian's package ovmf")
		file := filepath.Join(t.TempDir(), "vars.fd")
		if err := os.WriteFile(file, variables, 0o600); err != nil {
			t.Fatal(err)
		}
		c.Firmware = qemu.UEFI{Code: filepath.Join(ovmf, code), Vars: file, SecureBoot: secure}
	}
}

// firmwareSegment is the file that mkinitramfs -separate-firmware makes, where one driver has its firmware.
func firmwareSegment(t *testing.T) []byte {
	t.Helper()
	const file = "rtl_nic/rtl8168g-2.fw" // of the driver r8169
	dir := t.TempDir()
	firmware := filepath.Join(dir, "lib", file)
	kernel, err := qemu.HostKernel()
	if err := errors.Join(err, os.MkdirAll(filepath.Dir(firmware), 0o755), os.WriteFile(firmware, []byte("for a test"), 0o644)); err != nil {
		t.Fatal(err)
	}
	_, err = initramfs.Build(t.Context(), initramfs.Config{
		Kernel: kernel.Image, Modules: kernel.Modules, Output: dir, Version: "test",
		Firmware: filepath.Join(dir, "lib"), SeparateFirmware: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(dir, "firmware"))
	if err != nil {
		t.Fatal(err)
	}
	return content
}
