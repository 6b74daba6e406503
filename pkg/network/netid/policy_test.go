package netid

import (
	"errors"
	"io/fs"
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPolicyName(t *testing.T) {
	const (
		driver = " driver->../../../bus/pci/drivers/e1000\n"
		card   = pciRoot + "devices/pci0000:00/0000:00:03.0 @pci" + driver + "devices/pci0000:00/0000:00:03.0/net/eth0 @net\n"
		usb    = pciRoot + "devices/pci0000:00/0000:00:14.0 @pci" + driver +
			"devices/pci0000:00/0000:00:14.0/usb1/1-2 @usb devtype=usb_device\n" +
			"devices/pci0000:00/0000:00:14.0/usb1/1-2/1-2:1.0 @usb devtype=usb_interface\n" +
			"devices/pci0000:00/0000:00:14.0/usb1/1-2/1-2:1.0/net/eth0 @net\n"
	)
	mac := net.HardwareAddr{0x52, 0x54, 0, 0x12, 0x34, 0x56}
	other := net.HardwareAddr{0x52, 0x54, 0, 0x12, 0x34, 0x57}
	rules := []Rule{{"other0", other}, {"boot0", mac}, {"late0", mac}}
	older, err := ParseScheme("v239")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, in string
		policy   Policy
		want     string
	}{
		{"none", card, Policy{}, "enp0s3"},
		{"net.ifnames=0", card, Policy{Disabled: true}, "eth0"},
		{"ifname=", card, Policy{Rules: rules}, "boot0"},
		{"ifname= of another card", card, Policy{Rules: rules[:1]}, "enp0s3"},
		{"ifname= before net.ifnames=0 and lan0", card, Policy{Rules: rules, Disabled: true, Lan0: true}, "boot0"},
		{"ifname= is not for what has no hardware", "devices/virtual/net/eth0 @net", Policy{Rules: rules, Lan0: true}, "eth0"},
		{"ifname= is not for the link that a driver makes beside Ethernet", strings.Replace(card, "@net", "@net type=32", 1),
			Policy{Rules: rules, Lan0: true}, "ibp0s3"},
		{"lan0", card, Policy{Lan0: true}, "lan0"},
		{"lan0 before net.ifnames=0", card, Policy{Lan0: true, Disabled: true}, "lan0"},
		{"lan0 is the first port of a function", strings.Replace(card, "@net", "@net dev_id=0x1", 1), Policy{Lan0: true}, "enp0s3"},
		{"a USB card", usb, Policy{}, enxMAC},
		{"a USB card by path", usb, Policy{USBByPath: true}, "enp0s20u2"},
		{"a scheme", strings.Replace(card, "@pci", "@pci acpi_index=0", 1), Policy{Scheme: older}, "enp0s3"},
		{"the default scheme", strings.Replace(card, "@pci", "@pci acpi_index=0", 1), Policy{}, "eno0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.policy.Name(tree(t, tt.in), "eth0", mac)
			if err != nil || got != tt.want {
				t.Errorf("Name(eth0) = %q, %v, want %q", got, err, tt.want)
			}
		})
	}
	if got, err := (Policy{Disabled: true}).Name(tree(t, card), "eth9", mac); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Name(eth9) = %q, %v, want fs.ErrNotExist", got, err)
	}
}

func TestParseScheme(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"default", "", "v252"},
		{"by its name", "v252", "v252"},
		{"older", "v238", "v238"},
		{"of an enterprise", "rhel-9.0", "rhel-9.0"},
		{"latest", "latest", "v260"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseScheme(tt.in)
			if err != nil || got.String() != tt.want {
				t.Errorf("ParseScheme(%q) = %v, %v, want %v", tt.in, got, err, tt.want)
			}
		})
	}
	if got, err := ParseScheme("v252"); err != nil || got != (Scheme{}) {
		t.Errorf("ParseScheme(v252) = %#v, %v, want the zero Scheme", got, err)
	}
	for _, in := range []string{"v242", "252", "v252 v253", "v"} {
		if got, err := ParseScheme(in); err == nil || !strings.Contains(err.Error(), "rhel-8.10") {
			t.Errorf("ParseScheme(%q) = %v, %v, want an error that lists the schemes", in, got, err)
		}
	}
}

// The rows of the table have no name twice, and what was taken back or went beside the main line is as systemd has it.
func TestSchemes(t *testing.T) {
	var names []string
	seen := map[string]bool{}
	for _, row := range schemes() {
		for _, name := range strings.Fields(row.names) {
			if seen[name] {
				t.Errorf("scheme %s is there twice", name)
			}
			seen[name] = true
			names = append(names, name)
		}
	}
	with := func(f feature) []string {
		var has []string
		for _, name := range names {
			if (Scheme{name}).has(f) {
				has = append(has, name)
			}
		}
		return has
	}
	want := []string{"v251", "v252", "v253", "v254", "rhel-9.0", "rhel-9.1", "rhel-9.2", "rhel-9.3", "rhel-9.4"}
	if diff := cmp.Diff(want, with(bridgeMultifunctionSlot)); diff != "" {
		t.Errorf("schemes with bridgeMultifunctionSlot (-want +got):\n%s", diff)
	}
	want = []string{"v257", "v258", "v259", "v260", "rhel-10.0", "rhel-10.1"}
	if diff := cmp.Diff(want, with(firmwareSun)); diff != "" {
		t.Errorf("schemes with firmwareSun (-want +got):\n%s", diff)
	}
}
