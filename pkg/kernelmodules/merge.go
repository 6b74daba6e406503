package kernelmodules

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/liveboot/liveboot/pkg/fstree"
	"github.com/liveboot/liveboot/pkg/kernel/module"
	"github.com/liveboot/liveboot/pkg/kernelmodules/depmod"
)

// A Place is a folder lib/modules/<version> somewhere.
type Place struct {
	Name string // for people
	FS   fs.FS
}

// Indexed returns a folder of modules as it is if it has an index, else with one that is made from the modules: a package has none, depmod(8)
// runs when it is installed.
func Indexed(p Place) (fs.FS, error) {
	_, err := fs.Stat(p.FS, "modules.dep")
	if errors.Is(err, fs.ErrNotExist) {
		return Merge([]Place{p})
	}
	if err != nil {
		return nil, fmt.Errorf("read modules from %s: %w", p.Name, err)
	}
	return p.FS, nil
}

// Merge puts the modules of several places together, with one index. Of a module that several have, that of the first counts. Files stay where
// they are, and are read when they are opened; but where no place has an index of just these modules, all are read to make one.
func Merge(places []Place) (fs.FS, error) {
	tree := fstree.NewMemory()
	files := map[string]string{} // module to its file
	for _, p := range places {
		err := fs.WalkDir(p.FS, ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			// A link "build" or "source" leads to folders, which are not entered.
			id := module.Name(name)
			if d.IsDir() || !isModule(name) || files[id] != "" {
				return nil
			}
			files[id] = name
			return tree.AddFrom(name, p.FS, name)
		})
		if err != nil {
			return nil, fmt.Errorf("read modules from %s: %w", p.Name, err)
		}
	}
	merged := fstree.New(tree)
	index, err := mergedIndex(merged, places, files)
	if err != nil {
		return nil, err
	}
	for name, text := range index {
		if err := tree.Add(name, 0o644, time.Time{}, text); err != nil {
			return nil, err
		}
	}
	return merged, nil
}

// mergedIndex is the index files for these modules: those of a place that knows exactly them, with the files that were taken, else made anew.
func mergedIndex(merged fs.FS, places []Place, files map[string]string) (map[string][]byte, error) {
	index := map[string][]byte{}
	for _, p := range places {
		for _, name := range []string{"modules.builtin", "modules.builtin.modinfo", "modules.order"} {
			if b, err := ReadFile(p.FS, name); err == nil && index[name] == nil {
				index[name] = b
			}
		}
	}
	for _, p := range places {
		dep, ok := rewriteDep(p.FS, files)
		if !ok {
			continue
		}
		index["modules.dep"] = dep
		for _, name := range []string{"modules.alias", "modules.softdep", "modules.weakdep"} {
			if b, err := ReadFile(p.FS, name); err == nil {
				index[name] = b
			}
		}
		return index, nil
	}
	x, err := depmod.Make(merged)
	if err != nil {
		return nil, err
	}
	maps.Copy(index, map[string][]byte{
		"modules.dep": x.Dep, "modules.alias": x.Alias, "modules.softdep": x.Softdep, "modules.weakdep": x.Weakdep,
	})
	return index, nil
}

// rewriteDep is the modules.dep of a place with other files for its modules. It returns false if there is none, or if it is of other modules.
func rewriteDep(fsys fs.FS, files map[string]string) ([]byte, bool) {
	b, err := ReadFile(fsys, "modules.dep")
	if err != nil {
		return nil, false
	}
	var x Index
	if err := x.parseDep(b); err != nil || len(x.Paths) != len(files) {
		return nil, false
	}
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(x.Paths)) {
		words := []string{files[name] + ":"}
		for _, dep := range x.Deps[name] {
			words = append(words, files[dep])
		}
		if slices.Contains(words, "") || words[0] == ":" {
			return nil, false
		}
		out.WriteString(strings.Join(words, " ") + "\n")
	}
	return []byte(out.String()), true
}
