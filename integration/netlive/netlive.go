// Package netlive makes live ISOs of a real system for the tests of what becomes of the network when the initramfs hands it over: Debian
// bookworm with systemd, installed by debootstrap, with systemd-networkd and systemd-resolved or with NetworkManager. They are kept in the
// cache folder.
//
// When the system is up it writes a report on ttyS0, whose lines are
//
//	NETLIVE <name>: <line of output>
//	…
//	NETLIVE-END
//
// where <name> is one of addresses and links (JSON of ip -j), routes, routes6, hostname, resolv (/etc/resolv.conf), lookup (what
// server.lab.example is), state (of systemctl is-system-running), failed (the units that are), and journal (what the network manager said).
//
// The image has a configuration of its own for every wired link, which asks for an address by DHCP with the manager's default client
// identifier: a machine that follows it gets another address than the initramfs had. It has no host name. The one with systemd-networkd has
// the link /etc/resolv.conf of systemd-resolved, the one with NetworkManager has no such file.
package netlive

import (
	"context"
	"crypto/sha256"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/liveboot/liveboot/integration/debroot"
	"github.com/liveboot/liveboot/integration/liveiso"
	"github.com/liveboot/liveboot/qemu"
)

// Manager is who looks after the network of the live system.
type Manager string

// The managers.
const (
	Networkd       Manager = "systemd-networkd"
	NetworkManager Manager = "NetworkManager"
)

const (
	// Line starts each line of the report.
	Line = "NETLIVE "
	// End is its last line.
	End = "NETLIVE-END"
	// Host is the name that the report looks up.
	Host = "server.lab.example"
)

// recipe is part of the name of every cached ISO: raise it when the same files make another ISO.
const recipe = 1

// packages are Debian's, for each manager. debootstrap chooses nothing for what several packages provide: libpam-systemd is named for polkit's sake.
func packages() map[Manager][]string {
	base := []string{"systemd-sysv", "udev", "dbus", "iproute2", "kmod"}
	return map[Manager][]string{
		Networkd:       append(base[:len(base):len(base)], "systemd-resolved"),
		NetworkManager: append(base[:len(base):len(base)], "libpam-systemd", "network-manager"),
	}
}

// files are put into the root of every image as they are.
//
//go:embed all:root
var files embed.FS

// ISO returns the path of the ISO. When the cache does not hold it, it is built, which takes minutes, root and a source of Debian packages.
// The output of the programs goes to progress.
func ISO(ctx context.Context, m Manager, progress io.Writer) (string, error) {
	file, err := iso(ctx, m, progress)
	if err != nil {
		return "", fmt.Errorf("make live ISO with %s: %w", m, err)
	}
	return file, nil
}

func iso(ctx context.Context, m Manager, progress io.Writer) (string, error) {
	cache, err := qemu.CacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "netlive")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	key, err := m.digest()
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, fmt.Sprintf("%s-%x.iso", m, key[:8]))
	unlock, err := lock(filepath.Join(dir, "lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(file); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return file, err
	}
	if os.Geteuid() != 0 {
		return "", errors.New("only root can install a Debian system: run the test once as root, the ISO is kept")
	}
	work, err := os.MkdirTemp(dir, "work-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	root := filepath.Join(work, "root")
	if err := m.install(ctx, root, filepath.Join(dir, "debs"), progress); err != nil {
		return "", err
	}
	made := filepath.Join(work, "live.iso")
	if err := liveiso.Pack(ctx, liveiso.RootfsImage, root, 0, made); err != nil {
		return "", err
	}
	return file, os.Rename(made, file)
}

// lock keeps other tests and other processes from building at the same time: the first builds for all.
func lock(name string) (unlock func() error, err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", name, err), f.Close())
	}
	return f.Close, nil
}

// digest is that of everything that the ISO is made from, but for the versions of the packages.
func (m Manager) digest() ([]byte, error) {
	h := sha256.New()
	fmt.Fprintf(h, "%d %s %s %q\n", recipe, debroot.Suite, m, packages()[m])
	err := fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := files.ReadFile(path)
		fmt.Fprintf(h, "%s %x\n", path, sha256.Sum256(content))
		return err
	})
	return h.Sum(nil), err
}

// install makes the root.
func (m Manager) install(ctx context.Context, root, debs string, progress io.Writer) error {
	mirror, err := debroot.Mirror(ctx)
	if err != nil {
		return err
	}
	if err := errors.Join(os.MkdirAll(root, 0o755), os.MkdirAll(debs, 0o755)); err != nil {
		return err
	}
	err = debroot.Run(ctx, progress, "debootstrap", "--variant=minbase", "--cache-dir="+debs, "--include="+strings.Join(packages()[m], ","), debroot.Suite, root, mirror)
	if err != nil {
		return err
	}
	if err := m.adapt(root); err != nil {
		return err
	}
	enable := []string{"chroot", root, "systemctl", "enable", "netlive.service"}
	if m == Networkd {
		enable = append(enable, "systemd-networkd.service", "systemd-resolved.service")
	}
	return debroot.Run(ctx, progress, enable[0], enable[1:]...)
}

// adapt adds our files and removes what only costs time and memory, or is of the building machine.
func (m Manager) adapt(root string) error {
	gone := []string{"etc/hostname", "var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info"}
	if m == NetworkManager {
		gone = append(gone, "etc/resolv.conf")
	}
	for _, path := range gone {
		if err := os.RemoveAll(filepath.Join(root, path)); err != nil {
			return err
		}
	}
	laid, err := fs.Sub(files, "root")
	if err != nil {
		return err
	}
	return debroot.Lay(laid, root)
}
