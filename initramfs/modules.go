package initramfs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
)

// moduleSet is the modules that go into an image: a selection, closed under
// modules.dep, modules.softdep and modules.weakdep.
type moduleSet struct {
	index *moduleIndex
	why   map[string]string // name to what brought it in, for people
	out   map[string]bool   // asked to be left out
}

// selectModules applies the rules and the caller's wishes to the index, adds
// what is needed to load the result, and checks that nothing indispensable is
// missing.
func selectModules(x *moduleIndex, rules []rule, w wishes, need []requirement) (*moduleSet, error) {
	s := &moduleSet{index: x, why: map[string]string{}, out: map[string]bool{}}
	asked, err := s.apply(w)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(x.paths)) {
		if r, ok := takenBy(rules, cmp.Or(x.tree[name], x.paths[name])); ok && !s.out[name] {
			s.why[name] = "rule " + r.pattern
		}
	}
	maps.Copy(s.why, asked)
	if err := s.require(need); err != nil {
		return nil, err
	}
	for _, name := range s.sorted() {
		s.close(name)
	}
	return s, nil
}

// apply notes what is to be left out, and returns what is to be put in with
// the reason.
func (s *moduleSet) apply(w wishes) (asked map[string]string, err error) {
	asked = map[string]string{}
	var errs []error
	for _, p := range w.without {
		names, err := s.index.match(p)
		errs = append(errs, prefixed("-no-drivers", err))
		for _, name := range names {
			s.out[name] = true
		}
	}
	for _, p := range w.with {
		names, err := s.index.match(p)
		errs = append(errs, prefixed("-drivers", err))
		for _, name := range names {
			asked[name] = "-drivers " + p
			delete(s.out, name)
		}
	}
	return asked, errors.Join(errs...)
}

func prefixed(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %w", what, err)
}

// require adds what no live system boots without.
func (s *moduleSet) require(need []requirement) error {
	var missing, refused []string
	for _, r := range need {
		modules, builtin := s.index.resolve(r.module)
		for _, m := range modules {
			if s.why[m] == "" {
				s.why[m] = "required: " + r.why
			}
			if s.out[m] {
				refused = append(refused, fmt.Sprintf("%s (%s)", m, r.why))
			}
		}
		if len(modules) == 0 && !builtin {
			missing = append(missing, fmt.Sprintf("%s (%s)", r.module, r.why))
		}
	}
	if refused != nil {
		return fmt.Errorf("-no-drivers leaves out what no live image boots without: %s", strings.Join(refused, ", "))
	}
	if missing != nil {
		return fmt.Errorf("this kernel cannot boot a live image, it has neither as a module nor built in: %s; choose another kernel", strings.Join(missing, ", "))
	}
	return nil
}

// close adds what a module depends on, even if that was to be left out, and
// what its soft and weak dependencies name.
func (s *moduleSet) close(name string) {
	for _, dep := range s.index.deps[name] {
		s.add(dep, "needed by "+name)
	}
	for _, soft := range s.index.soft {
		if soft.module == name {
			s.addWanted(slices.Concat(soft.pre, soft.post), "softdep of "+name)
		}
	}
	s.addWanted(s.index.weak[name], "weakdep of "+name)
}

func (s *moduleSet) addWanted(names []string, why string) {
	for _, wanted := range names {
		modules, _ := s.index.resolve(wanted)
		for _, m := range modules {
			if !s.out[m] {
				s.add(m, why)
			}
		}
	}
}

func (s *moduleSet) add(name, why string) {
	if s.why[name] != "" || s.index.paths[name] == "" {
		return
	}
	s.why[name] = why
	s.close(name)
}

// sorted is the names in the order of their paths, so that drivers of one
// family are neighbours: they compress better so.
func (s *moduleSet) sorted() []string {
	return slices.SortedFunc(maps.Keys(s.why), func(a, b string) int {
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
	var dep, soft, weak, aliases, builtin, info strings.Builder
	for _, name := range s.sorted() {
		dep.WriteString(s.imagePath(name) + ":")
		for _, d := range s.index.deps[name] {
			dep.WriteString(" " + s.imagePath(d))
		}
		dep.WriteByte('\n')
		if w := s.index.weak[name]; w != nil {
			weak.WriteString("weakdep " + name + " " + strings.Join(w, " ") + "\n")
		}
	}
	for _, d := range s.index.soft {
		if s.why[d.module] != "" {
			soft.WriteString(d.line + "\n")
		}
	}
	for _, a := range s.index.aliases {
		if s.why[a.module] != "" {
			aliases.WriteString("alias " + a.pattern + " " + a.module + "\n")
		}
	}
	for _, line := range s.index.builtin {
		builtin.WriteString(line + "\n")
	}
	for _, a := range s.index.builtinAliases {
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

// modulesSegment makes lib/modules/<release> for the image, the modules
// themselves decompressed: the whole is compressed better without that. It
// also returns which firmware they name.
func modulesSegment(fsys fs.FS, release string, s *moduleSet) (*archive, []Module, firmwareNames, error) {
	a := newArchive()
	root := path.Join("lib/modules", release)
	var list []Module
	wanted := firmwareNames{}
	for _, name := range s.sorted() {
		b, err := readModule(fsys, s.index.paths[name])
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil, nil, fmt.Errorf("%w; modules.dep lists it: run depmod %s, or install the kernel's modules again", err, release)
		}
		if err != nil {
			return nil, nil, nil, err
		}
		list = append(list, Module{Name: name, Path: s.imagePath(name), Bytes: int64(len(b)), Why: s.why[name]})
		wanted.add(name, firmwareOf(b)...)
		a.file(path.Join(root, s.imagePath(name)), b, 0o644)
	}
	for name, content := range s.indexFiles() {
		a.file(path.Join(root, name), []byte(content), 0o644)
	}
	wanted.addBuiltin(s.index.builtinInfo)
	return a, list, wanted, nil
}

// modules is the segment with the kernel's modules.
func (b *builder) modules(context.Context) (segment, error) {
	b.report("collecting the modules of kernel %s", b.kernel.release)
	index, err := readModuleIndex(b.kernel.modules)
	if err != nil {
		return segment{}, fmt.Errorf("read %s: %w", b.kernel.from, err)
	}
	set, err := selectModules(index, selection(b.arch), wishes{with: b.config.Drivers, without: b.config.NoDrivers}, requirements())
	if err != nil {
		return segment{}, fmt.Errorf("modules of kernel %s from %s: %w", b.kernel.release, b.kernel.from, err)
	}
	a, list, wanted, err := modulesSegment(b.kernel.modules, b.kernel.release, set)
	if err != nil {
		return segment{}, fmt.Errorf("read %s: %w", b.kernel.from, err)
	}
	b.manifest.Modules, b.wanted = list, wanted
	raw, err := a.bytes()
	return segment{name: "modules", raw: raw}, err
}
