// Package guest is what the tests' own programs that are process 1 of a machine have in common.
package guest

import (
	"io/fs"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/kernel/module"
)

// LoadModules loads every module of the initramfs.
func LoadModules() error {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return err
	}
	loader, err := module.Open("/", unix.ByteSliceToString(name.Release[:]), module.System{}, module.Options{})
	if err != nil {
		return err
	}
	return filepath.WalkDir("/lib/modules", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.Contains(path, ".ko") {
			return err
		}
		_, err = loader.Load(module.Name(path))
		return err
	})
}
