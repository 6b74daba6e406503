package isokernel

import (
	"slices"
	"strings"

	"github.com/liveboot/liveboot/pkg/cmdline"
)

// Options returns of a boot entry's options those that can be added to ours. What goes is:
//
//   - what says where the entry's own system is, since ours is where root= of the machine's line says: root=, rootfstype=, rootwait, rootdelay=,
//     resume=, boot= and live-media= (Debian live), findiso=, iso-scan/filename=, archisobasedir=, archisolabel=, inst.stage2=, inst.repo=, CDLABEL;
//   - what a boot loader adds: BOOT_IMAGE=, initrd=, and from "--" or "---" on, which are words for init or Debian's installer;
//   - what only makes sense on a local medium: rd.live.overlay.persistent, rd.live.overlay.cowfs=, rd.live.check and mediacheck.
//
// What is left is in the order of the entry: console=, quiet, nomodeset, options of drivers and of the system.
func Options(entry string) string {
	local := []string{
		"root", "rootfstype", "rootwait", "rootdelay", "resume", "noresume", "boot", "live-media", "live-media-path", "findiso", "fromiso", "toram",
		"iso-scan/filename", "archisobasedir", "archisolabel", "archisodevice", "inst.stage2", "inst.repo", "BOOT_IMAGE", "initrd", "BOOTIF",
		"rd.live.overlay.persistent", "rd.live.overlay.cowfs", "rd.live.check", "rd.live.image", "mediacheck", "ramdisk_size",
	}
	entry, _, _ = strings.Cut(" "+entry+" ", " --- ")
	var words []string
	for _, p := range cmdline.Parse(entry) {
		if !slices.Contains(local, p.Key) {
			words = append(words, p.String())
		}
	}
	return strings.Join(words, " ")
}
