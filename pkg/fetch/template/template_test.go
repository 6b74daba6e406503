package template

import (
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func facts() Facts {
	return Facts{
		MAC: "52:54:00:AB:cd:ef", IP: netip.MustParseAddr("10.0.2.15"), Hostname: "node-7", UUID: "4c4c4544-0042-3510-8051-b4c04f333732",
		Serial: "A/7 x", Arch: "x86_64", Kernel: "6.1.0-56-amd64",
	}
}

func TestExpand(t *testing.T) {
	for _, tt := range []struct {
		name, in, want string
	}{
		{"nothing", "http://server/x.iso?a=$b&c=%24", "http://server/x.iso?a=$b&c=%24"},
		{"all", "http://s/${mac}/${ip}/${hostname}/${uuid}/${arch}/${kernel}.iso", "http://s/52-54-00-ab-cd-ef/10.0.2.15/node-7/4c4c4544-0042-3510-8051-b4c04f333732/x86_64/6.1.0-56-amd64.iso"},
		{"escaped", "http://s/${serial}.iso", "http://s/A%2F7%20x.iso"},
		{"twice and in the query", "http://s/?m=${mac}&n=${mac}", "http://s/?m=52-54-00-ab-cd-ef&n=52-54-00-ab-cd-ef"},
		{"in the name of the server", "http://${hostname}.boot.example/x.iso", "http://node-7.boot.example/x.iso"},
		{"dollars", "$$${arch}$", "$$x86_64$"},
	} {
		got, err := Expand(tt.in, facts())
		if err != nil || got != tt.want {
			t.Errorf("%s: Expand(%q) = %q, %v, want %q", tt.name, tt.in, got, err, tt.want)
		}
		if err := Check(tt.in); err != nil {
			t.Errorf("%s: Check(%q) = %v", tt.name, tt.in, err)
		}
		if got, want := Uses(tt.in), strings.Contains(tt.in, "{"); got != want {
			t.Errorf("%s: Uses(%q) = %v, want %v", tt.name, tt.in, got, want)
		}
	}
}

func TestExpandErrors(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		facts    Facts
		want     []string
		always   bool // whatever the facts
	}{
		{"unknown", "http://s/${seriel}", facts(), []string{"${seriel} is not a name", "did you mean ${serial}?", "mac, ip, hostname, uuid, serial, arch, kernel"}, true},
		{"case", "http://s/${MAC}", facts(), []string{"${MAC}"}, true},
		{"empty", "http://s/${}", facts(), []string{"${} is not a name"}, true},
		{"not closed", "http://s/${mac", facts(), []string{"has no }"}, true},
		{"unset", "http://s/${serial}/${arch}/${ip}", Facts{Arch: "x86_64"}, []string{"${serial} is not known: the firmware", "${ip} is not known: no interface"}, false},
		{"a folder", "http://s/${serial}/x.iso", Facts{Serial: ".."}, []string{`${serial} is ".."`}, false},
	} {
		got, err := Expand(tt.in, tt.facts)
		if err == nil {
			t.Errorf("%s: Expand(%q) = %q, want an error", tt.name, tt.in, got)
			continue
		}
		for _, want := range tt.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: Expand(%q): %v, want %q in it", tt.name, tt.in, err, want)
			}
		}
		if err := Check(tt.in); (err != nil) != tt.always {
			t.Errorf("%s: Check(%q) = %v, want an error: %v", tt.name, tt.in, err, tt.always)
		}
	}
}

// TestNames: every name is filled in, and is documented.
func TestNames(t *testing.T) {
	for _, n := range Names() {
		if n.Doc == "" || n.Source == "" {
			t.Errorf("%s has no documentation", n.Name)
		}
		if got, err := Expand("${"+n.Name+"}", facts()); err != nil || got == "" {
			t.Errorf("Expand(${%s}) = %q, %v", n.Name, got, err)
		}
		if _, err := Expand("${"+n.Name+"}", Facts{}); err == nil {
			t.Errorf("Expand(${%s}) of no facts: no error", n.Name)
		}
	}
}

// FuzzExpand: whatever a fact is, the URL has the parts that were written.
func FuzzExpand(f *testing.F) {
	for _, s := range []string{"A/7 x", "../..", "a?b#c", "%2e%2e", "x@evil/", "é\x00", "$", "${mac}", "."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, serial string) {
		got, err := Expand("http://server/a/${serial}/b?c=${serial}", Facts{Serial: serial})
		if err != nil {
			return
		}
		u, err := url.Parse(got)
		if err != nil {
			t.Fatalf("Expand(%q) = %q, which is no URL: %v", serial, got, err)
		}
		if u.Host != "server" || u.User != nil || u.Fragment != "" || u.Path != "/a/"+serial+"/b" || u.Query().Get("c") != serial || strings.Count(u.EscapedPath(), "/") != 3 {
			t.Errorf("Expand(%q) = %q, which is another place", serial, got)
		}
	})
}

func TestReadFirmware(t *testing.T) {
	for _, tt := range []struct {
		name string
		sys  fstest.MapFS
		want Facts
	}{
		{"PC", fstest.MapFS{dmiUUID: {Data: []byte("4C4C4544-0042-3510-8051-B4C04F333732\n")}, dmiSerial: {Data: []byte(" 7B5Q372 \n")}}, Facts{UUID: "4c4c4544-0042-3510-8051-b4c04f333732", Serial: "7B5Q372"}},
		{"device tree", fstest.MapFS{deviceTreeSerial: {Data: []byte("10000000d95fcbf2\x00")}}, Facts{Serial: "10000000d95fcbf2"}},
		{"SMBIOS before device tree", fstest.MapFS{dmiSerial: {Data: []byte("S1\n")}, deviceTreeSerial: {Data: []byte("S2\x00")}}, Facts{Serial: "S1"}},
		{"fillers", fstest.MapFS{dmiUUID: {Data: []byte("00000000-0000-0000-0000-000000000000\n")}, dmiSerial: {Data: []byte("To be filled by O.E.M.\n")}}, Facts{}},
		{"ones", fstest.MapFS{dmiUUID: {Data: []byte("ffffffff-FFFF-ffff-ffff-ffffffffffff\n")}, dmiSerial: {Data: []byte("0\n")}}, Facts{}},
		{"nothing", fstest.MapFS{}, Facts{}},
	} {
		var got Facts
		if err := ReadFirmware(tt.sys, &got); err != nil {
			t.Errorf("%s: ReadFirmware: %v", tt.name, err)
		}
		if diff := cmp.Diff(tt.want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			t.Errorf("%s: ReadFirmware (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestReadFirmwareError(t *testing.T) {
	var got Facts
	// A folder in the place of the file cannot be read.
	if err := ReadFirmware(fstest.MapFS{dmiUUID + "/x": {}}, &got); err == nil {
		t.Error("ReadFirmware of a folder: no error")
	}
}
