package module_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/liveboot/liveboot/pkg/kernel/module"
)

func TestInstallProgram(t *testing.T) {
	for _, c := range []struct {
		name    string
		setting string // of the kernel; "-" where there is none
		image   []string
		link    string // the path of what is made; empty for nothing
	}{
		{"as usual", "/sbin/modprobe\n", []string{"bbin/modprobe"}, "sbin/modprobe"},
		{"a kernel with another place", "/usr/sbin/modprobe\n", []string{"bbin/modprobe"}, "usr/sbin/modprobe"},
		{"something else is there", "/sbin/modprobe\n", []string{"bbin/modprobe", "sbin/modprobe"}, ""},
		{"the kernel is to call none", "\n", []string{"bbin/modprobe"}, ""},
		{"a kernel without modules", "-", []string{"bbin/modprobe"}, ""},
		{"an image without modprobe", "/sbin/modprobe\n", nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := t.TempDir()
			write := func(name, content string) {
				t.Helper()
				path := filepath.Join(root, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if c.setting != "-" {
				write("proc/sys/kernel/modprobe", c.setting)
			}
			for _, name := range c.image {
				write(name, "")
			}
			if err := module.InstallProgram(root); err != nil {
				t.Fatalf("InstallProgram: %v", err)
			}
			if got := module.InstalledProgram(root); got != c.link {
				t.Errorf("InstalledProgram = %q, want %q", got, c.link)
			}
			var links []string
			for _, name := range []string{"sbin/modprobe", "usr/sbin/modprobe"} {
				if to, err := os.Readlink(filepath.Join(root, name)); err == nil {
					links = append(links, name)
					if to != "/bbin/modprobe" {
						t.Errorf("%s points to %q, want /bbin/modprobe", name, to)
					}
				}
			}
			if got := len(links); got > 1 || (got == 1) != (c.link != "") || (got == 1 && links[0] != c.link) {
				t.Errorf("InstallProgram made %q, want %q", links, c.link)
			}
		})
	}
}
