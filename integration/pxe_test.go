package integration

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/liveboot/liveboot/initramfs"
	"github.com/liveboot/liveboot/integration/liveiso"
	"github.com/liveboot/liveboot/integration/pxe"
	"github.com/liveboot/liveboot/pkg/needs"
	"github.com/liveboot/liveboot/qemu"
)

// pxeTime is how long a machine may take from power-on to the live system's report where its firmware fetches kernel and initrd.
const pxeTime = 8 * time.Minute

// newSite is a network with a boot server that has our pair in its folder boot, and a small live ISO as image/live.iso.
func newSite(t *testing.T) *pxe.Site {
	t.Helper()
	notShort(t)
	s := pxe.New(t, filepath.Join("..", "docs", "examples"))
	dir, err := pair()
	if err != nil {
		t.Fatal(err)
	}
	s.Put(filepath.Join(dir, "vmlinuz"), "boot/vmlinuz")
	s.Put(filepath.Join(dir, "initrd"), "boot/initrd")
	s.Put(liveISO(t, liveiso.Config{Layout: liveiso.Squashfs, Table: liveiso.GPT}), "image/live.iso")
	return s
}

// netboot switches on a machine that has nothing but a card on the site's network.
func netboot(t *testing.T, s *pxe.Site, changes ...func(*qemu.Config)) *machine {
	t.Helper()
	bare := func(c *qemu.Config) {
		c.Kernel, c.Initrd, c.Append = "", "", nil
		c.NICs = []qemu.NIC{{Tap: s.Tap, Boot: true}}
	}
	return bootWithin(t, pxeTime, "", append([]func(*qemu.Config){bare}, changes...)...)
}

// pxelinuxPrompt is what PXELINUX asks.
func pxelinuxPrompt() *regexp.Regexp { return regexp.MustCompile(`^boot: *$`) }

// enterAtBIOS types a line where the BIOS reads the keyboard: it keeps no more than 15 keys that nobody has taken, so each part waits for its echo.
func (m *machine) enterAtBIOS(line string) {
	m.t.Helper()
	for part := range slices.Chunk([]byte(line), 8) {
		if err := m.Type(string(part)); err != nil {
			m.t.Fatal(err)
		}
		m.see(regexp.MustCompile(regexp.QuoteMeta(string(part)) + "$"))
	}
	m.enter("")
}

// From power-on with nothing on the machine: the BIOS asks by DHCP, gets PXELINUX, its configuration, kernel and initrd by TFTP, and the
// live image comes over FTP. Nobody touches the keyboard.
func TestPXELINUX(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Install("pxelinux")
	s.Dnsmasq("pxelinux.conf")
	s.FTP()
	m := netboot(t, s)
	m.see(pxelinuxPrompt())
	checkLive(t, m.facts(), liveiso.Squashfs)
	m.exits("guest-shutdown")
}

// What a person types at PXELINUX's prompt, and what the kernel line then holds.
func TestPXELINUXLabels(t *testing.T) {
	for _, tt := range []struct{ name, typed, cmdline string }{
		{"HTTP", "http", `ip=dhcp root=live:http:`},
		{"SYSAPPEND 1", "sysappend1", `root=live:ftp:\S+ ip=192\.0\.2\.1\d\d:192\.0\.2\.1:192\.0\.2\.1:255\.255\.255\.0`},
		{"SYSAPPEND 2", "sysappend2", `ip=dhcp root=live:ftp:\S+ BOOTIF=01-0e-00-00-00-00-01`},
		{"SYSAPPEND 3", "sysappend3", `root=live:ftp:\S+ ip=192\.0\.2\.1\d\d:192\.0\.2\.1:192\.0\.2\.1:255\.255\.255\.0 BOOTIF=01-0e-00-00-00-00-01`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			full(t)
			t.Parallel()
			s := newSite(t)
			s.Install("pxelinux")
			s.Dnsmasq("pxelinux.conf")
			s.FTP()
			s.HTTP("http.conf")
			m := netboot(t, s)
			m.see(pxelinuxPrompt())
			m.enter(tt.typed)
			f := m.facts()
			checkLive(t, f, liveiso.Squashfs)
			if !regexp.MustCompile(tt.cmdline).MatchString(f.Cmdline) {
				t.Errorf("the kernel line is %q, want %s", f.Cmdline, tt.cmdline)
			}
		})
	}
}

// The persistent system of the menu: the first boot fills the disk, the second finds what the first one wrote.
func TestPXEPersistent(t *testing.T) {
	full(t)
	t.Parallel()
	s := newSite(t)
	s.Install("pxelinux")
	s.Dnsmasq("pxelinux.conf")
	ftp := s.FTP()
	disk := blankDisk(t, 3<<10)
	want := lies{iso: "/dev/sda1", layer: "/dev/sda3", fileSystem: "xfs"}
	for _, boot := range []struct{ name, kept string }{{"first", ""}, {"second", "first\n"}} {
		m := netboot(t, s, named(boot.name), onDisk(disk))
		m.see(pxelinuxPrompt())
		m.enterAtBIOS("persistent " + keep(boot.name))
		checkPersistent(t, m.facts(), want, boot.kept)
		m.exits("guest-shutdown")
		if boot.name == "first" {
			ftp.Stop()
		}
	}
}

// GRUB's images of grub-mknetdir, under a BIOS and under UEFI.
func TestPXEGRUB(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*testing.T) func(*qemu.Config)
	}{
		{"BIOS", bios},
		{"UEFI", uefi},
	} {
		t.Run(tt.name, func(t *testing.T) {
			full(t)
			t.Parallel()
			s := newSite(t)
			s.Install("grub")
			s.Dnsmasq("grub.conf")
			s.HTTP("http.conf")
			checkLive(t, netboot(t, s, tt.change(t)).facts(), liveiso.Squashfs)
		})
	}
}

// UEFI that enforces Secure Boot loads shim, shim GRUB, GRUB the kernel, each signed for the one before; the kernel then takes signed
// modules only.
func TestSecureBoot(t *testing.T) {
	full(t)
	t.Parallel()
	s := newSite(t)
	s.Install("secureboot")
	s.Dnsmasq("secureboot.conf")
	s.HTTP("http.conf")
	m := netboot(t, s, secureBoot(t))
	m.see(regexp.MustCompile(`Kernel is locked down from EFI Secure Boot`), anyFailure())
	checkLive(t, m.facts(), liveiso.Squashfs)
}

// The script comes over HTTP, and kernel, initrd, firmware and what the site adds as files of their own: the options that are needed stand in the last.
func TestIPXE(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*testing.T) func(*qemu.Config)
	}{
		{"in the boot ROM", bios},
		{"loaded by UEFI", uefi},
	} {
		t.Run(tt.name, func(t *testing.T) {
			full(t)
			t.Parallel()
			s := newSite(t)
			s.Install("ipxe")
			s.Write(firmwareSegment(t), "boot/firmware")
			s.Dnsmasq("ipxe.conf")
			web := s.HTTP("http.conf")
			m := netboot(t, s, tt.change(t))
			checkLive(t, m.facts(), liveiso.Squashfs)
			for _, file := range []string{"boot.ipxe", "boot/vmlinuz", "boot/initrd", "boot/firmware", "boot/site"} {
				if web.Count(`"GET /`+regexp.QuoteMeta(file)+` HTTP/1\.1" 200`) == 0 {
					t.Errorf("%s was not fetched over HTTP", file)
				}
			}
		})
	}
}

// The DHCP server is another machine's and knows nothing of booting; ours only adds what to load.
func TestProxyDHCP(t *testing.T) {
	for _, tt := range []struct {
		name    string
		install string
		change  func(*testing.T) func(*qemu.Config)
	}{
		{"BIOS", "pxelinux", bios},
		{"UEFI", "ipxe", uefi},
	} {
		t.Run(tt.name, func(t *testing.T) {
			full(t)
			t.Parallel()
			s := newSite(t)
			s.Install(tt.install)
			if tt.install == "ipxe" {
				s.Write(firmwareSegment(t), "boot/firmware")
			}
			kea := s.Kea()
			s.Dnsmasq("proxy.conf")
			s.FTP()
			s.HTTP("http.conf")
			f := netboot(t, s, tt.change(t)).facts()
			checkLive(t, f, liveiso.Squashfs)
			kea.Wait("DHCP4_LEASE_ALLOC")
		})
	}
}

// The image comes through a cache. When its server is away the next machine gets it from the cache alone.
func TestHTTPCache(t *testing.T) {
	full(t)
	t.Parallel()
	s := newSite(t)
	s.Install("pxelinux")
	s.Dnsmasq("pxelinux.conf")
	s.FarIP("address add 198.51.100.1/24 dev lo")
	origin := s.Nginx(s.Path(""), "198.51.100.1:80")
	s.HTTP("cache.conf")
	for _, name := range []string{"first", "second"} {
		m := netboot(t, s, named(name))
		m.see(pxelinuxPrompt())
		m.enter("http")
		checkLive(t, m.facts(), liveiso.Squashfs)
		m.exits("guest-shutdown")
		if name == "first" {
			origin.Wait(`GET /image/live.iso`)
			origin.Stop()
		}
	}
}

// The firmware asks for a URL by DHCP and gets iPXE over HTTP; everything else comes over HTTP as well. (Debian 12's GRUB does not know over
// HTTP where it came from, and ends at its prompt.)
func TestUEFIHTTPBoot(t *testing.T) {
	full(t)
	t.Parallel()
	s := newSite(t)
	s.Install("ipxe")
	s.Write(firmwareSegment(t), "boot/firmware")
	s.Dnsmasq("ipxe.conf")
	web := s.HTTP("http.conf")
	m := netboot(t, s, uefi(t), onlyHTTPBoot)
	checkLive(t, m.facts(), liveiso.Squashfs)
	web.Wait(`GET /ipxe.efi`)
}

// onlyHTTPBoot is what a person sets in the firmware's menu: no PXE.
func onlyHTTPBoot(c *qemu.Config) {
	for _, name := range []string{"IPv4PXESupport", "IPv6PXESupport"} {
		c.Extra = append(c.Extra, "-fw_cfg", "name=opt/org.tianocore/"+name+",string=n")
	}
}

// ovmf is the folder of Debian's package ovmf.
const ovmf = "/usr/share/OVMF"

// bios leaves a machine as it is.
func bios(*testing.T) func(*qemu.Config) { return func(*qemu.Config) {} }

// uefi starts a machine with UEFI.
func uefi(t *testing.T) func(*qemu.Config) {
	return withUEFI(t, "OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd", false)
}

// secureBoot starts it with Secure Boot enforced, and with the keys that machines are sold with.
func secureBoot(t *testing.T) func(*qemu.Config) {
	return withUEFI(t, "OVMF_CODE_4M.secboot.fd", "OVMF_VARS_4M.ms.fd", true)
}

func withUEFI(t *testing.T, code, vars string, secure bool) func(*qemu.Config) {
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
