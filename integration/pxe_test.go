package integration

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/liveboot/liveboot/integration/liveiso"
	"github.com/liveboot/liveboot/integration/pxe"
	"github.com/liveboot/liveboot/qemu"
)

// pxeTime is how long a machine may take from power-on to the live system's report where its firmware fetches kernel and initrd.
const pxeTime = 8 * time.Minute

// What a person does with which examples, in this order, on servers of several kinds.
const (
	usePXELINUX   = "pxelinux/install.sh dnsmasq/pxelinux.conf vsftpd/vsftpd.conf"
	useGRUB       = "grub/install.sh dnsmasq/grub.conf nginx/http.conf"
	useSecureBoot = "secureboot/install.sh dnsmasq/secureboot.conf nginx/http.conf"
	useIPXE       = "ipxe/install.sh dnsmasq/ipxe.conf nginx/http.conf"
)

// Every documented way from power-on, with nothing on the machine, to the live system.
func TestPXE(t *testing.T) {
	const ours = `192\.0\.2\.1\d\d:192\.0\.2\.1:192\.0\.2\.1:255\.255\.255\.0` // the address, as PXELINUX hands it on
	scripted := map[string][]string{
		"nginx/http.conf": {got("boot.ipxe"), got("boot/vmlinuz"), got("boot/initrd"), got("boot/firmware"), got("boot/site")},
	}
	for _, tt := range []struct {
		name string
		// examples are separated by blanks.
		examples string
		machine  firmware
		// typed is at PXELINUX's prompt; empty means that nobody touches the keyboard.
		typed string
		// cmdline matches what the kernel line holds, console lines of the machine, logs lines of the server that an example has started.
		cmdline string
		console []string
		logs    map[string][]string
	}{
		{name: "PXELINUX", examples: usePXELINUX, machine: bios, cmdline: `ip=dhcp root=live:ftp:`, console: []string{`PXELINUX 6\.`}},
		{name: "PXELINUX, HTTP", examples: usePXELINUX + " nginx/http.conf", machine: bios, typed: "http", cmdline: `ip=dhcp root=live:http:`},
		{name: "SYSAPPEND 1", examples: usePXELINUX, machine: bios, typed: "sysappend1", cmdline: `root=live:ftp:\S+ ip=` + ours},
		{name: "SYSAPPEND 2", examples: usePXELINUX, machine: bios, typed: "sysappend2", cmdline: `ip=dhcp root=live:ftp:\S+ BOOTIF=01-0e-00-00-00-00-01`},
		{name: "SYSAPPEND 3", examples: usePXELINUX, machine: bios, typed: "sysappend3",
			cmdline: `root=live:ftp:\S+ ip=` + ours + ` BOOTIF=01-0e-00-00-00-00-01`},

		// GRUB's images of grub-mknetdir.
		{name: "GRUB, BIOS", examples: useGRUB, machine: bios},
		{name: "GRUB, UEFI", examples: useGRUB, machine: uefi},

		// Secure Boot: the firmware loads shim, shim GRUB, GRUB the kernel, each signed for the one before; the kernel then takes signed modules only.
		{name: "Secure Boot", examples: useSecureBoot, machine: secureBoot, console: []string{`Kernel is locked down from EFI Secure Boot`}},

		// The script comes over HTTP, and kernel, initrd, firmware and what the site adds as files of their own: the options stand in the last.
		{name: "iPXE in the boot ROM", examples: useIPXE, machine: bios, logs: scripted},
		{name: "iPXE loaded by UEFI", examples: useIPXE, machine: uefi, logs: scripted},
		{name: "UEFI HTTP boot", examples: useIPXE, machine: uefiHTTP, logs: map[string][]string{"nginx/http.conf": {got("ipxe.efi")}}},

		// The DHCP server is another machine's and knows nothing of booting; ours only adds what to load.
		{name: "proxy DHCP beside Kea, BIOS", examples: "pxelinux/install.sh kea/kea-dhcp4.conf dnsmasq/proxy.conf vsftpd/vsftpd.conf", machine: bios,
			logs: map[string][]string{"kea/kea-dhcp4.conf": {"DHCP4_LEASE_ALLOC"}}},
		{name: "proxy DHCP beside Kea, UEFI", examples: "ipxe/install.sh kea/kea-dhcp4.conf dnsmasq/proxy.conf nginx/http.conf", machine: uefi,
			logs: map[string][]string{"kea/kea-dhcp4.conf": {"DHCP4_LEASE_ALLOC"}}},
		{name: "proxy DHCP beside ISC dhcpd, BIOS", examples: "pxelinux/install.sh dhcpd/other.conf dnsmasq/proxy.conf vsftpd/vsftpd.conf", machine: bios,
			logs: map[string][]string{"dhcpd/other.conf": {"DHCPACK on 192.0.2.1"}}},
		{name: "proxy DHCP beside ISC dhcpd, UEFI", examples: "ipxe/install.sh dhcpd/other.conf dnsmasq/proxy.conf nginx/http.conf", machine: uefi,
			logs: map[string][]string{"dhcpd/other.conf": {"DHCPACK on 192.0.2.1"}}},

		// ISC dhcpd says itself what to load, by the architecture of the client.
		{name: "ISC dhcpd, BIOS", examples: "pxelinux/install.sh dhcpd/dhcpd.conf dnsmasq/tftp.conf vsftpd/vsftpd.conf", machine: bios,
			console: []string{`Filename: pxelinux\.0`}},
		{name: "ISC dhcpd, UEFI", examples: "secureboot/install.sh dhcpd/dhcpd.conf dnsmasq/tftp.conf nginx/http.conf", machine: uefi,
			console: []string{`NBP filename is shimx64\.efi`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.name != "PXELINUX" {
				full(t)
			}
			t.Parallel()
			s := newSite(t, tt.examples)
			m := netboot(t, s, tt.machine(t))
			if tt.typed != "" {
				m.choose(tt.typed)
			}
			f := m.facts()
			checkLive(t, f, liveiso.Squashfs)
			if !regexp.MustCompile(tt.cmdline).MatchString(f.Cmdline) {
				t.Errorf("the kernel line is %q, want %s", f.Cmdline, tt.cmdline)
			}
			for _, line := range tt.console {
				m.hasSaid(regexp.MustCompile(line))
			}
			for example, lines := range tt.logs {
				for _, line := range lines {
					s.Server(example).Wait(line)
				}
			}
			m.exits("guest-shutdown")
		})
	}
}

// newSite is a network with a boot server that has our pair in its folder boot, a small live ISO as image/live.iso, and the examples in use.
func newSite(t *testing.T, examples string) *pxe.Site {
	t.Helper()
	notShort(t)
	dir, err := pair()
	if err != nil {
		t.Fatal(err)
	}
	s := emptySite(t)
	s.Put(filepath.Join(dir, "vmlinuz"), "boot/vmlinuz")
	s.Put(filepath.Join(dir, "initrd"), "boot/initrd")
	s.Put(liveISO(t, liveiso.Config{Layout: liveiso.Squashfs, Table: liveiso.GPT}), "image/live.iso")
	if strings.Contains(examples, "ipxe/install.sh") {
		s.Write(firmwareSegment(t), "boot/firmware")
	}
	s.Use(strings.Fields(examples)...)
	return s
}

// emptySite is one whose server has no files.
func emptySite(t *testing.T) *pxe.Site {
	t.Helper()
	return pxe.New(t, filepath.Join("..", "docs", "examples"))
}

// netboot switches on a machine that has nothing but a card on the site's network.
func netboot(t *testing.T, s *pxe.Site, changes ...func(*qemu.Config)) *machine {
	t.Helper()
	return netbootWithin(t, pxeTime, s, changes...)
}

// netbootWithin is netboot with another limit for everything that the test does with the machine.
func netbootWithin(t *testing.T, limit time.Duration, s *pxe.Site, changes ...func(*qemu.Config)) *machine {
	t.Helper()
	bare := func(c *qemu.Config) {
		c.Kernel, c.Initrd, c.Append = "", "", nil
		c.NICs = []qemu.NIC{{Tap: s.Tap, Boot: true}}
	}
	return bootWithin(t, limit, "", append([]func(*qemu.Config){bare}, changes...)...)
}

// got is the line of nginx's log for a file that was sent whole.
func got(file string) string { return `"GET /` + regexp.QuoteMeta(file) + ` HTTP/1\.1" 200 ` }

// pxelinuxPrompt is what PXELINUX asks. On a busy machine the BIOS's serial console may break a line anywhere.
const pxelinuxPrompt = `^b?o?o?t: *$`

// choose types a label, and kernel options behind it, at PXELINUX's prompt.
func (m *machine) choose(line string) {
	m.t.Helper()
	m.see(regexp.MustCompile(pxelinuxPrompt))
	m.keyIn(line)
	m.enter("")
}

// keyIn types a text where firmware reads the keyboard: a BIOS keeps no more than 15 keys that nobody has taken, so each waits for its echo.
func (m *machine) keyIn(text string) {
	m.t.Helper()
	for _, key := range text {
		m.press(string(key))
		m.see(regexp.MustCompile(regexp.QuoteMeta(string(key))))
	}
}

// press types keys.
func (m *machine) press(keys string) {
	m.t.Helper()
	if err := m.Type(keys); err != nil {
		m.t.Fatal(err)
	}
}

// writeDigest puts the image's digest beside it, as sha256sum does.
func writeDigest(t *testing.T, s *pxe.Site) {
	t.Helper()
	image, err := os.ReadFile(s.Path("image/live.iso"))
	if err != nil {
		t.Fatal(err)
	}
	s.Write(fmt.Appendf(nil, "%x  live.iso\n", sha256.Sum256(image)), "image/live.iso.sha256")
}
