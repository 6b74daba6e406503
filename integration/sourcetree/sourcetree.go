// Package sourcetree makes the live ISO of the benchmarks of streaming: Debian bookworm with fio, curl, and the sources of Debian's kernel:
// the package's archive, which nobody reads, and what is unpacked of it, the kernel for x86 with a tenth of its drivers. The ISO is kept in
// the cache folder.
//
// Process 1 takes commands of a shell on ttyS1, a line each, from "streamlive ready" on, and answers with what they print and a line
// "streamlive done N", where N is the exit status. The file [Reads] names those files of the sources that a build reads, in their order.
package sourcetree

import (
	"context"
	"embed"
	"io"
	"io/fs"

	"github.com/liveboot/liveboot/integration/debroot"
)

// Reads has a line for each file of the sources that a build reads, in the order in which it needs them from the disk.
const Reads = "/usr/src/reads"

// release is the name of Debian's package, of the archive in it and of the folder in that.
const release = "linux-source-6.1"

// parts are what is unpacked.
const parts = "arch/x86 block certs crypto fs include init io_uring ipc kernel lib mm net security virt " +
	"drivers/acpi drivers/ata drivers/base drivers/block drivers/char drivers/firmware drivers/hid drivers/input drivers/iommu " +
	"drivers/md drivers/nvme drivers/pci drivers/scsi drivers/tty drivers/usb drivers/virtio"

// reads is the program that makes [Reads].
//
//go:embed reads.pl
var reads string

// files are put into the root as they are.
//
//go:embed all:root
var files embed.FS

// ISO returns the path of the ISO. When the cache does not hold it, it is built, which takes minutes, root and a source of Debian packages.
// The output of the programs goes to progress.
func ISO(ctx context.Context, progress io.Writer) (string, error) {
	root, err := fs.Sub(files, "root")
	if err != nil {
		return "", err
	}
	return debroot.ISO(ctx, debroot.System{
		Name: "sourcetree", Packages: []string{"fio", "curl", release}, Files: root,
		Commands: []string{
			"cd /usr/src; for part in " + parts + "; do echo " + release + "/$part; done | tar -xf " + release + ".tar.xz -T -",
			"perl - /usr/src/" + release + " >" + Reads + " <<'END'\n" + reads + "END\n",
		},
	}, progress)
}
