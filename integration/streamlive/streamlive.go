// Package streamlive makes live ISOs of a real system for the tests of a root that streams while a network manager looks after the link it comes
// by: Debian bookworm with systemd, and with systemd-networkd and systemd-resolved or with NetworkManager. They are kept in the cache folder.
//
// Three things go on in the system:
//
//   - On ttyS1 it takes commands of a shell, a line each, from "streamlive ready" on, and answers with what they print and a line "streamlive
//     done N", where N is the exit status. (On ttyS0 the kernel writes in the middle of other people's lines.)
//   - The changes of links, addresses and routes since before the network manager's start are in the file [Changes], as ip-monitor(8) prints
//     them with -o.
//   - From `systemctl start reader` on, 4 KiB in the middle of each of the files in [Noise] are read, every two seconds or so, in an order in
//     which no two files are beside each other: what is read was not fetched before. The file [Reads] has a line for each: the seconds since the
//     start of the kernel before and after it, the name of the file, and what sha256sum(1) says of the bytes.
//
// The image has a configuration of its own for every wired link, which asks for an address by DHCP with the manager's default client
// identifier: a machine that follows it gets another address than the initramfs had.
package streamlive

import (
	"context"
	"crypto/sha256"
	"embed"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"strconv"
	"testing/fstest"

	"github.com/liveboot/liveboot/integration/debroot"
)

// Manager is who looks after the network of the live system.
type Manager string

// The managers.
const (
	Networkd       Manager = "systemd-networkd"
	NetworkManager Manager = "NetworkManager"
)

// Files of the live system.
const (
	Changes = "/run/streamlive/changes"
	Reads   = "/run/streamlive/reads"
	Noise   = "/opt/noise"
)

// The noise: so many files, of so many bytes each, of which so many are read from there on.
const (
	noiseFiles = 160
	noiseSize  = 1 << 20
	readAt     = 512 << 10
	readSize   = 4 << 10
)

// files are put into the root of every image as they are.
//
//go:embed all:root
var files embed.FS

// ISO returns the path of the ISO. When the cache does not hold it, it is built, which takes minutes, root and a source of Debian packages.
// The output of the programs goes to progress.
func ISO(ctx context.Context, m Manager, progress io.Writer) (string, error) {
	s, err := system(m)
	if err != nil {
		return "", err
	}
	return debroot.ISO(ctx, s, progress)
}

// system is what goes into the ISO. libpam-systemd is named for polkit's sake: debootstrap chooses nothing for what several packages provide.
func system(m Manager) (debroot.System, error) {
	laid, err := content()
	s := debroot.System{
		Name: "streamlive-" + string(m), Files: laid,
		Packages: []string{"systemd-sysv", "udev", "dbus", "iproute2", "kmod", "libpam-systemd", "network-manager"},
	}
	if m == Networkd {
		s.Packages = []string{"systemd-sysv", "udev", "dbus", "iproute2", "kmod", "systemd-resolved"}
		s.Commands = []string{"systemctl enable systemd-networkd systemd-resolved"}
	}
	return s, err
}

// content is what is laid into the root: the files beside this one, and noise.
func content() (fs.FS, error) {
	laid := make(fstest.MapFS)
	err := fs.WalkDir(files, "root", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := files.ReadFile(path)
		laid[path[len("root/"):]] = &fstest.MapFile{Data: data}
		return err
	})
	for i := range noiseFiles {
		laid[noiseFile(i)] = &fstest.MapFile{Data: noise(i)}
	}
	return laid, err
}

func noiseFile(i int) string { return fmt.Sprintf("%s/%d", Noise[1:], i) }

// noise is the content of one file: it cannot be compressed, and is the same every time.
func noise(i int) []byte {
	data := make([]byte, noiseSize)
	// It never fails.
	_, _ = rand.NewChaCha8([32]byte{byte(i)}).Read(data)
	return data
}

// Digest returns what [Reads] must have for the file of noise with that name: the SHA-256 of what is read of it.
func Digest(name string) (string, error) {
	i, err := strconv.Atoi(name)
	if err != nil || i < 0 || i >= noiseFiles {
		return "", fmt.Errorf("there is no noise %q", name)
	}
	return fmt.Sprintf("%x", sha256.Sum256(noise(i)[readAt:][:readSize])), nil
}
