package handoff

import (
	"errors"
	"os"
	"path/filepath"
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
