package netid

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func TestForErrors(t *testing.T) {
	sys := tree(t, pciRoot+`
devices/pci0000:00/0000:00:03.0 @pci
devices/pci0000:00/0000:00:03.0/net/eth0 @net type=many
class/net/loop foo->bar`)
	for _, tt := range []struct {
		name, in, want string
	}{
		{"a link that is not there", "eth7", "does not exist"},
		{"an attribute that is no number", "eth0", "type: no number in it"},
		{"a path", "../../etc", "no name of a link"},
		{"a folder where a link is expected", "loop", "invalid argument"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := For(sys, tt.in, Scheme{})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("For(%q) = %v, want an error with %q", tt.in, err, tt.want)
			}
		})
	}
	if _, err := For(sys, "eth7", Scheme{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("For(eth7) = %v, want fs.ErrNotExist, by which a link that left is told", err)
	}
}

func TestAll(t *testing.T) {
	c := Candidates{Kernel: "usb0", Path: "enp0s20u2", MAC: enxMAC, Slot: "ens2nbadport:1", USB: true}
	want := []string{enxMAC, "enp0s20u2", "usb0"}
	if diff := cmp.Diff(want, c.All()); diff != "" {
		t.Errorf("All() (-want +got):\n%s", diff)
	}
}

func TestValidName(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     bool
	}{
		{"usual", "enp3s0", true},
		{"15 characters", "enp131s0f3np012", true},
		{"16 characters", "enp131s0f3np0123", false},
		{"VLAN", "eth0.5", true},
		{"empty", "", false},
		{"all", "all", false},
		{"a number", "10", false},
		{"colon", "eth0:1", false},
		{"slash", "eth/0", false},
		{"per cent", "eth%d", false},
		{"space", "eth 0", false},
		{"not ASCII", "ethé", false},
		{"dots", "..", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := ValidName(tt.in); got != tt.want {
				t.Errorf("ValidName(%q) = %v, want %v", tt.in, got, tt.want)
			}
		})
	}
}

// FuzzFor: whatever firmware, a driver and a USB device say, there is no panic, and the name that is chosen is one.
func FuzzFor(f *testing.F) {
	f.Add("0000:00:03.0", "1-2.1:1.0", "p0", "3", "7", "pci:v0sv0sd0bc06sc04i00")
	f.Add("10000:e1:00.1", "1-2:", "pf0vf1", "0000010c", "16777215", "pci:s")
	f.Fuzz(func(t *testing.T, card, usb, portName, slot, index, modalias string) {
		for _, name := range []string{card, usb, slot} {
			if !fs.ValidPath(name) || name == "." || strings.ContainsAny(name, "/ \t\n\v\f\r\u0085\u00a0") {
				return // not the name of a file
			}
		}
		sys := tree(t, pciRoot+
			"devices/pci0000:00/"+card+" @pci function_id=0\n"+
			"devices/pci0000:00/"+card+"/"+usb+" @usb devtype=usb_interface\n"+
			"devices/pci0000:00/"+card+"/"+usb+"/net/eth0 @net\n"+
			"devices/pci0000:00/"+card+"/net/eth1 @net\n"+
			"bus/pci/slots/"+slot+"/ address="+card)
		for path, data := range map[string]string{
			"/phys_port_name": portName, "/net/eth1/phys_port_name": portName, "/acpi_index": index, "/modalias": modalias, "/function_id": slot,
		} {
			sys["devices/pci0000:00/"+card+path] = &fstest.MapFile{Data: []byte(data)}
		}
		for _, scheme := range []string{"v238", "v252", "latest"} {
			s, err := ParseScheme(scheme)
			if err != nil {
				t.Fatal(err)
			}
			for _, link := range []string{"eth0", "eth1"} {
				c, err := For(sys, link, s)
				if err != nil || !ValidName(c.Name()) {
					t.Errorf("For(%s).Name() = %q, %v, want a name", link, c.Name(), err)
				}
			}
		}
	})
}
