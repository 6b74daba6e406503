// Package report is what process 1 of the guests in the tests of names says: what udev calls each link or disk, and what we do. It
// is one line of JSON on the console.
package report

import (
	"encoding/json"
	"fmt"
	"regexp"

	"github.com/liveboot/liveboot/pkg/device/disk/disktest"
)

// Words of the kernel command line for the guest: how many links it waits for, and the naming schemes to compare, separated by
// commas. Debian's udev knows those up to its own, v252. Or how many block devices it waits for.
const (
	Count     = "udevguest.links="
	Schemes   = "udevguest.schemes="
	DiskCount = "udevguest.disks="
)

// begin and end are around the JSON.
const (
	begin = "UDEVGUEST-BEGIN "
	end   = " UDEVGUEST-END"
)

// A Link is a network card of the guest.
type Link struct {
	// Kernel is the name that it had at first, Address its MAC, Driver that of the card.
	Kernel, Address, Driver string
	// Udev is what `udevadm test-builtin net_id` prints, by scheme; Ours is what package netid finds.
	Udev, Ours map[string]Names
	// Renamed is the name that udev gave to it in the end; Chosen is what package netid chooses.
	Renamed, Chosen string
}

// Names are the values of ID_NET_NAME_*.
type Names struct{ Onboard, Slot, Path, MAC string }

// Disks are the disks and partitions of the guest, and what package disk asked it for.
type Disks struct {
	Disks  []Disk
	Record *disktest.Machine
}

// A Disk is a disk or a partition. About is what package disk tells people about it. Udev and Ours are its names below /dev; Asked are
// ours with a kernel that keeps nothing of what disks say of themselves.
type Disk struct {
	Name, About       string
	Udev, Ours, Asked []string
}

// Format returns the line for links.
func Format(links []Link) (string, error) { return format(links) }

// FormatDisks returns the line for disks.
func FormatDisks(d Disks) (string, error) { return format(d) }

func format(v any) (string, error) {
	data, err := json.Marshal(v)
	return begin + string(data) + end, err
}

// Line is the line of the console; its first group is the JSON.
func Line() *regexp.Regexp {
	return regexp.MustCompile(regexp.QuoteMeta(begin) + `([\[{].*[\]}])` + regexp.QuoteMeta(end))
}

// ParseDisks reads the JSON for disks.
func ParseDisks(text string) (Disks, error) {
	var d Disks
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		return d, fmt.Errorf("read the guest's report: %w", err)
	}
	return d, nil
}

// Parse reads the JSON for links.
func Parse(text string) ([]Link, error) {
	var links []Link
	if err := json.Unmarshal([]byte(text), &links); err != nil {
		return nil, fmt.Errorf("read the guest's report: %w", err)
	}
	return links, nil
}
