// Package initiso makes live ISOs of real systems whose process 1 is not systemd, for the tests of what the hand-over leaves them: Debian
// bookworm with sysvinit, and with OpenRC. They are kept in the cache folder.
//
// The last start script writes a report on the console, whose lines are
//
//	INITISO <name>: <line of output>
//	…
//	INITISO-END
//
// where <name> is one of init (the name of process 1), processes (process and parent ids and command lines of all that are no threads of the
// kernel), fds (the descriptors of process 1), mounts (/proc/mounts), memory (MemAvailable) and failed (services that did not start; OpenRC
// only). After it there is a login on ttyS0, where root has no password.
package initiso

import (
	"context"
	"embed"
	"io"
	"io/fs"

	"github.com/liveboot/liveboot/integration/debroot"
)

// Init is what process 1 is.
type Init string

// The inits.
const (
	SysV   Init = "sysvinit"
	OpenRC Init = "openrc"
)

const (
	// Line starts each line of the report.
	Line = "INITISO "
	// End is its last line.
	End = "INITISO-END"
)

// files are put into the root of every image as they are.
//
//go:embed all:root
var files embed.FS

// ISO returns the path of the ISO. When the cache does not hold it, it is built, which takes minutes, root and a source of Debian packages.
// The output of the programs goes to progress.
func ISO(ctx context.Context, init Init, progress io.Writer) (string, error) {
	s, err := system(init)
	if err != nil {
		return "", err
	}
	return debroot.ISO(ctx, s, progress)
}

func system(init Init) (debroot.System, error) {
	root, err := fs.Sub(files, "root")
	s := debroot.System{
		Name: string(init), Packages: []string{"sysvinit-core", "udev", "kmod", "procps"}, Files: root,
		Commands: []string{
			"passwd -d root",
			// A login on the serial line, and none on screens that nobody looks at.
			"sed -i '/getty.* tty[0-9]$/d' /etc/inittab; echo 'T0:2345:respawn:/sbin/getty -L ttyS0 115200 vt100' >>/etc/inittab",
		},
	}
	if init == OpenRC {
		// debootstrap cannot: the packages that run sysvinit's scripts are in its way.
		s.Commands = append(s.Commands, "apt-get install -q -y --no-install-recommends openrc")
	}
	return s, err
}
