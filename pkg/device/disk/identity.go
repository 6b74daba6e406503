package disk

import (
	"slices"
	"strings"
)

// A prober finds out about one disk.
type prober struct{ system System }

func (p *prober) command(path string, cdb, data []byte) error {
	return p.system.Command(path, cdb, data)
}

// An identity is what a disk is called, whatever is on it.
type identity struct {
	// ids and paths are below disk/by-id and disk/by-path.
	ids, paths []string
	// others are below /dev.
	others []string
	model  string
}

// identity asks sysfs, and the disk itself where the kernel does not keep the answer.
func (p *prober) identity(disk node, path string) identity {
	id := identity{model: disk.attr("device/model")}
	name := disk.base()
	switch {
	case strings.HasPrefix(name, "nvme"):
		id.ids, id.model = nvmeIDs(disk)
	case strings.HasPrefix(name, "mmcblk"):
		id.ids, id.model = mmcIDs(disk)
	case strings.HasPrefix(name, "vd"):
		id.model = "virtio"
		if serial := disk.inherited("serial"); serial != "" {
			id.ids = []string{"virtio-" + joinWords(serial)}
		}
	case strings.HasPrefix(name, "sd"), strings.HasPrefix(name, "sr"):
		if dev, ok := disk.above("scsi", "scsi_device"); ok {
			id.ids, id.model = p.scsi(disk, dev, path)
		}
	case strings.HasPrefix(name, "pmem"):
		if uuid := disk.inherited("uuid"); uuid != "" {
			id.ids = []string{"pmem-" + uuid}
		}
	case strings.HasPrefix(name, "dm-"):
		id = mapperIdentity(disk)
	}
	if !strings.HasPrefix(disk.path, "devices/virtual/") || strings.HasPrefix(name, "nvme") {
		id.paths = diskPaths(disk)
	}
	if name == "sr0" {
		id.others = append(id.others, "cdrom")
	}
	for _, links := range [][]string{id.ids, id.paths, id.others} {
		for i := range links {
			links[i] = replaceChars(links[i], "/")
		}
	}
	id.ids, id.paths = compact(id.ids), compact(id.paths)
	return id
}

// compact sorts, and drops what is twice.
func compact(s []string) []string {
	slices.Sort(s)
	return slices.Compact(s)
}

// diskPaths are the names by the way to a disk; those of the boot areas of a memory card say which they are.
func diskPaths(disk node) []string {
	var all []string
	_, boot, isBoot := strings.Cut(disk.base(), "boot")
	for _, name := range paths(disk) {
		if isBoot {
			name += "-boot" + boot
		}
		all = append(all, name)
		if strings.HasPrefix(disk.base(), "vd") && strings.HasPrefix(name, "pci-") {
			all = append(all, "virtio-"+name)
		}
	}
	return all
}

// nvmeIDs are the names of an NVMe namespace: by its own world-wide name, and by its controller's model and serial number, with and
// without its number there, and with white space handled as various versions of udev do.
func nvmeIDs(disk node) (ids []string, model string) {
	if wwid := disk.inherited("wwid"); wwid != "" {
		ids = append(ids, "nvme-"+joinWords(wwid))
	}
	model, serial, nsid := disk.inherited("model"), disk.inherited("serial"), disk.inherited("nsid")
	if model != "" && serial != "" {
		both := model + "_" + serial
		ids = append(ids, "nvme-"+replaceChars(both, ""))
		if !strings.Contains(both, "/") {
			ids = append(ids, "nvme-"+joinWords(both))
		}
		if nsid != "" {
			ids = append(ids, "nvme-"+replaceChars(both+"_"+nsid, ""))
		}
	}
	return ids, strings.Join(strings.Fields(model), " ")
}

// mmcIDs are the names of a memory card. Its boot areas have none.
func mmcIDs(disk node) (ids []string, model string) {
	card, ok := disk.above("mmc", "")
	name, serial := card.attr("name"), card.attr("serial")
	if ok && name != "" && serial != "" && !strings.Contains(disk.base(), "boot") {
		ids = []string{"mmc-" + joinWords(name) + "_" + joinWords(serial)}
	}
	return ids, name
}

// mapperIdentity is that of a device-mapper device, whose name is that which it was given.
func mapperIdentity(disk node) identity {
	name, uuid := disk.attr("dm/name"), disk.attr("dm/uuid")
	id := identity{model: "device-mapper"}
	if name != "" {
		id.others, id.ids = []string{"mapper/" + name}, []string{"dm-name-" + name}
	}
	if uuid != "" {
		id.ids = append(id.ids, "dm-uuid-"+uuid)
	}
	return id
}
