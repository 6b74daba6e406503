// Package kernelmodules reads the modules of a kernel that is not running: which there are in a folder lib/modules/<version>, what they need,
// and whom they serve. Out of such a folder, or of several, it makes a smaller one for an initramfs, with index files of its own.
//
// To find and load modules of the running kernel is the work of pkg/kernel/module, which reads what this package writes.
//
// Formats: modules.dep(5), modprobe.d(5), and the kernel's scripts/Makefile.modfinal and Documentation/kbuild/kbuild.rst for the
// modules.builtin files. Names are as the kernel shows them in /proc/modules, with "_" for "-".
package kernelmodules

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/liveboot/liveboot/pkg/kernel/module"
)

// An Index is what depmod(8) wrote into a folder lib/modules/<version>.
type Index struct {
	Paths map[string]string   // name to the file's path below the folder, or in an archive there (see Members)
	Deps  map[string][]string // name to the names that must be loaded before, the last one first
	Weak  map[string][]string // name to what it may ask the kernel for
	Tree  map[string]string   // name to its path in the kernel's own tree, even if another file replaces it

	Builtin     map[string]string // name to its line in modules.builtin
	BuiltinInfo []string          // records of modules.builtin.modinfo

	soft           []softdep
	aliases        aliases
	builtinAliases aliases
	builtin        []string // lines of modules.builtin
}

// softdep is one "softdep module pre: a b post: c".
type softdep struct {
	module string
	names  []string // before and after, names or aliases
	line   string   // as it was found
}

// ReadIndex reads the index files of a folder lib/modules/<version>. Only modules.dep must exist.
func ReadIndex(fsys fs.FS) (*Index, error) {
	x := &Index{}
	for _, f := range []struct {
		name     string
		required bool
		parse    func([]byte) error
	}{
		{"modules.dep", true, x.parseDep},
		{"modules.order", false, x.parseOrder},
		{"modules.softdep", false, x.parseSoftdep},
		{"modules.weakdep", false, x.parseWeakdep},
		{"modules.alias", false, x.parseAlias},
		{"modules.builtin", false, x.parseBuiltin},
		{"modules.builtin.modinfo", false, x.parseBuiltinInfo},
	} {
		b, err := ReadFile(fsys, f.name)
		if errors.Is(err, fs.ErrNotExist) && !f.required {
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := f.parse(b); err != nil {
			return nil, fmt.Errorf("parse %s: %w", f.name, err)
		}
	}
	return x, nil
}

// parseDep reads "path: path path ...", in which the dependencies are already closed, the first one being the last to load.
func (x *Index) parseDep(b []byte) error {
	x.Paths, x.Deps = map[string]string{}, map[string][]string{}
	return eachLine(b, func(line string) error {
		file, deps, ok := strings.Cut(line, ":")
		if !ok {
			return errors.New("no colon")
		}
		if !fs.ValidPath(file) {
			return fmt.Errorf("file %q: not a path below the folder", file)
		}
		name := module.Name(file)
		_, x.Paths[name] = module.CutArchive(file)
		for dep := range strings.FieldsSeq(deps) {
			x.Deps[name] = append(x.Deps[name], module.Name(dep))
		}
		return nil
	})
}

// parseOrder reads the modules of the kernel's own tree, a path a line: there a module stands even if another one, in updates or extra,
// replaces it.
func (x *Index) parseOrder(b []byte) error {
	x.Tree = map[string]string{}
	return eachLine(b, func(line string) error {
		x.Tree[module.Name(line)] = line
		return nil
	})
}

func (x *Index) parseSoftdep(b []byte) error {
	return eachLine(b, func(line string) error {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != "softdep" {
			return fmt.Errorf("%q is not a softdep", line)
		}
		s := softdep{module: module.Name(words[1]), line: line}
		// Words in front of the first "pre:" or "post:" are what some modules have there by mistake; kmod ignores them too.
		begun := false
		for _, w := range words[2:] {
			switch {
			case w == "pre:" || w == "post:":
				begun = true
			case begun:
				s.names = append(s.names, w)
			}
		}
		x.soft = append(x.soft, s)
		return nil
	})
}

// parseWeakdep reads "weakdep module a b", of kmod 33 and later: names or aliases that a module asks the kernel for by itself when it finds
// that it needs them. modprobe does not load them, images ought to have them.
func (x *Index) parseWeakdep(b []byte) error {
	x.Weak = map[string][]string{}
	return eachLine(b, func(line string) error {
		words := strings.Fields(line)
		if len(words) < 3 || words[0] != "weakdep" {
			return fmt.Errorf("%q is not a weakdep", line)
		}
		name := module.Name(words[1])
		x.Weak[name] = append(x.Weak[name], words[2:]...)
		return nil
	})
}

func (x *Index) parseAlias(b []byte) error {
	return eachLine(b, func(line string) error {
		words := strings.Fields(line)
		if len(words) < 3 || words[0] != "alias" {
			return fmt.Errorf("%q is not an alias", line)
		}
		// A pattern may hold spaces (some DMI aliases do), a name never.
		last := len(words) - 1
		pattern := strings.TrimSpace(strings.TrimSuffix(strings.TrimPrefix(line, "alias"), words[last]))
		x.aliases.add(pattern, module.Name(words[last]))
		return nil
	})
}

func (x *Index) parseBuiltin(b []byte) error {
	x.Builtin = map[string]string{}
	return eachLine(b, func(line string) error {
		x.builtin = append(x.builtin, line)
		x.Builtin[module.Name(line)] = line
		return nil
	})
}

// parseBuiltinInfo reads records "module.key=value", each ended by a NUL.
func (x *Index) parseBuiltinInfo(b []byte) error {
	for record := range bytes.SplitSeq(b, []byte{0}) {
		if len(record) == 0 {
			continue
		}
		key, value, ok := strings.Cut(string(record), "=")
		name, key, dot := strings.Cut(key, ".")
		if !ok || !dot {
			return fmt.Errorf("record %q: want module.key=value", record)
		}
		x.BuiltinInfo = append(x.BuiltinInfo, string(record))
		if key == "alias" {
			x.builtinAliases.add(value, module.Name(name))
		}
	}
	return nil
}

// Resolve finds what modprobe would load for a name or an alias. It returns the modules, and whether the kernel has it built in instead.
func (x *Index) Resolve(name string) (modules []string, builtin bool) {
	id := module.Name(name)
	if _, ok := x.Paths[id]; ok {
		return []string{id}, false
	}
	if _, ok := x.Builtin[id]; ok {
		return nil, true
	}
	return x.aliases.match(name), x.builtinAliases.match(name) != nil
}

// eachLine calls f for each line with content, comments left out.
func eachLine(b []byte, f func(line string) error) error {
	sc := bufio.NewScanner(bytes.NewReader(b))
	sc.Buffer(nil, len(b)+1)
	for n := 1; sc.Scan(); n++ {
		line := strings.TrimSpace(sc.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := f(line); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	return sc.Err()
}
