// Package handover tells the network managers of a live system what the initramfs made of the network, so that the machine stays reachable at
// its address: the links keep their names, their addresses and their routes, and a lease is confirmed with a REQUEST instead of a new DISCOVER.
//
// It is pure: [Files] returns what is to be written below /run, and [Root] what the live system's root lacks.
//
//   - systemd-networkd reads /run/systemd/network, systemd.network(5). With KeepConfiguration= it takes an address with a finite lifetime for the
//     one to request. systemd-network-generator(8), which reads the kernel command line for it, is told to stay away.
//   - NetworkManager reads keyfiles below /run/NetworkManager, nm-settings-keyfile(5). Its files on each device and on the last lease, which
//     it writes for its own restart, make it take a link over as it is.
//   - For others there is /run/liveboot/network.json, see [Description].
package handover

import (
	"io/fs"
	"net/netip"
	"slices"

	"github.com/liveboot/liveboot/pkg/network"
)

// A State is the network at the moment of the hand-over.
type State struct {
	// Config is what was asked for.
	Config network.Config
	// Active are the links that have addresses, the primary one first, as network.Network has them.
	Active []network.Active
	// Links are all links that the network knows: the ports and parents among them, at any depth, are handed over as well. Those that are
	// named in Active need not be here.
	Links []network.Link
	// Metric is that of the routes which the kernel has from us, by link and version of IP. With another the network managers would add a
	// second set of routes and leave the first to nobody. Nil means that the routes have none.
	Metric func(link network.Link, address netip.Addr) int
}

// A File is to be written before the live system starts. Folders on the way to it are made with the mode 0755, and belong to root as it does.
type File struct {
	// Path begins at the root, without a slash: "run/…" is in the file system that the live system inherits, all else in its root.
	Path    string
	Mode    fs.FileMode
	Content []byte
	// OnlyIfMissing says that a file that is there already, a link to nowhere among them, is to be left alone.
	OnlyIfMissing bool
}

// Files returns what the network managers read below /run, sorted by path.
func Files(s State) []File {
	var files []File
	for _, c := range connections(s) {
		files = append(files, c.networkd()...)
		files = append(files, c.networkManager()...)
	}
	files = append(files, File{Path: descriptionPath, Mode: 0o644, Content: describe(s).json()}, noGenerator())
	slices.SortFunc(files, func(a, b File) int {
		switch {
		case a.Path < b.Path:
			return -1
		case a.Path > b.Path:
			return 1
		}
		return 0
	})
	return files
}
