package isokernel

import (
	"slices"
	"strings"

	"github.com/liveboot/liveboot/pkg/cmdline"
)

// kept are options of our initramfs that an ISO may set: where its live root is and how much that writes, which it knows best, and how much is said.
func kept() []string {
	return []string{"rd.live.dir", "live_dir", "rd.live.squashimg", "rd.live.overlay.size", "quiet"}
}

// families are the beginnings of options that an ISO may not set.
func families() []string {
	return []string{"rd.", "root", "net.", "iso_scan", "brd."}
}

// dropped are further ones.
func dropped() []string {
	return []string{
		"resume", "noresume", "boot", "live_media", "live_media_path", "findiso", "fromiso", "toram", "archisobasedir", "archisolabel", "archisodevice",
		"inst.stage2", "inst.repo", "mediacheck", "ramdisk_size",
		"BOOT_IMAGE", "initrd", "noinitrd",
		"BOOTIF", "bootdev", "ip", "ifname", "nameserver", "gateway", "netmask", "hostname", "vlan", "bond", "bridge", "team", "proxy", "biosdevname",
		"init", "rdinit", "panic", "module_blacklist", "modprobe.blacklist",
	}
}

// Options returns of a boot entry's options those that can be added to ours: what is left cannot change what our initramfs does, but for where
// in the ISO the live root is (rd.live.dir=, rd.live.squashimg=), how much it may write (rd.live.overlay.size=), and quiet. What goes is:
//
//   - what is for an initramfs, or for the kernel to find one: all rd.*, init=, rdinit=, panic=, brd.* and ramdisk_size=, blacklists of drivers;
//   - what sets up the network: ip=, BOOTIF=, bootdev=, ifname=, nameserver=, gateway=, netmask=, hostname=, vlan=, bond=, bridge=, team=, proxy=, net.*,
//     biosdevname=;
//   - what says where the entry's own system is, since ours is where root= of the machine's line says: root=, rootfstype=, rootflags=, rootwait and
//     all others of root*, resume=, noresume; boot=, live-media=, live-media-path=, fromiso=, findiso= and toram (Debian live), iso-scan/*,
//     archisobasedir=, archisolabel=, archisodevice=, inst.stage2=, inst.repo=, mediacheck;
//   - what a boot loader adds: BOOT_IMAGE=, initrd=, and from "--" or "---" on, which are words for init or Debian's installer;
//   - what would be another word, or several, where it is read again: quotes in the middle, control characters.
//
// What is left is in the order of the entry: console=, quiet, nomodeset, options of drivers and of the system.
func Options(entry string) string {
	var words []string
	for _, p := range cmdline.Parse(entry) {
		if p.Key == "---" {
			break
		}
		if word := p.String(); mayStay(p.Key) && sound(word, p) {
			words = append(words, word)
		}
	}
	return strings.Join(words, " ")
}

// mayStay says whether an ISO may set an option. To the kernel "-" and "_" are the same.
func mayStay(key string) bool {
	if slices.Contains(kept(), key) {
		return true
	}
	key = strings.ReplaceAll(key, "-", "_")
	return !slices.Contains(dropped(), key) && !slices.ContainsFunc(families(), func(f string) bool { return strings.HasPrefix(key, f) })
}

// sound says whether a word is read as this option, alone and in front of others.
func sound(word string, p cmdline.Param) bool {
	control := strings.ContainsFunc(word, func(r rune) bool { return r < ' ' || r == 0x7f })
	return !control && strings.Count(word, `"`)%2 == 0 && slices.Equal(cmdline.Parse(word), cmdline.Line{p})
}
