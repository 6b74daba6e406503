package initramfs

// uroot is where u-root keeps its commands.
const uroot = "github.com/u-root/u-root/cmds/"

// DefaultCommands is the Go packages of what a person finds in the rescue
// shell, beside liveboot itself. Each was tried in a booted image. Of u-root's
// own, modprobe knows no aliases, so ours is taken; the kernel calls it, too.
// Ours are also those of which u-root's bring much along that is in the image
// already, or that nobody needs there: netcat servers of TLS, SCTP, VSOCK and
// proxies, insmod and rmmod a second set of decompressors, wget a second TFTP.
// Together that is 0.17 MB of the compressed segment.
// pci is not there: its table of names is a tenth of the busybox, and what a
// card is, and which driver it has, stands in /sys/bus/pci/devices/*/uevent.
func DefaultCommands() []string {
	core := []string{
		// Files.
		"cat", "chmod", "cp", "dd", "df", "du", "find", "grep", "gzip", "head",
		"hexdump", "ln", "ls", "mkdir", "mknod", "more", "mv", "readlink",
		"rm", "shasum", "sort", "stty", "sync", "tail", "tar", "tee", "touch", "wc",
		"which", "xargs",
		// The shell's.
		"basename", "date", "dirname", "echo", "false", "printenv", "pwd", "seq",
		"sleep", "strings", "time", "true", "tty", "uname", "uniq",
		// Processes and memory.
		"free", "kill", "pidof", "ps", "uptime",
		// Devices and mounts.
		"blkid", "chroot", "dmesg", "hwclock", "losetup", "lsmod",
		"mount", "umount",
		// The network.
		"hostname", "ip", "ping",
		// The end.
		"poweroff", "shutdown",
	}
	var packages []string
	for _, name := range []string{"insmod", "modprobe", "netcat", "rmmod", "wget"} {
		packages = append(packages, modulePath+"/cmds/"+name)
	}
	for _, name := range core {
		packages = append(packages, uroot+"core/"+name)
	}
	return packages
}
