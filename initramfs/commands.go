package initramfs

// uroot is where u-root keeps its commands.
const uroot = "github.com/u-root/u-root/cmds/"

// DefaultCommands is the Go packages of what a person finds in the rescue
// shell, beside liveboot itself. Each was tried in a booted image. Of u-root's
// own, modprobe knows no aliases, so ours is taken; the kernel calls it, too.
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
		"blkid", "chroot", "dmesg", "hwclock", "insmod", "losetup", "lsmod",
		"mount", "rmmod", "umount",
		// The network.
		"hostname", "ip", "netcat", "ping", "wget",
		// The end.
		"poweroff", "shutdown",
	}
	packages := []string{modulePath + "/cmds/modprobe"}
	for _, name := range core {
		packages = append(packages, uroot+"core/"+name)
	}
	return packages
}
