package integration

import (
	"path"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/liveboot/liveboot/initramfs"
)

// rescueCommand is a command of the rescue shell, a line that uses it, and what must be seen then: a line that matches,
// or, when that is empty, status 0.
type rescueCommand struct{ name, line, want string }

// rescueCommands is every command of the image, in an order in which one can use what another has made. server is the
// URL of a web server with a file /answer that holds one word.
func rescueCommands(server string) []rescueCommand {
	return []rescueCommand{
		{"mkdir", "mkdir -p /tmp/r/d", ""},
		{"echo", "echo hello > /tmp/r/f", ""},
		{"cat", "cat /tmp/r/f", `^hello$`},
		{"chmod", "chmod 600 /tmp/r/f", ""},
		{"ls", "ls -l /tmp/r", `rw-------.* f$`},
		{"cp", "cp /tmp/r/f /tmp/r/g", ""},
		{"mv", "mv /tmp/r/g /tmp/r/d/h", ""},
		{"find", "find /tmp/r", `^/tmp/r/d/h$`},
		{"rm", "rm /tmp/r/d/h", ""},
		{"ln", "ln -s f /tmp/r/l", ""},
		{"readlink", "readlink /tmp/r/l", `^f$`},
		{"touch", "touch /tmp/r/t", ""},
		{"dd", "dd if=/dev/zero of=/tmp/r/z bs=512 count=4", ""},
		{"du", "du /tmp/r", `/tmp/r`},
		{"df", "df", `/run`},
		{"grep", "grep hel /tmp/r/f", `^hello$`},
		{"gzip", "gzip -k /tmp/r/f", ""},
		{"head", "head -n 1 /proc/version", `^Linux version`},
		{"tail", "tail -n 1 /tmp/r/f", `^hello$`},
		{"hexdump", "hexdump /tmp/r/f", `68 65 6c 6c 6f`},
		{"mknod", "mknod /tmp/r/null c 1 3", ""},
		{"more", "more /tmp/r/f", `^hello$`},
		{"shasum", "shasum /tmp/r/f", `f572d396fae9206628714fb2ce00f72e94f2258f`},
		{"sort", "sort /tmp/r/f", `^hello$`},
		{"stty", "stty", `speed|intr`},
		{"sync", "sync", ""},
		{"tar", "cd /tmp && tar -c -f r.tar r", ""},
		{"tee", "echo tea | tee /tmp/r/tee", `^tea$`},
		{"wc", "wc -c /tmp/r/f", `^6`},
		{"which", "which ls", `bin/ls$`},
		{"xargs", "echo hello | xargs echo", `^hello$`},
		{"basename", "basename /a/base", `^base$`},
		{"dirname", "dirname /dir/b", `^/dir$`},
		{"date", "date", `20\d\d`},
		{"false", "false || echo not", `^not$`},
		{"true", "true", ""},
		{"printenv", "printenv HOME", `/root$`},
		{"pwd", "pwd", `^/`},
		{"seq", "seq 3 5", `^4$`},
		{"sleep", "sleep 0.1", ""},
		{"strings", "strings /tmp/r/f", `^hello$`},
		{"time", "time true", `real`},
		{"tty", "tty", `^/dev/ttyS0$`},
		{"uname", "uname -a", `^Linux`},
		{"uniq", "uniq /tmp/r/f", `^hello$`},
		{"free", "free", `Mem`},
		{"kill", "kill -l", `(?i)kill`},
		{"pidof", "pidof init", `^1$`},
		{"ps", "ps -A", `^ *1 .*init`},
		{"uptime", "uptime", `(?i)up|load`},
		{"blkid", "blkid", ""},
		{"chroot", "chroot / /bbin/true", ""},
		{"dmesg", "dmesg", `Linux version`},
		{"hwclock", "hwclock", `20\d\d`},
		{"lsmod", "lsmod", `^virtio_net`},
		{"modprobe", "modprobe brd && lsmod", `^brd`},
		{"modprobe", "modprobe bonding && lsmod", `^bonding`}, // one that is compressed
		{"rmmod", "rmmod brd", ""},
		{"insmod", "insmod $(find /lib/modules -name brd.ko) && lsmod", `^brd`},
		{"losetup", "modprobe loop && losetup /dev/loop0 /tmp/r/z", ""},
		{"mount", "mount -t tmpfs tmpfs /tmp/r/d && cat /proc/self/mounts", `^tmpfs /tmp/r/d tmpfs`},
		{"umount", "umount /tmp/r/d", ""},
		{"mount", "mount -t vfat /dev/null /tmp/r/d; lsmod", `^vfat`}, // the kernel calls modprobe
		{"grep", "grep -h PCI_ID /sys/bus/pci/devices/*/uevent", `1AF4`},
		{"hostname", "hostname", `\S`},
		{"ip", "ip addr", `10\.0\.2\.15`},
		{"ip", "ip route", `^(?:default|0\.0\.0\.0/0) .*en\w+`},
		{"ping", "ping -c 1 10.0.2.2", `(?i)bytes from|rtt|icmp`},
		{"wget", "wget -O /tmp/r/answer " + server + "/answer && cat /tmp/r/answer", `^served$`},
		{"netcat", "netcat -h; true", ""},
		{"shutdown", "which shutdown", `shutdown$`},
		{"poweroff", "which poweroff", `poweroff$`},
	}
}

// Each command that the image brings along is tried in the rescue shell, and no other.
func TestRescueCommandsAreTried(t *testing.T) {
	var tried, brought []string
	for _, c := range rescueCommands("") {
		tried = append(tried, c.name)
		if _, err := regexp.Compile(c.want); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	for _, p := range initramfs.DefaultCommands() {
		brought = append(brought, path.Base(p))
	}
	slices.Sort(tried)
	slices.Sort(brought)
	if diff := cmp.Diff(brought, slices.Compact(tried)); diff != "" {
		t.Errorf("commands (-of the image +tried):\n%s", diff)
	}
}
