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

	"github.com/liveboot/liveboot/pkg/kernel/module"
	"github.com/liveboot/liveboot/pkg/kernelmodules"
)

// moduleSet is the modules that go into an image: a selection, closed under
// modules.dep, modules.softdep and modules.weakdep.
type moduleSet struct{ kernelmodules.Set }

// selectModules applies the rules and the caller's wishes to the index, adds
// what is needed to load the result, and checks that nothing indispensable is
// missing.
func selectModules(x *kernelmodules.Index, rules []rule, w wishes, need []requirement) (*moduleSet, error) {
	s := &moduleSet{kernelmodules.Set{Index: x, Why: map[string]string{}, Out: map[string]bool{}}}
	asked, err := s.apply(w)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(x.Paths)) {
		if r, ok := takenBy(rules, cmp.Or(x.Tree[name], x.Paths[name])); ok && !s.Out[name] {
			s.Why[name] = "rule " + r.pattern
		}
	}
	maps.Copy(s.Why, asked)
	if err := s.require(need); err != nil {
		return nil, err
	}
	s.Close()
	return s, nil
}

// apply notes what is to be left out, and returns what is to be put in with
// the reason.
func (s *moduleSet) apply(w wishes) (asked map[string]string, err error) {
	asked = map[string]string{}
	var errs []error
	for _, p := range w.without {
		names, err := matchWish(s.Index, p)
		errs = append(errs, prefixed("-no-drivers", err))
		for _, name := range names {
			s.Out[name] = true
		}
	}
	for _, p := range w.with {
		names, err := matchWish(s.Index, p)
		errs = append(errs, prefixed("-drivers", err))
		for _, name := range names {
			asked[name] = "-drivers " + p
			delete(s.Out, name)
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
		modules, builtin := s.Index.Resolve(r.module)
		for _, m := range modules {
			if s.Why[m] == "" {
				s.Why[m] = "required: " + r.why
			}
			if s.Out[m] {
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

// modulesSegment makes lib/modules/<release> for the image. What pack returns
// of the files that are compressed there, by their paths, is put into it. It
// also returns which firmware the modules name. Without pack the archive is
// none, and the rest is as it would be.
func modulesSegment(fsys fs.FS, release string, s *moduleSet, pack func(plain map[string][]byte) (map[string][]byte, error)) (*archive, []Module, firmwareNames, error) {
	content := map[string][]byte{}
	wanted := firmwareNames{}
	for _, name := range s.Sorted() {
		b, err := kernelmodules.ReadModule(fsys, s.Index.Paths[name])
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil, nil, fmt.Errorf("%w; modules.dep lists it: run depmod %s, or install the kernel's modules again", err, release)
		}
		if err != nil {
			return nil, nil, nil, err
		}
		content[name] = b
		wanted.add(name, firmwareOf(b)...)
	}
	wanted.addBuiltin(s.Index.BuiltinInfo)
	s.Stored = stores(s, func(name string) int { return len(content[name]) })
	var list []Module
	for _, name := range s.Sorted() {
		_, file := module.CutArchive(s.ImagePath(name))
		list = append(list, Module{Name: name, Path: file, Bytes: int64(len(content[name])), Why: s.Why[name]})
	}
	sortModules(list)
	if pack == nil {
		return nil, list, wanted, nil
	}
	files, compressed, err := storedFiles(s, content)
	if err != nil {
		return nil, nil, nil, err
	}
	if compressed, err = pack(compressed); err != nil {
		return nil, nil, nil, err
	}
	maps.Copy(files, compressed)
	for name, index := range s.Files() {
		files[name] = []byte(index)
	}
	a := newArchive()
	for name, b := range files {
		a.file(path.Join("lib/modules", release, name), b, 0o644)
	}
	return a, list, wanted, nil
}

// modules is the segment with the kernel's modules.
func (b *builder) modules(ctx context.Context) (segment, error) {
	a, err := b.moduleArchive(func(plain map[string][]byte) (map[string][]byte, error) { return b.packModules(ctx, plain) })
	if err != nil {
		return segment{}, err
	}
	raw, err := a.bytes()
	return segment{name: "modules", raw: raw}, err
}

// moduleArchive notes in the manifest which modules there are, and returns
// what modulesSegment makes of them.
func (b *builder) moduleArchive(pack func(map[string][]byte) (map[string][]byte, error)) (*archive, error) {
	b.report("collecting the modules of kernel %s", b.kernel.release)
	index, err := kernelmodules.ReadIndex(b.kernel.modules)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", b.kernel.from, err)
	}
	set, err := selectModules(index, selection(b.arch), wishes{with: b.config.Drivers, without: b.config.NoDrivers}, requirements())
	if err != nil {
		return nil, fmt.Errorf("modules of kernel %s from %s: %w", b.kernel.release, b.kernel.from, err)
	}
	a, list, wanted, err := modulesSegment(b.kernel.modules, b.kernel.release, set, pack)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", b.kernel.from, err)
	}
	b.manifest.Modules, b.wanted = list, wanted
	return a, nil
}
