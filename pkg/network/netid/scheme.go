package netid

import (
	"fmt"
	"slices"
	"strings"
)

// A Scheme is a version of the rules by which names are made. The zero Scheme is v252, that of Debian 12.
type Scheme struct{ name string }

// A feature is one difference between schemes.
type feature uint32

const (
	// sriovV names a virtual function after its physical one, with v and its number.
	sriovV feature = 1 << iota
	// ari counts more than eight functions of a card by PCI Express's alternative routing ID.
	ari
	// infiniBand has names for InfiniBand.
	infiniBand
	// zeroIndex takes the onboard index 0 for one.
	zeroIndex
	// bridgeNoSlot ignores a slot number that belongs to a bridge: all cards behind it would get the same name.
	bridgeNoSlot
	// functionID finds the slots of the s390 by the function's id.
	functionID
	// index16 takes onboard indexes up to 65535, otherwise up to 16383.
	index16
	// xenVIF has names for Xen's virtual interfaces.
	xenVIF
	// bridgeMultifunctionSlot is content with a bridge's slot number for a card with several functions, which have numbers.
	bridgeMultifunctionSlot
	// devicetreeAliases takes the numbers of the device tree's aliases ethernetN.
	devicetreeAliases
	// usbHost has names for USB cards behind a controller that is not on PCI.
	usbHost
	// sriovR names the representor of a virtual function with r and its number.
	sriovR
	// firmwareSun takes the slot number that firmware gives to the device (_SUN of ACPI).
	firmwareSun
	// devicetreePorts looks at the device tree's node of the link itself, before that of its parent.
	devicetreePorts
)

// The features of the versions of systemd that changed any.
const (
	v238 feature = 0
	v239         = v238 | sriovV | ari
	v240         = v239 | infiniBand | zeroIndex
	v247         = v240 | bridgeNoSlot
	v249         = v247 | functionID | index16
	v250         = v249 | xenVIF
	v251         = v250 | bridgeMultifunctionSlot
	v252         = v251 | devicetreeAliases
	v253         = v252 | usbHost
	v254         = v253 | sriovR
	v255         = v254 &^ bridgeMultifunctionSlot
	v257         = v255 | firmwareSun | devicetreePorts

	rhel84 = v239 | bridgeNoSlot
	rhel87 = rhel84 | functionID | index16
	rhel90 = v250 | bridgeMultifunctionSlot
	rhel93 = rhel90 | sriovR
	rhel95 = rhel93 &^ bridgeMultifunctionSlot
)

const (
	defaultScheme = "v252"
	latestScheme  = "v260"
)

// A schemeRow has the names of the schemes that name Ethernet links alike.
type schemeRow struct {
	names    string
	features feature
}

func schemes() []schemeRow {
	return []schemeRow{
		{"v238", v238},
		{"v239", v239},
		{"v240 v241 v243 v245", v240},
		{"v247", v247},
		{"v249", v249},
		{"v250", v250},
		{"v251", v251},
		{"v252", v252},
		{"v253", v253},
		{"v254", v254},
		{"v255", v255},
		{"v257 v258 v259 v260", v257},
		{"rhel-8.0 rhel-8.1 rhel-8.2 rhel-8.3", v239},
		{"rhel-8.4 rhel-8.5 rhel-8.6", rhel84},
		{"rhel-8.7 rhel-8.8 rhel-8.9 rhel-8.10", rhel87},
		{"rhel-9.0 rhel-9.1 rhel-9.2", rhel90},
		{"rhel-9.3 rhel-9.4", rhel93},
		{"rhel-9.5 rhel-9.6 rhel-9.7", rhel95},
		{"rhel-10.0-beta", v255},
		{"rhel-10.0 rhel-10.1", v257},
	}
}

// ParseScheme reads a scheme as net.naming_scheme= has it: v252, rhel-9.0, or latest, the newest one known. Empty is the
// default. udev warns of a scheme that it does not know, and takes its default.
func ParseScheme(name string) (Scheme, error) {
	switch name {
	case "":
		return Scheme{}, nil
	case "latest":
		name = latestScheme
	}
	var known []string
	for _, row := range schemes() {
		known = append(known, strings.Fields(row.names)...)
	}
	if !slices.Contains(known, name) {
		return Scheme{}, fmt.Errorf("naming scheme %q: not known; use one of %s, latest", name, strings.Join(known, ", "))
	}
	if name == defaultScheme {
		name = "" // so that equal schemes compare equal
	}
	return Scheme{name}, nil
}

// String returns the scheme as net.naming_scheme= has it.
func (s Scheme) String() string {
	if s.name == "" {
		return defaultScheme
	}
	return s.name
}

func (s Scheme) has(f feature) bool {
	for _, row := range schemes() {
		if slices.Contains(strings.Fields(row.names), s.String()) {
			return row.features&f != 0
		}
	}
	return false
}
