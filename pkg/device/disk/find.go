package disk

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/liveboot/liveboot/pkg/probe"
)

// A matcher says whether a device has the name that was asked for.
type matcher func(Device) bool

// Find returns the device that name means:
//
//	/dev/sda  sda                       the kernel's name
//	/dev/disk/by-…/…                    one of Links; by-uuid and by-partuuid in any case of letters
//	LABEL=  UUID=  PARTLABEL=  PARTUUID=  ID=
//	CDLABEL=                            the label of an ISO 9660 or UDF file system
//
// A value may stand in quotes, and be written as it is or as udev has it in links (\x20 for a space).
//
// Where a disk and a partition on it have the same name, as on a stick with a live ISO, it means the partition, as for udev. Two disks that
// have the same World Wide Name and otherwise the same names are two ways to one, and either will do. Of anything else that several
// devices are called, udev would take one at random; here it is an *AmbiguousError, since the device may be about to be
// overwritten. If there is none it is a *NotFoundError.
func Find(devices []Device, name string) (Device, error) {
	match, err := parse(name)
	if err != nil {
		return Device{}, err
	}
	return pick(devices, name, match)
}

func pick(devices []Device, name string, match matcher) (Device, error) {
	var found []Device
	inside := make(map[string]bool) // disks with a partition that has the name
	for _, d := range devices {
		if match(d) {
			found = append(found, d)
			inside[d.Disk] = true
		}
	}
	found = slices.DeleteFunc(found, func(d Device) bool { return inside[d.Name] })
	switch {
	case len(found) == 0:
		return Device{}, &NotFoundError{Name: name, Devices: devices}
	case !slices.ContainsFunc(found, func(d Device) bool { return !sameDevice(d, found[0]) }):
		return found[0], nil
	}
	return Device{}, &AmbiguousError{name, found}
}

// sameDevice says whether both are the same, or two ways to the same.
func sameDevice(a, b Device) bool {
	if a.Name == b.Name {
		return true
	}
	ids, others := byID(a), byID(b)
	worldWide := slices.ContainsFunc(ids, func(id string) bool { return strings.HasPrefix(id, "disk/by-id/wwn-") })
	return worldWide && a.Size == b.Size && a.Start == b.Start && slices.Equal(ids, others)
}

func byID(d Device) []string {
	return slices.DeleteFunc(slices.Clone(d.Links), func(l string) bool { return !strings.HasPrefix(l, "disk/by-id/") })
}

// parse says what a name asks for.
func parse(name string) (matcher, error) {
	name = unquote(strings.TrimSpace(name))
	if key, value, ok := strings.Cut(name, "="); ok && !strings.Contains(key, "/") {
		value = unquote(value)
		if value == "" {
			return nil, fmt.Errorf("find device %q: nothing stands behind the =", name)
		}
		return parseTag(name, key, value)
	}
	file := strings.TrimPrefix(path.Clean(name), "/dev/")
	switch {
	case name == "" || file == "." || strings.HasPrefix(file, "/"):
		return nil, fmt.Errorf("find device %q: this is no name of one; write for example /dev/sda, /dev/disk/by-id/… or LABEL=…", name)
	case strings.HasPrefix(file, "disk/by-"):
		by, value, ok := strings.Cut(strings.TrimPrefix(file, "disk/"), "/")
		if !ok {
			return nil, fmt.Errorf("find device %q: a name is missing behind %s/", name, by)
		}
		return linked(by, value), nil
	}
	return func(d Device) bool {
		return d.Name == file || d.Path == "/dev/"+file || slices.Contains(d.Links, file)
	}, nil
}

// tags are the folders below /dev/disk that KEY=value means.
func tags() map[string]string {
	return map[string]string{
		"LABEL": "by-label", "UUID": "by-uuid", "PARTLABEL": "by-partlabel", "PARTUUID": "by-partuuid", "ID": "by-id",
	}
}

func parseTag(name, key, value string) (matcher, error) {
	if by, ok := tags()[key]; ok {
		return linked(by, value), nil
	}
	if key == "CDLABEL" {
		return func(d Device) bool {
			return slices.ContainsFunc(d.Contents, func(c probe.Content) bool {
				return isDisc(c.Name) && (c.Label == value || c.Label == decode(value))
			})
		}, nil
	}
	return nil, fmt.Errorf("find device %q: %s= is unknown; there are LABEL=, UUID=, PARTLABEL=, PARTUUID=, ID= and CDLABEL=", name, key)
}

// isDisc says whether a file system is one that discs have.
func isDisc(name string) bool { return name == "iso9660" || name == "udf" }

// linked matches devices with a link in that folder below /dev/disk. UUIDs are written in capitals by some, and by udev in whichever case
// is usual for the file system.
func linked(by, value string) matcher {
	folder := "disk/" + by + "/"
	equal := func(a, b string) bool { return a == b }
	if strings.HasSuffix(by, "uuid") {
		equal = strings.EqualFold
	}
	return func(d Device) bool {
		return slices.ContainsFunc(d.Links, func(l string) bool {
			name, ok := strings.CutPrefix(l, folder)
			name = decode(name)
			return ok && (equal(name, decode(value)) || equal(name, value))
		})
	}
}

// unquote drops the quotes around s.
func unquote(s string) string {
	if n := len(s); n >= 2 && s[0] == s[n-1] && (s[0] == '"' || s[0] == '\'') {
		return s[1 : n-1]
	}
	return s
}

// A NotFoundError says that no device has the name.
type NotFoundError struct {
	Name string
	// Devices are those that there are. Empty are the paths of drives without a medium, Silent those of disks that have not answered yet.
	Devices       []Device
	Empty, Silent []string
}

// Error lists the disks that there are, and the labels if one was asked for.
func (e *NotFoundError) Error() string {
	var there []string
	for _, d := range e.Devices {
		if d.Disk == "" {
			there = append(there, d.String())
		}
	}
	for _, path := range e.Empty {
		there = append(there, path+" (no medium in it)")
	}
	for _, path := range e.Silent {
		there = append(there, path+" (does not answer)")
	}
	if len(there) == 0 {
		return fmt.Sprintf("find device %s: there is no disk at all", e.Name)
	}
	return fmt.Sprintf("find device %s: it is not there; there are %s%s", e.Name, strings.Join(there, ", "), e.labels())
}

// labels lists the labels of partitions, which the list of disks does not have.
func (e *NotFoundError) labels() string {
	var all []string
	for _, d := range e.Devices {
		for _, c := range d.Contents {
			if d.Disk != "" && c.Label != "" {
				all = append(all, fmt.Sprintf("%q on %s", c.Label, d.Path))
			}
		}
	}
	if len(all) == 0 || !strings.Contains(strings.ToUpper(e.Name), "LABEL") {
		return ""
	}
	return "; partitions have the labels " + strings.Join(all, ", ")
}

// An AmbiguousError says that several devices have the name.
type AmbiguousError struct {
	Name    string
	Devices []Device
}

// Error names them.
func (e *AmbiguousError) Error() string {
	var all []string
	for _, d := range e.Devices {
		all = append(all, d.String())
	}
	return fmt.Sprintf("find device %s: it could be any of %s; use a name that only one has, such as one in /dev/disk/by-id",
		e.Name, strings.Join(all, ", "))
}
