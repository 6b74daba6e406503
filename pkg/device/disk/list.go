package disk

import (
	"cmp"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// sysfsSector is the unit of start and size in sysfs whatever the device's sectors are, Documentation/ABI/stable/sysfs-block.
const sysfsSector = 512

// ignored returns the kernel's names of what is no disk that anybody keeps data on: memory, files, and floppies, which take seconds to say that
// there is none.
func ignored() []string { return []string{"loop", "ram", "zram", "fd"} }

// isIgnored says whether a name is one of those with a number.
func isIgnored(name string) bool {
	return slices.Contains(ignored(), strings.TrimRight(name, "0123456789"))
}

// A unit is a disk with its partitions, as sysfs has them.
type unit struct {
	disk       node
	partitions []node
}

// units returns the disks that the kernel has now.
func units(sys fs.FS) (map[string]unit, error) {
	const class = "class/block"
	entries, err := fs.ReadDir(sys, class)
	if err != nil {
		return nil, fmt.Errorf("list block devices: %w", err)
	}
	all := make(map[string]unit)
	for _, e := range entries {
		n, err := follow(sys, path.Join(class, e.Name()))
		// What has no number has no file in /dev: the paths of a disk that is reached by several.
		if err != nil || isIgnored(e.Name()) || !n.has("dev") {
			continue
		}
		disk, name := n, e.Name()
		if n.has("partition") {
			disk = node{sys, path.Dir(n.path)}
			name = disk.base()
		}
		if isIgnored(name) {
			continue
		}
		u := all[name]
		u.disk = disk
		if disk.path != n.path {
			u.partitions = append(u.partitions, n)
		}
		all[name] = u
	}
	return all, nil
}

// state is everything that a change of the disk changes. The kernel counts changes of a medium in diskseq, since version 5.15.
func (u unit) state() string {
	s := fmt.Sprintf("%s %s %s %s", u.disk.path, u.disk.attr("diskseq"), u.disk.attr("size"), u.disk.attr("ro"))
	for _, p := range u.partitions {
		s += fmt.Sprintf(" %s %s %s", p.base(), p.attr("start"), p.attr("size"))
	}
	return s
}

// List returns the devices that have any size, sorted by name. It waits until all have been read, which one that is broken can delay for
// minutes.
func (s System) List() ([]Device, error) {
	w := newWatch(s)
	defer w.close()
	for {
		if err := w.look(); err != nil {
			return nil, err
		}
		if w.busy == 0 {
			return w.devices(), nil
		}
		for w.busy > 0 {
			w.take(<-w.results)
		}
	}
}

// byName orders devices as people count: sda, sda1, sda2, sda10, sdb, …, sdaa.
func byName(a, b Device) int {
	return cmp.Or(compareNames(cmp.Or(a.Disk, a.Name), cmp.Or(b.Disk, b.Name)), cmp.Compare(a.Partition, b.Partition))
}

// compareNames compares names of disks: by driver, then by length, so that numbers and letters count on, then by the rest.
func compareNames(a, b string) int {
	return cmp.Or(strings.Compare(a[:min(2, len(a))], b[:min(2, len(b))]), cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}
