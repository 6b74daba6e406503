package integration

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/liveboot/liveboot/initramfs"
	"github.com/liveboot/liveboot/integration/pxe"
	"github.com/liveboot/liveboot/qemu"
)

// useKIWI is the server of KIWI's documentation: PXELINUX, proxy DHCP beside another DHCP server, and FTP.
const useKIWI = "kiwi/install.sh kea/kea-dhcp4.conf dnsmasq/kiwi.conf vsftpd/vsftpd.conf"

// watched is what a person types behind a label to see it all, and to be logged in, on the serial line.
const watched = " console=ttyS0"

// newKIWISite is that server with the real live ISO and the pair made out of it, where KIWI's own would be.
func newKIWISite(t *testing.T) *pxe.Site {
	t.Helper()
	notShort(t)
	iso, dir := kiwiISO(t), t.TempDir()
	if _, err := initramfs.Build(t.Context(), initramfs.Config{ISO: iso, Root: t.TempDir(), Output: dir, Version: "test"}); err != nil {
		t.Fatal(err)
	}
	s := emptySite(t)
	s.Put(filepath.Join(dir, "vmlinuz"), "boot/linux")
	s.Put(filepath.Join(dir, "initrd"), "boot/initrd")
	s.Put(iso, "image/live.iso")
	s.Use(strings.Fields(useKIWI)...)
	return s
}

// The real live ISO on a server as KIWI's documentation has it, from power-on, with the line as it is there. All goes to the screen; on the serial
// line is what the live system itself writes there. It is switched off with the machine's button.
func TestPXEKIWI(t *testing.T) {
	full(t)
	t.Parallel()
	m := netbootWithin(t, pxeTime+kiwiTime, newKIWISite(t), kiwiMemory, func(c *qemu.Config) { c.Extra = append(c.Extra, "-device", "VGA") })
	m.choose("Live-Boot")
	m.boots(1)
	line := kiwiReport(m.Lines())["cat"]
	if want := `initrd=boot/initrd ip=dhcp root=live:ftp://192\.0\.2\.1/image/live\.iso *\n`; !regexp.MustCompile(want).MatchString(line) {
		t.Errorf("the kernel line is among %q, want %s", line, want)
	}
	if err := m.QMP(m.ctx, "system_powerdown", nil, nil); err != nil {
		t.Fatal(err)
	}
	m.exits("guest-shutdown")
}

// The same, watched by a serial line until somebody is logged in there.
func TestPXEKIWISerial(t *testing.T) {
	full(t)
	t.Parallel()
	m := netbootWithin(t, pxeTime+kiwiTime, newKIWISite(t), kiwiMemory)
	m.choose("Live-Boot" + watched)
	m.logsIn(1)
	milestones(m)
}

// The same with the persistent line of KIWI's documentation and its disk of 3 GiB. The second boot needs no server for the image.
func TestPXEKIWIPersistent(t *testing.T) {
	full(t)
	t.Parallel()
	s := newKIWISite(t)
	disk := blankDisk(t, 3<<10)
	for i, name := range []string{"first", "second"} {
		m := netbootWithin(t, pxeTime+kiwiTime, s, named(name), kiwiMemory, onDisk(disk))
		m.choose("Live-Boot-persistent" + watched)
		m.logsIn(i + 1)
		checkClean(t, disk, lies{"/dev/sda1", "/dev/sda3", "xfs"})
		if i == 0 {
			s.Server("vsftpd/vsftpd.conf").Stop()
		}
	}
}

// logsIn waits until the real live system, which was booted so many times now, is up and somebody is logged in, who then switches the machine off.
func (m *machine) logsIn(boots int) {
	m.t.Helper()
	m.boots(boots)
	m.insist(regexp.MustCompile(`root@.*# $`))
	m.enter("systemctl poweroff")
	m.exits("guest-shutdown")
}
