package handoff

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestModuleVersions(t *testing.T) {
	for _, tt := range []struct {
		name  string
		files []string
		want  []string
	}{
		{"no modules", nil, nil},
		{"two kernels, merged /usr", []string{"usr/lib/modules/6.1.0-2/modules.dep", "usr/lib/modules/6.1.0-1/modules.dep"}, []string{"6.1.0-1", "6.1.0-2"}},
		{"a folder that was left over", []string{"usr/lib/modules/6.1.0-1/modules.dep", "usr/lib/modules/5.10.0/updates/x.ko"}, []string{"6.1.0-1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			err := errors.Join(os.MkdirAll(filepath.Join(root, "usr/lib"), 0o755), os.Symlink("/usr/lib", filepath.Join(root, "lib")))
			for _, name := range tt.files {
				path := filepath.Join(root, name)
				err = errors.Join(err, os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, 0o644))
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := ModuleVersions(root)
			if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
				t.Errorf("ModuleVersions: %v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestColdPlugs(t *testing.T) {
	const wanted = "usr/lib/systemd/system/sysinit.target.wants/" + trigger
	for _, tt := range []struct {
		name, init string
		line       string
		links      map[string]string
		files      []string
		want       bool
	}{
		{"systemd", "/sbin/init", "ip=dhcp quiet", map[string]string{"usr/sbin/init": "/lib/systemd/systemd"}, []string{"usr/lib/systemd/systemd", wanted}, true},
		{"systemd by its name", "/usr/lib/systemd/systemd", "", nil, []string{"usr/lib/systemd/systemd", wanted}, true},
		{"systemd without udev", "/sbin/init", "", map[string]string{"usr/sbin/init": "../lib/systemd/systemd"}, []string{"usr/lib/systemd/systemd"}, false},
		{"another init beside it", "/sbin/init", "", nil, []string{"usr/sbin/init", "usr/lib/systemd/systemd", wanted}, false},
		{"none", "/sbin/init", "", nil, nil, false},
		{"emergency", "/usr/lib/systemd/systemd", "ip=dhcp emergency", nil, []string{"usr/lib/systemd/systemd", wanted}, false},
		{"another target", "/usr/lib/systemd/systemd", "systemd.unit=small.target", nil, []string{"usr/lib/systemd/systemd", wanted}, false},
		{"masked on the line", "/usr/lib/systemd/systemd", "systemd.mask=" + trigger, nil, []string{"usr/lib/systemd/systemd", wanted}, false},
		{"masked", "/usr/lib/systemd/systemd", "", map[string]string{"etc/systemd/system/" + trigger: "/dev/null"}, []string{"usr/lib/systemd/systemd", wanted}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			err := os.MkdirAll(filepath.Join(root, "usr/sbin"), 0o755)
			for _, folder := range []string{"lib", "sbin"} {
				err = errors.Join(err, os.Symlink("usr/"+folder, filepath.Join(root, folder)))
			}
			for name, to := range tt.links {
				path := filepath.Join(root, name)
				err = errors.Join(err, os.MkdirAll(filepath.Dir(path), 0o755), os.Symlink(to, path))
			}
			for _, name := range tt.files {
				path := filepath.Join(root, name)
				err = errors.Join(err, os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, 0o755))
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := ColdPlugs(root, tt.init, strings.Fields(tt.line)); got != tt.want {
				t.Errorf("ColdPlugs(%s) = %v, want %v", tt.init, got, tt.want)
			}
		})
	}
}

func TestHasModules(t *testing.T) {
	root := t.TempDir()
	folder := filepath.Join(root, "lib/modules/6.1.0")
	err := errors.Join(os.MkdirAll(folder, 0o755),
		os.WriteFile(filepath.Join(folder, "modules.dep"), []byte("kernel/scsi/sd_mod.ko.xz: kernel/scsi/scsi_mod.ko.xz\nkernel/scsi/scsi_mod.ko.xz:\nextra/ata-piix.ko:\n"), 0o644),
		os.WriteFile(filepath.Join(folder, "modules.builtin"), []byte("kernel/input/evdev.ko\n"), 0o644))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		version string
		names   []string
		want    bool
		wantErr error
	}{
		{"6.1.0", nil, true, nil},
		{"6.1.0", []string{"sd_mod", "scsi_mod", "ata_piix", "evdev"}, true, nil},
		{"6.1.0", []string{"sd_mod", "sr_mod"}, false, nil},
		{"6.1.0", []string{"mod", "sd"}, false, nil},
		{"6.12.0", nil, false, os.ErrNotExist},
	} {
		got, err := HasModules(root, tt.version, tt.names)
		if got != tt.want || !errors.Is(err, tt.wantErr) {
			t.Errorf("HasModules(%s, %q) = %v, %v, want %v, %v", tt.version, tt.names, got, err, tt.want, tt.wantErr)
		}
	}
}
