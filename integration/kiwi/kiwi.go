// Package kiwi provides tests with a real KIWI NG live ISO: Debian bookworm with systemd, built by Debian's KIWI packages
// from the description beside this file, and kept in the cache folder.
//
// The ISO has KIWI's layout: volume id CDROM, the kernel and KIWI's own initrd at boot/x86_64/loader/{linux,initrd}, the
// root as ext4 in LiveOS/rootfs.img inside the squashfs LiveOS/squashfs.img, an MBR partition table with two entries.
//
// The live system boots to multi-user.target without a failed unit. systemd-networkd asks for addresses by DHCP on every
// wired interface and keeps those that the initramfs configured. On ttyS0, root is logged in (the password is "live"),
// and a report is written when the system is up:
//
//	LIVE-SYSTEM-UP kernel=6.1.0-50-amd64 root=LiveOS_rootfs boots=1
//	LIVE-REPORT <name>: <line of output>
//	…
//	LIVE-REPORT-END
//
// where <name> is one of cat (/proc/uptime and /proc/cmdline), free, lsblk, grep (the mounts of the live root), ip,
// systemctl ("running" and nothing else when all is well), findmnt (source, type and options of /), report.json (liveboot's, when
// there is one), systemd-analyze, init (the name of process 1), leftovers (processes of the initramfs, "none" when all is
// well), MemAvailable (KiB), overlay (the content of /run/overlay), resolver (/etc/resolv.conf) and test.
//
// Two words on the kernel command line are for tests: livetest.b64=<base64> is a shell script whose output becomes the
// lines named test, and livetest.poweroff powers off after the report.
package kiwi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	// Up starts the line that the live system writes first, on a line of its own.
	Up = "LIVE-SYSTEM-UP"
	// Report starts each line of the report.
	Report = "LIVE-REPORT "
	// End is the last line of the report.
	End = "LIVE-REPORT-END"
)

// ISO returns the path of the ISO, with its checksum in a file of the same name and .sha256 behind it. When the cache does
// not hold it, it is built, which takes minutes, root (through sudo) and a source of Debian packages: the README beside
// this file says what is needed. The steps are written to progress as they begin.
//
// When ctx ends, a build by root is undone; one through sudo goes on by itself, for the next call to find.
func ISO(ctx context.Context, progress io.Writer) (path string, err error) {
	dir, err := sourceDir()
	if err != nil {
		return "", err
	}
	return run(ctx, progress, filepath.Join(dir, "build"))
}

// run starts the build script and returns the path that it prints.
func run(ctx context.Context, progress io.Writer, script string, args ...string) (path string, err error) {
	var stdout bytes.Buffer
	cmd := exec.CommandContext(ctx, script, args...)
	cmd.Stdout, cmd.Stderr = &stdout, progress
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second // to remove what was built so far
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("build KIWI ISO with %s: %w", script, errors.Join(err, ctx.Err()))
	}
	lines := strings.Split(strings.TrimSpace(stdout.String()), "\n")
	return lines[len(lines)-1], nil
}

// sourceDir returns the folder of this file, where the build script is.
func sourceDir() (string, error) {
	_, file, _, ok := runtime.Caller(0)
	if !ok || !filepath.IsAbs(file) {
		return "", fmt.Errorf("find KIWI build script: source path %q is not absolute: build the test without -trimpath", file)
	}
	return filepath.Dir(file), nil
}
