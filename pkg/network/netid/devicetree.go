package netid

import (
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// devicetreeBase is the device tree that firmware gave, Documentation/ABI/testing/sysfs-firmware-ofw.
const devicetreeBase = "firmware/devicetree/base"

// devicetree numbers a card that the device tree has an alias for: the property ethernet1 of /aliases is the path of its node.
func (n *namer) devicetree() {
	if n.prefix(n.scheme) != "en" || !n.scheme.has(devicetreeAliases) {
		return
	}
	node, ok := n.node()
	if !ok {
		return
	}
	full, ok := strings.CutPrefix(node.path, devicetreeBase)
	if !ok || full == "" {
		return
	}
	aliases := device{n.sys, path.Join(devicetreeBase, "aliases")}
	entries, err := fs.ReadDir(n.sys, aliases.path)
	if err != nil {
		return
	}
	for _, e := range entries {
		number, ok := strings.CutPrefix(e.Name(), "ethernet")
		if target, _ := aliases.attribute(e.Name()); !ok || path.Clean(target) != full {
			continue
		}
		n.Onboard = aliases.indexName(number)
		return
	}
}

// node is the link's own in the device tree, or that of its parent.
func (n *namer) node() (device, bool) {
	if n.scheme.has(devicetreePorts) {
		if node, ok := n.linked("of_node"); ok {
			return node, true
		}
	}
	parent, ok := n.parent()
	if !ok {
		return device{}, false
	}
	return parent.linked("of_node")
}

// indexName is the name for an alias with this number, where d are the aliases. "ethernet" without one is the number 0, unless
// there is "ethernet0" as well: then neither gets a name.
func (d device) indexName(number string) string {
	other := "ethernet"
	if number == "" {
		number, other = "0", "ethernet0"
	}
	n, err := strconv.ParseUint(number, 0, 32)
	if _, both := d.attribute(other); err != nil || n == 0 && both {
		return ""
	}
	return "d" + strconv.FormatUint(n, 10)
}
