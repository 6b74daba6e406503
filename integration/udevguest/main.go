// Command udevguest is process 1 of the guests in the tests of names. For links, it loads the drivers, asks udev and package netid how
// the links are to be called, and lets udev rename them. For disks, it asks udev and package disk for their names. It reports
// all of it on the console (package report), and powers off.
package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/integration/udevguest/report"
	"github.com/liveboot/liveboot/pkg/device"
	"github.com/liveboot/liveboot/pkg/kernel/module"
	"github.com/liveboot/liveboot/pkg/kernel/uevent"
	"github.com/liveboot/liveboot/pkg/network/netid"
)

func main() {
	line, err := run(context.Background())
	if err != nil {
		line = "udevguest FAILED: " + err.Error()
	}
	quietKernel()
	fmt.Printf("\n%s\n", line)
	unix.Sync()
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF); err != nil {
		fmt.Printf("udevguest: power off: %v\n", err)
	}
	select {}
}

func run(ctx context.Context) (string, error) {
	if err := mountAll(); err != nil {
		return "", err
	}
	if _, err := word(report.DiskCount); err == nil {
		return disks()
	}
	return links(ctx)
}

func links(ctx context.Context) (string, error) {
	if err := plug(ctx); err != nil {
		return "", err
	}
	list, err := word(report.Schemes)
	if err != nil {
		return "", err
	}
	sys, schemes := os.DirFS("/sys"), strings.Split(list, ",")
	var links []report.Link
	err = eachLink(func(name string) error {
		l, err := inspect(sys, name, schemes)
		links = append(links, l)
		return err
	})
	if err != nil {
		return "", err
	}
	if err := rename(links); err != nil {
		return "", err
	}
	return report.Format(links)
}

func mountAll() error {
	for _, m := range []struct{ kind, target string }{{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}, {"tmpfs", "/run"}} {
		if err := errors.Join(os.MkdirAll(m.target, 0o755), unix.Mount(m.kind, m.target, m.kind, 0, "")); err != nil {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	return nil
}

// plug loads the drivers of all devices, and returns when as many links are there as the command line says.
func plug(ctx context.Context) error {
	number, err := word(report.Count)
	if err != nil {
		return err
	}
	want, err := strconv.Atoi(number)
	if err != nil {
		return err
	}
	events, err := uevent.Listen()
	if err != nil {
		return err
	}
	defer events.Close()
	var kernel unix.Utsname
	if err := unix.Uname(&kernel); err != nil {
		return err
	}
	loader, err := module.Open("/", unix.ByteSliceToString(kernel.Release[:]), new(module.System), module.Options{})
	if err != nil {
		return err
	}
	manager := device.NewManager(os.DirFS("/sys"), loader, func(error) {}) // most devices have no driver in this image
	seen := make(chan struct{}, 1)
	go manager.HotPlug(ctx, notifier{events, seen})
	if err := manager.ColdPlug(ctx, nil); err != nil {
		return err
	}
	for {
		count := 0
		if err := eachLink(func(string) error { count++; return nil }); err != nil {
			return err
		}
		if count >= want {
			return nil
		}
		<-seen
	}
}

// word is what stands behind key on the kernel command line.
func word(key string) (string, error) {
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return "", err
	}
	for _, w := range strings.Fields(string(line)) {
		if value, ok := strings.CutPrefix(w, key); ok {
			return value, nil
		}
	}
	return "", fmt.Errorf("no %s on the kernel command line", key)
}

// A notifier passes events on, and says that there was one.
type notifier struct {
	*uevent.Listener
	seen chan<- struct{}
}

func (n notifier) Receive() (uevent.Event, error) {
	event, err := n.Listener.Receive()
	select {
	case n.seen <- struct{}{}:
	default:
	}
	return event, err
}

// eachLink calls do for each card.
func eachLink(do func(name string) error) error {
	entries, err := os.ReadDir("/sys/class/net")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == "lo" {
			continue
		}
		if err := do(e.Name()); err != nil {
			return err
		}
	}
	return nil
}

// inspect asks both for the names of a link.
func inspect(sys fs.FS, name string, schemes []string) (report.Link, error) {
	folder := filepath.Join("/sys/class/net", name)
	driver, _ := os.Readlink(filepath.Join(folder, "device/driver"))
	address, err := os.ReadFile(filepath.Join(folder, "address"))
	if err != nil {
		return report.Link{}, err
	}
	l := report.Link{
		Kernel: name, Address: strings.TrimSpace(string(address)), Driver: filepath.Base(driver),
		Udev: make(map[string]report.Names), Ours: make(map[string]report.Names),
	}
	for _, s := range schemes {
		if l.Udev[s], err = askUdev(folder, s); err != nil {
			return l, err
		}
		scheme, err := netid.ParseScheme(s)
		if err != nil {
			return l, err
		}
		c, err := netid.For(sys, name, scheme)
		if err != nil {
			return l, err
		}
		l.Ours[s] = report.Names{Onboard: c.Onboard, Slot: c.Slot, Path: c.Path, MAC: c.MAC}
	}
	l.Chosen, err = netid.Policy{}.Name(sys, name, nil)
	return l, err
}

func askUdev(folder, scheme string) (report.Names, error) {
	cmd := exec.Command("/usr/bin/udevadm", "test-builtin", "net_id", folder)
	cmd.Env = append(os.Environ(), "NET_NAMING_SCHEME="+scheme)
	out, err := cmd.Output()
	if err != nil {
		return report.Names{}, fmt.Errorf("%s: %w", cmd, err)
	}
	var n report.Names
	values := map[string]*string{
		"ID_NET_NAME_ONBOARD": &n.Onboard, "ID_NET_NAME_SLOT": &n.Slot, "ID_NET_NAME_PATH": &n.Path, "ID_NET_NAME_MAC": &n.MAC,
	}
	for line := range strings.Lines(string(out)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if v, ok := values[key]; ok {
			*v = value
		}
		if key == "ID_NET_NAMING_SCHEME" && value != scheme {
			return n, fmt.Errorf("udev uses the scheme %s instead of %s", value, scheme)
		}
	}
	return n, nil
}

// rename lets udev rename all links, and notes their new names.
func rename(links []report.Link) error {
	index := func(name string) string {
		data, _ := os.ReadFile(filepath.Join("/sys/class/net", name, "ifindex"))
		return string(data)
	}
	before := make(map[string]*report.Link)
	for i := range links {
		before[index(links[i].Kernel)] = &links[i]
	}
	for _, words := range [][]string{
		{"/usr/lib/systemd/systemd-udevd", "--daemon"},
		{"/usr/bin/udevadm", "trigger", "--action=add", "--subsystem-match=net"},
		{"/usr/bin/udevadm", "settle"},
	} {
		if err := execute(words...); err != nil {
			return err
		}
	}
	return eachLink(func(name string) error {
		l, ok := before[index(name)]
		if !ok {
			return fmt.Errorf("link %s is not one of those before", name)
		}
		l.Renamed = name
		return nil
	})
}

// execute runs a program.
func execute(words ...string) error {
	if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", words, err, out)
	}
	return nil
}

// quietKernel keeps the kernel's messages out of the report.
func quietKernel() {
	const consoleLevel = 8 // SYSLOG_ACTION_CONSOLE_LEVEL of syslog(2), whose argument is the length of the buffer
	// If it fails, the report may be torn, and the test says so.
	_, _, _ = unix.Syscall(unix.SYS_SYSLOG, consoleLevel, 0, 1)
}
