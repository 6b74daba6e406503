package kernelmodules

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// A Set is a choice of modules.
type Set struct {
	Index *Index
	// Why says of each that is in, by its name, what brought it in, for people.
	Why map[string]string
	// Out is those that are not to be put in as somebody's soft or weak dependency. What a module depends on is put in all the same.
	Out map[string]bool
	// Stored is where in an image a module lies, by its name, if it does not lie there uncompressed in a file of its own: pkg/kernel/module knows the
	// forms.
	Stored map[string]string
}

// Close adds what the modules in the set depend on, and what their soft and weak dependencies name.
func (s *Set) Close() {
	for _, name := range s.Sorted() {
		s.close(name)
	}
}

func (s *Set) close(name string) {
	for _, dep := range s.Index.Deps[name] {
		s.add(dep, "needed by "+name)
	}
	for _, soft := range s.Index.soft {
		if soft.module == name {
			s.addWanted(soft.names, "softdep of "+name)
		}
	}
	s.addWanted(s.Index.Weak[name], "weakdep of "+name)
}

func (s *Set) addWanted(names []string, why string) {
	for _, wanted := range names {
		modules, _ := s.Index.Resolve(wanted)
		for _, m := range modules {
			if !s.Out[m] {
				s.add(m, why)
			}
		}
	}
}

func (s *Set) add(name, why string) {
	if s.Why[name] != "" || s.Index.Paths[name] == "" {
		return
	}
	s.Why[name] = why
	s.close(name)
}

// Sorted is the names in the order of their paths, so that drivers of one family are neighbours: they compress better so.
func (s *Set) Sorted() []string {
	return slices.SortedFunc(maps.Keys(s.Why), func(a, b string) int {
		return strings.Compare(s.Index.Paths[a], s.Index.Paths[b])
	})
}

// ImagePath is where a module lies in an image, below lib/modules/<version>.
func (s *Set) ImagePath(name string) string {
	return cmp.Or(s.Stored[name], s.PlainPath(name))
}

// PlainPath is where a module lies if it is neither compressed nor in an archive.
func (s *Set) PlainPath(name string) string { return plain(s.Index.Paths[name]) }

// Files are the index files for the modules in the set, by their names. They are text; the kernel's own modules.builtin files are kept as far
// as they help to find out whether something is there.
func (s *Set) Files() map[string]string {
	var dep, soft, weak, aliases, builtin, info strings.Builder
	for _, name := range s.Sorted() {
		dep.WriteString(s.ImagePath(name) + ":")
		for _, d := range s.Index.Deps[name] {
			dep.WriteString(" " + s.ImagePath(d))
		}
		dep.WriteByte('\n')
		if w := s.Index.Weak[name]; w != nil {
			weak.WriteString("weakdep " + name + " " + strings.Join(w, " ") + "\n")
		}
	}
	for _, d := range s.Index.soft {
		if s.Why[d.module] != "" {
			soft.WriteString(d.line + "\n")
		}
	}
	for _, a := range s.Index.aliases.all {
		if s.Why[a.module] != "" {
			aliases.WriteString("alias " + a.pattern + " " + a.module + "\n")
		}
	}
	for _, line := range s.Index.builtin {
		builtin.WriteString(line + "\n")
	}
	for _, a := range s.Index.builtinAliases.all {
		info.WriteString(a.module + ".alias=" + a.pattern + "\x00")
	}
	files := map[string]string{
		"modules.dep":             dep.String(),
		"modules.softdep":         soft.String(),
		"modules.alias":           aliases.String(),
		"modules.builtin":         builtin.String(),
		"modules.builtin.modinfo": info.String(),
	}
	if weak.Len() > 0 {
		files["modules.weakdep"] = weak.String()
	}
	return files
}
