package integration

import (
	"regexp"
	"testing"
)

// The persistent system of the menus: the first boot fills the disk, the second finds what the first one wrote, and needs no server for the image.
func TestPXEPersistent(t *testing.T) {
	for _, tt := range []struct {
		name       string
		examples   string
		machine    firmware
		choose     func(m *machine, option string)
		server     string // of the image
		fileSystem string
	}{
		{"PXELINUX", usePXELINUX, bios, func(m *machine, option string) { m.choose("persistent " + option) }, "vsftpd/vsftpd.conf", "xfs"},
		{"GRUB, BIOS", useGRUB, bios, (*machine).chooseInGRUB, "nginx/http.conf", "ext4"},
		{"GRUB, UEFI", useGRUB, uefi, (*machine).chooseInGRUB, "nginx/http.conf", "ext4"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			full(t)
			t.Parallel()
			s := newSite(t, tt.examples)
			disk := blankDisk(t, 3<<10)
			want := lies{iso: "/dev/sda1", layer: "/dev/sda3", fileSystem: tt.fileSystem}
			for _, boot := range []struct{ name, kept string }{{"first", ""}, {"second", "first\n"}} {
				m := netboot(t, s, named(boot.name), tt.machine(t), onDisk(disk))
				tt.choose(m, keep(boot.name))
				checkPersistent(t, m.facts(), want, boot.kept)
				m.exits("guest-shutdown")
				if boot.name == "first" {
					s.Server(tt.server).Stop()
				}
			}
		})
	}
}

// chooseInGRUB takes the menu's entry that keeps what the system writes, and adds an option to its kernel line in GRUB's editor.
func (m *machine) chooseInGRUB(option string) {
	m.t.Helper()
	const down, endOfLine, start = "\x1b[B", "\x05", "\x18"
	m.see(regexp.MustCompile(`\*Live system +Live system on the first disk`))
	m.press(down)
	m.see(regexp.MustCompile(`\*Live system on the first disk`))
	m.press("e")
	m.see(regexp.MustCompile(`initrd /boot/initrd`))
	m.press(down + down + endOfLine) // the first line is setparams, the second is empty
	m.keyIn(" " + option)
	m.press(start)
}
