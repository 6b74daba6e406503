package router

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// settings makes a tree as that of the kernel below /proc/sys, and returns its root.
func settings(t *testing.T, values map[string]string) string {
	t.Helper()
	root := t.TempDir()
	folder := filepath.Join(root, "net/ipv6/conf/eth0.5")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, value := range values {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(value+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestPrepare(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   map[string]string
		want map[string]string // those that were written
	}{
		{
			"the kernel's defaults",
			map[string]string{
				"accept_ra": "1", "accept_ra_defrtr": "1", "accept_ra_pinfo": "1", "autoconf": "1", "disable_ipv6": "0",
				"router_solicitation_delay": "1", "forwarding": "0",
			},
			map[string]string{"router_solicitation_delay": "0"},
		},
		{
			"all off",
			map[string]string{
				"accept_ra": "0", "accept_ra_defrtr": "0", "accept_ra_pinfo": "0", "autoconf": "0", "disable_ipv6": "1",
				"router_solicitation_delay": "3",
			},
			map[string]string{
				"accept_ra": "1", "accept_ra_defrtr": "1", "accept_ra_pinfo": "1", "autoconf": "1", "disable_ipv6": "0",
				"router_solicitation_delay": "0",
			},
		},
		{"a machine that forwards", map[string]string{"accept_ra": "1", "forwarding": "1"}, map[string]string{"accept_ra": "2"}},
		{"somebody else's choice", map[string]string{"accept_ra": "2", "forwarding": "0"}, map[string]string{}},
		{"a kernel that has none of them", nil, map[string]string{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := settings(t, tt.in)
			if err := Prepare(root, "eth0.5"); err != nil {
				t.Fatal(err)
			}
			written := map[string]string{}
			files, err := os.ReadDir(filepath.Join(root, "net/ipv6/conf/eth0.5"))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				value, err := os.ReadFile(filepath.Join(root, "net/ipv6/conf/eth0.5", f.Name()))
				if err != nil {
					t.Fatal(err)
				}
				if !strings.HasSuffix(string(value), "\n") { // as only the kernel, and this test, end them
					written[f.Name()] = string(value)
				}
			}
			if diff := cmp.Diff(tt.want, written); diff != "" {
				t.Errorf("Prepare wrote (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPrepareWithoutIPv6(t *testing.T) {
	if err := Prepare(t.TempDir(), "eth0"); err == nil || !strings.Contains(err.Error(), "ipv6.disable=1") {
		t.Errorf("Prepare of a kernel without IPv6: %v, want that it has none", err)
	}
	if err := Prepare(settings(t, nil), "eth1"); err == nil || !strings.Contains(err.Error(), "eth1") {
		t.Errorf("Prepare of a link without IPv6: %v, want that it has none", err)
	}
}
