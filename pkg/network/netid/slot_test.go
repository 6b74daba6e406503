package netid

import "testing"

func TestSlot(t *testing.T) {
	const card = "devices/pci0000:00/0000:00:1c.0/0000:05:00.0 @pci\n"
	const link = "devices/pci0000:00/0000:00:1c.0/0000:05:00.0/net/eth0 @net\n"
	const several = "devices/pci0000:00/0000:00:1c.0/0000:05:00.0 @pci functions=many\n"
	for _, tt := range []struct {
		name, scheme, in, want string
	}{
		{"no slots", "", port + card + link, ""},
		{"the card's own", "", port + card + link + "bus/pci/slots/3/ address=0000:05:00", "ens3"},
		{"the card's own, several functions", "", port + several + link + "bus/pci/slots/3/ address=0000:05:00", "ens3f0"},
		{"leading zeros are octal to udev", "", port + card + link + "bus/pci/slots/010/ address=0000:05:00", "ens8"},
		{"a name that is no number", "", port + card + link + "bus/pci/slots/3-1/ address=0000:05:00", ""},
		{"the number 0", "", port + card + link + "bus/pci/slots/0/ address=0000:05:00", ""},
		{"another card's", "", port + card + link + "bus/pci/slots/3/ address=0000:06:00", ""},
		{"another domain's", "", port + card + link + "bus/pci/slots/3/ address=0001:05:00", ""},
		{"a bridge's", "", port + card + link + "bus/pci/slots/3/ address=0000:00:1c", ""},
		{"a bridge's, before v247", "v245", port + card + link + "bus/pci/slots/3/ address=0000:00:1c", "ens3"},
		{"a bridge's, several functions", "", port + several + link + "bus/pci/slots/3/ address=0000:00:1c", "ens3f0"},
		{"a bridge's, several functions, before v251", "v250", port + several + link + "bus/pci/slots/3/ address=0000:00:1c", ""},
		{"a bridge's, several functions, since v255", "v255", port + several + link + "bus/pci/slots/3/ address=0000:00:1c", ""},
		{"the card's own, behind a bridge that has one", "", port + card + link +
			"bus/pci/slots/2/ address=0000:00:1c\n bus/pci/slots/9/ address=0000:05:00", "ens9"},
		{"of a device above that is no bridge", "", `
devices/pci0000:00
devices/pci0000:00/0000:00:1c.0 @pci modalias=pci:v00008086d00001234sv00sd00bc06sc00i00
` + card + link + "bus/pci/slots/3/ address=0000:00:1c", "ens3"},
		{"another domain is named", "", `
devices/pci0002:00
devices/pci0002:00/0002:00:00.0 @pci
devices/pci0002:00/0002:00:00.0/net/eth0 @net
bus/pci/slots/3/ address=0002:00:00`, "enP2s3"},
		{"the function's id on IBM Z, without the domain", "", `
devices/pci0002:00
devices/pci0002:00/0002:00:00.0 @pci function_id=0x0000010c
devices/pci0002:00/0002:00:00.0/net/eth0 @net
bus/pci/slots/0000010c/ address=0002:00:00`, "ens268"},
		{"the function's id before v249", "v247", `
devices/pci0002:00
devices/pci0002:00/0002:00:00.0 @pci function_id=0x00000010
devices/pci0002:00/0002:00:00.0/net/eth0 @net
bus/pci/slots/00000010/ address=0002:00:00`, "enP2s8"},
		{"a function's id that has no slot", "", `
devices/pci0002:00
devices/pci0002:00/0002:00:00.0 @pci function_id=0x10c
devices/pci0002:00/0002:00:00.0/net/eth0 @net
bus/pci/slots/3/ address=0002:00:00`, ""},
		{"firmware's number", "v257", port + card + link + "devices/pci0000:00/0000:00:1c.0/0000:05:00.0/firmware_node/ sun=4", "ens4"},
		{"firmware's number before v257", "", port + card + link + "devices/pci0000:00/0000:00:1c.0/0000:05:00.0/firmware_node/ sun=4", ""},
		{"firmware's number 0, and a slot", "v257", port + card + link +
			"devices/pci0000:00/0000:00:1c.0/0000:05:00.0/firmware_node/ sun=0\n bus/pci/slots/3/ address=0000:05:00", "ens3"},
		{"firmware's number for a bridge", "v257", port + card + link + "devices/pci0000:00/0000:00:1c.0/firmware_node/ sun=4", ""},
		{"firmware's number for a bridge, several functions", "v257", port + several + link +
			"devices/pci0000:00/0000:00:1c.0/firmware_node/ sun=4", "ens4f0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			scheme, err := ParseScheme(tt.scheme)
			if err != nil {
				t.Fatal(err)
			}
			got, err := For(tree(t, tt.in), "eth0", scheme)
			if err != nil || got.Slot != tt.want {
				t.Errorf("For(eth0).Slot = %q, %v, want %q", got.Slot, err, tt.want)
			}
		})
	}
}
