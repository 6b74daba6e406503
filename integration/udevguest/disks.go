package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/liveboot/liveboot/integration/guest"
	"github.com/liveboot/liveboot/integration/udevguest/report"
	"github.com/liveboot/liveboot/pkg/device/disk"
	"github.com/liveboot/liveboot/pkg/device/disk/disktest"
	"github.com/liveboot/liveboot/pkg/kernel/uevent"
)

// disks loads all drivers, waits for as many disks and partitions as the command line says, and returns what udev and package disk call
// them.
func disks() (string, error) {
	number, err := word(report.DiskCount)
	if err != nil {
		return "", err
	}
	want, err := strconv.Atoi(number)
	if err != nil {
		return "", err
	}
	if err := startUdev(want); err != nil {
		return "", err
	}
	recorder := disktest.New(os.DirFS("/sys"))
	local := disk.Local()
	local.Sys, local.Command = recorder, recorder.Commands(local.Command)
	found, err := local.List()
	if err != nil {
		return "", err
	}
	local.Sys = forgetful{os.DirFS("/sys")}
	asked, err := local.List()
	if err != nil {
		return "", err
	}
	var all []report.Disk
	for _, d := range found {
		names, err := udevNames(d.Name)
		if err != nil {
			return "", err
		}
		recorder.Machine().Names[d.Name] = names
		r := report.Disk{Name: d.Name, About: d.String(), Udev: names, Ours: d.Links}
		if i := slices.IndexFunc(asked, func(a disk.Device) bool { return a.Name == d.Name }); i >= 0 {
			r.Asked = asked[i].Links
		}
		all = append(all, r)
	}
	return report.FormatDisks(report.Disks{Disks: all, Record: recorder.Machine()})
}

// A forgetful folder is /sys of a kernel that keeps nothing of what disks say of themselves.
type forgetful struct{ fs.FS }

// Open hides the pages.
func (f forgetful) Open(name string) (fs.File, error) {
	if base := path.Base(name); strings.HasPrefix(base, "vpd_") || base == "inquiry" {
		return nil, fs.ErrNotExist
	}
	return f.FS.Open(name)
}

// ReadLink is fs.ReadLinkFS's, as is Lstat.
func (f forgetful) ReadLink(name string) (string, error) { return fs.ReadLink(f.FS, name) }

// Lstat is not used.
func (f forgetful) Lstat(name string) (fs.FileInfo, error) { return fs.Lstat(f.FS, name) }

// startUdev starts udev, loads the drivers, and returns when udev has dealt with all devices.
func startUdev(want int) error {
	if err := execute("/usr/lib/systemd/systemd-udevd", "--daemon"); err != nil {
		return err
	}
	events, err := uevent.Listen()
	if err != nil {
		return err
	}
	defer events.Close()
	if err := guest.LoadModules(); err != nil {
		return err
	}
	for count := 0; ; {
		names, err := filepath.Glob("/sys/class/block/*")
		if err != nil {
			return err
		}
		if len(names) != count {
			count = len(names)
			fmt.Printf("udevguest: %d block devices: %s\n", count, names)
		}
		if count >= want {
			break
		}
		if _, err := events.Receive(); err != nil {
			return err
		}
	}
	if err := execute("/usr/bin/udevadm", "trigger", "--action=add", "--subsystem-match=block"); err != nil {
		return err
	}
	return execute("/usr/bin/udevadm", "settle")
}

// udevNames are the links that udev gives to a device, as its database has them: those as well that another device got.
func udevNames(name string) ([]string, error) {
	number, err := os.ReadFile(filepath.Join("/sys/class/block", name, "dev"))
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile("/run/udev/data/b" + strings.TrimSpace(string(number)))
	if err != nil {
		return nil, err
	}
	var names []string
	for s := bufio.NewScanner(bytes.NewReader(data)); s.Scan(); {
		if link, ok := strings.CutPrefix(s.Text(), "S:"); ok {
			names = append(names, link)
		}
	}
	slices.Sort(names)
	return names, nil
}
