package handoff

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
)

// ModuleVersions returns the kernels whose modules the live root has, by their versions as uname -r prints them: the folders of /lib/modules
// that hold the index modules.dep. A root without modules is no error.
func ModuleVersions(root string) ([]string, error) {
	const folder = "/lib/modules"
	f, err := openIn(root, folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for the live system's modules: %w", err)
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("look for the live system's modules: %w", err)
	}
	names = slices.DeleteFunc(names, func(version string) bool {
		var index *os.File
		if index, err = openIn(root, path.Join(folder, version, "modules.dep")); err == nil {
			index.Close()
		}
		return err != nil
	})
	slices.Sort(names)
	return names, nil
}
