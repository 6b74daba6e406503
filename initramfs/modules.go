package initramfs

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
)

// moduleSet is the modules that go into an image: a selection, closed under
// modules.dep and modules.softdep.
type moduleSet struct {
	index *moduleIndex
	names map[string]bool
}

// selectModules applies the rules to the index, adds what is needed to load
// the result, and checks that nothing indispensable is missing.
func selectModules(x *moduleIndex, rules []rule, need []requirement) (*moduleSet, error) {
	s := &moduleSet{index: x, names: map[string]bool{}}
	for _, name := range slices.Sorted(maps.Keys(x.paths)) {
		if taken(rules, x.paths[name]) {
			s.add(name)
		}
	}
	var missing []string
	for _, r := range need {
		modules, builtin := x.resolve(r.module)
		for _, m := range modules {
			s.add(m)
		}
		if len(modules) == 0 && !builtin {
			missing = append(missing, fmt.Sprintf("%s (%s)", r.module, r.why))
		}
	}
	if missing != nil {
		return nil, fmt.Errorf("this kernel cannot boot a live image, it has neither as a module nor built in: %s; choose another kernel", strings.Join(missing, ", "))
	}
	return s, nil
}

// add takes a module, what it depends on, and what its soft dependencies name.
func (s *moduleSet) add(name string) {
	if s.names[name] || s.index.paths[name] == "" {
		return
	}
	s.names[name] = true
	for _, dep := range s.index.deps[name] {
		s.add(dep)
	}
	for _, soft := range s.index.soft {
		if soft.module != name {
			continue
		}
		for _, wanted := range slices.Concat(soft.pre, soft.post) {
			modules, _ := s.index.resolve(wanted)
			for _, m := range modules {
				s.add(m)
			}
		}
	}
}

// sorted is the names in the order of their paths, so that drivers of one
// family are neighbours: they compress better so.
func (s *moduleSet) sorted() []string {
	return slices.SortedFunc(maps.Keys(s.names), func(a, b string) int {
		return strings.Compare(s.index.paths[a], s.index.paths[b])
	})
}

// imagePath is where a module lies in the image, below lib/modules/<version>.
func (s *moduleSet) imagePath(name string) string {
	return strings.TrimSuffix(s.index.paths[name], moduleCompression(s.index.paths[name]))
}

// indexFiles writes the index files anew for the modules in the set. They
// are text; the kernel's own modules.builtin files are kept as far as they
// help to find out whether something is there.
func (s *moduleSet) indexFiles() map[string]string {
	var dep, soft, aliases, builtin, info strings.Builder
	for _, name := range s.sorted() {
		dep.WriteString(s.imagePath(name) + ":")
		for _, d := range s.index.deps[name] {
			dep.WriteString(" " + s.imagePath(d))
		}
		dep.WriteByte('\n')
	}
	for _, d := range s.index.soft {
		if s.names[d.module] {
			soft.WriteString(d.line + "\n")
		}
	}
	for _, a := range s.index.aliases {
		if s.names[a.module] {
			aliases.WriteString("alias " + a.pattern + " " + a.module + "\n")
		}
	}
	for _, line := range s.index.builtin {
		builtin.WriteString(line + "\n")
	}
	for _, a := range s.index.builtinAliases {
		info.WriteString(a.module + ".alias=" + a.pattern + "\x00")
	}
	return map[string]string{
		"modules.dep":             dep.String(),
		"modules.softdep":         soft.String(),
		"modules.alias":           aliases.String(),
		"modules.builtin":         builtin.String(),
		"modules.builtin.modinfo": info.String(),
	}
}

// modulesSegment makes lib/modules/<release> for the image, the modules
// themselves decompressed: the whole is compressed better without that.
func modulesSegment(fsys fs.FS, release string, s *moduleSet) (*archive, []Module, error) {
	a := newArchive()
	root := path.Join("lib/modules", release)
	var list []Module
	for _, name := range s.sorted() {
		b, err := readModule(fsys, s.index.paths[name])
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil, fmt.Errorf("%w; modules.dep lists it: run depmod %s, or install the kernel's modules again", err, release)
		}
		if err != nil {
			return nil, nil, err
		}
		list = append(list, Module{Name: name, Path: s.imagePath(name), Bytes: int64(len(b))})
		a.file(path.Join(root, s.imagePath(name)), b, 0o644)
	}
	for name, content := range s.indexFiles() {
		a.file(path.Join(root, name), []byte(content), 0o644)
	}
	return a, list, nil
}
