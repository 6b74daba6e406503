package disk

import (
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/liveboot/liveboot/pkg/partition"
	"github.com/liveboot/liveboot/pkg/probe"
)

// devicePath is the file of a device. A slash in its name is an exclamation mark in sysfs.
func devicePath(name string) string { return "/dev/" + strings.ReplaceAll(name, "!", "/") }

// examine finds out about a disk and its partitions, and returns the state that this was true in. Its error is ErrNoMedium; other
// problems are noted with the device that has them.
func (p *prober) examine(u unit) (devices []Device, state string, err error) {
	name := u.disk.base()
	disk := Device{Name: name, Path: devicePath(name), Removable: u.disk.attr("removable") == "1"}
	r, err := p.system.Open(disk.Path)
	if err == nil {
		defer r.Close()
	}
	// Drives look for the size of their medium when they are opened.
	state = u.state()
	disk.Size = u.disk.number("size") * sysfsSector
	if errors.Is(err, ErrNoMedium) || disk.Size == 0 {
		return nil, state, ErrNoMedium
	}
	disk.SectorSize = max(int(u.disk.number("queue/logical_block_size")), sysfsSector)
	disk.ReadOnly = u.disk.attr("ro") == "1"
	id := p.identity(u.disk, disk.Path)
	disk.Model, disk.Err = id.model, err
	var entries []partition.Entry
	if err == nil {
		if strings.HasPrefix(name, "sr") {
			r = disc{r}
		}
		// Without a table, partitions have no names by it.
		if table, err := partition.Read(r, partition.Disk{Size: disk.Size, SectorSize: disk.SectorSize}); err == nil {
			entries = table.Entries
		}
		disk.Contents, disk.Err = probe.Identify(r, disk.Size, disk.SectorSize)
	}
	disk.Links = links(id, disk, u.disk, partition.Entry{})
	devices = []Device{disk}
	for _, part := range u.partitions {
		devices = append(devices, p.partition(disk, id, u.disk, part, entries))
	}
	return devices, state, nil
}

// A disc is a CD or a DVD. One that was written a track at once ends with two run-out blocks (MMC-3), which count in its size and can't be
// read: where reading fails, it is at its end.
type disc struct{ Reader }

// ReadAt is io.ReaderAt's.
func (d disc) ReadAt(p []byte, offset int64) (int, error) {
	n, err := d.Reader.ReadAt(p, offset)
	if err != nil && offset+int64(n) > 0 {
		err = io.EOF
	}
	return n, err
}

// partition finds out about a partition of a disk.
func (p *prober) partition(disk Device, id identity, diskNode, part node, entries []partition.Entry) Device {
	d := disk
	d.Name, d.Disk, d.Partition = part.base(), disk.Name, int(part.number("partition"))
	d.Path = devicePath(d.Name)
	d.Start, d.Size = part.number("start")*sysfsSector, part.number("size")*sysfsSector
	d.ReadOnly = disk.ReadOnly || part.attr("ro") == "1"
	d.Contents, d.Err = nil, nil
	var e partition.Entry
	if i := slices.IndexFunc(entries, func(e partition.Entry) bool { return e.Number == d.Partition && e.Start == d.Start }); i >= 0 {
		e = entries[i]
	}
	if r, err := p.system.Open(d.Path); err != nil {
		d.Err = err
	} else {
		d.Contents, d.Err = probe.Identify(r, d.Size, d.SectorSize)
		r.Close()
	}
	d.Links = links(id, d, diskNode, e)
	return d
}

// links are the names of a device below /dev.
func links(id identity, d Device, diskNode node, e partition.Entry) []string {
	suffix := ""
	if d.Partition > 0 {
		suffix = "-part" + strconv.Itoa(d.Partition)
	}
	var all []string
	for _, name := range id.ids {
		all = append(all, "disk/by-id/"+name+suffix)
	}
	for _, name := range id.paths {
		all = append(all, "disk/by-path/"+name+suffix)
	}
	if seq := diskNode.attr("diskseq"); seq != "" {
		all = append(all, "disk/by-diskseq/"+seq+suffix)
	}
	content := contentLinks(d.Contents, e)
	for _, name := range content {
		all = append(all, "disk/"+name)
	}
	if d.Partition == 0 {
		return compact(append(all, id.others...))
	}
	for _, way := range id.paths {
		for _, name := range append(content, "by-partnum/"+strconv.Itoa(d.Partition)) {
			all = append(all, "disk/by-path/"+way+"-part/"+name)
		}
	}
	return compact(all)
}

// contentLinks are the names that come from what is on a device, and from its entry in the partition table. A member of something larger
// has none by what shines through: all members of a mirror would have the label of what is on it.
func contentLinks(contents []probe.Content, e partition.Entry) []string {
	var all []string
	add := func(by, value string) {
		if value != "" {
			all = append(all, by+"/"+Encode(value))
		}
	}
	add("by-partuuid", e.UUID)
	add("by-partlabel", e.Name)
	isMember := func(c probe.Content) bool { return c.Kind == probe.KindMember && c.State == probe.Intact }
	if slices.ContainsFunc(contents, isMember) {
		return all
	}
	for _, c := range contents {
		switch c.Kind {
		case probe.KindFileSystem, probe.KindEncrypted, probe.KindSwap, probe.KindOther:
			if c.State == probe.Intact {
				add("by-uuid", c.UUID)
				add("by-label", c.Label)
			}
		}
	}
	return all
}
