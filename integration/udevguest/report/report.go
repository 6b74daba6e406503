// Package report is what process 1 of the guests in the test of link names says: what udev calls each link, and what we do. It
// is one line of JSON on the console.
package report

import (
	"encoding/json"
	"fmt"
	"regexp"
)

// Words of the kernel command line for the guest: how many links it waits for, and the naming schemes to compare, separated by
// commas. Debian's udev knows those up to its own, v252.
const (
	Count   = "udevguest.links="
	Schemes = "udevguest.schemes="
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

// Format returns the line.
func Format(links []Link) (string, error) {
	data, err := json.Marshal(links)
	return begin + string(data) + end, err
}

// Line is the line of the console; its first group is the JSON.
func Line() *regexp.Regexp {
	return regexp.MustCompile(regexp.QuoteMeta(begin) + `(\[.*\])` + regexp.QuoteMeta(end))
}

// Parse reads the JSON.
func Parse(text string) ([]Link, error) {
	var links []Link
	if err := json.Unmarshal([]byte(text), &links); err != nil {
		return nil, fmt.Errorf("read the guest's report: %w", err)
	}
	return links, nil
}
