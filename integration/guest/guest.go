// Package guest is what the tests' own programs that are process 1 of a machine have in common.
package guest

import (
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/kernel/module"
)

// open opens the modules of the initramfs.
func open() (*module.Loader, error) {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return nil, err
	}
	return module.Open("/", unix.ByteSliceToString(name.Release[:]), new(module.System), module.Options{})
}

// LoadModules loads every module of the initramfs.
func LoadModules() error {
	loader, err := open()
	if err != nil {
		return err
	}
	return filepath.WalkDir("/lib/modules", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.Contains(path, ".ko") {
			return err
		}
		_, err = loader.Load(module.Name(path))
		return err
	})
}

// LoadModule loads a module by its name, or an alias where there are no parameters. It may have been removed since it was loaded before.
func LoadModule(name, parameters string) error {
	loader, err := open()
	if err != nil {
		return err
	}
	if strings.HasPrefix(name, "fs-") {
		_, err := loader.Load(name)
		return err
	}
	return loader.LoadWith(name, parameters)
}

// Connect gives the card the address that QEMU's user network has for it.
func Connect() error {
	for _, name := range []string{"virtio_pci", "virtio_net"} {
		if err := LoadModule(name, ""); err != nil {
			return err
		}
	}
	card, err := netlink.LinkByName("eth0")
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(card); err != nil {
		return err
	}
	address, err := netlink.ParseAddr("10.0.2.15/24")
	if err != nil {
		return err
	}
	return netlink.AddrAdd(card, address)
}
