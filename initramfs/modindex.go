package initramfs

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	kmodule "github.com/liveboot/liveboot/pkg/kernel/module"
)

// moduleIndex is what depmod(8) wrote into lib/modules/<version>: which
// modules there are, what they need, and which devices they serve. Formats:
// modules.dep(5), modprobe.d(5), and the kernel's scripts/Makefile.modfinal
// and Documentation/kbuild/kbuild.rst for the modules.builtin files.
//
// Names are as the kernel shows them in /proc/modules, with "_" for "-".
type moduleIndex struct {
	paths   map[string]string   // name to the file's path below lib/modules/<version>
	deps    map[string][]string // name to the names that must be loaded before
	soft    []softdep
	weak    map[string][]string // name to what it may ask the kernel for
	aliases []alias

	builtin        []string          // lines of modules.builtin
	builtinNames   map[string]string // name to its line in builtin
	builtinAliases []alias           // aliases of what is built in
	builtinInfo    []string          // records of modules.builtin.modinfo
	tree           map[string]string // module to its path in the kernel's own tree
}

// softdep is one "softdep module pre: a b post: c".
type softdep struct {
	module string
	pre    []string // names or aliases
	post   []string
	line   string // as it was found
}

// alias is one "alias pattern module".
type alias struct {
	pattern string // with the wildcards * ? []
	module  string
}

// readModuleIndex reads the index files from a lib/modules/<version> folder.
// Only modules.dep must exist.
func readModuleIndex(fsys fs.FS) (*moduleIndex, error) {
	x := &moduleIndex{}
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
		b, err := readFile(fsys, f.name)
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

// parseDep reads "path: path path ...", in which the dependencies are already
// closed, the first one being the last to load.
func (x *moduleIndex) parseDep(b []byte) error {
	x.paths, x.deps = map[string]string{}, map[string][]string{}
	return eachLine(b, func(line string) error {
		file, deps, ok := strings.Cut(line, ":")
		if !ok {
			return errors.New("no colon")
		}
		if !fs.ValidPath(file) {
			return fmt.Errorf("file %q: not a path below the folder", file)
		}
		name := kmodule.Name(file)
		x.paths[name] = file
		for dep := range strings.FieldsSeq(deps) {
			x.deps[name] = append(x.deps[name], kmodule.Name(dep))
		}
		return nil
	})
}

// parseOrder reads the modules of the kernel's own tree, a path a line: there a module stands even if another one, in updates or
// extra, replaces it.
func (x *moduleIndex) parseOrder(b []byte) error {
	x.tree = map[string]string{}
	return eachLine(b, func(line string) error {
		x.tree[kmodule.Name(line)] = line
		return nil
	})
}

func (x *moduleIndex) parseSoftdep(b []byte) error {
	return eachLine(b, func(line string) error {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != "softdep" {
			return fmt.Errorf("%q is not a softdep", line)
		}
		s := softdep{module: kmodule.Name(words[1]), line: line}
		// Words in front of the first "pre:" or "post:" are what some
		// modules have there by mistake; kmod ignores them too.
		var list *[]string
		for _, w := range words[2:] {
			switch {
			case w == "pre:":
				list = &s.pre
			case w == "post:":
				list = &s.post
			case list != nil:
				*list = append(*list, w)
			}
		}
		x.soft = append(x.soft, s)
		return nil
	})
}

// parseWeakdep reads "weakdep module a b", of kmod 33 and later: names or
// aliases that a module asks the kernel for by itself when it finds that it
// needs them. modprobe does not load them, images ought to have them.
func (x *moduleIndex) parseWeakdep(b []byte) error {
	x.weak = map[string][]string{}
	return eachLine(b, func(line string) error {
		words := strings.Fields(line)
		if len(words) < 3 || words[0] != "weakdep" {
			return fmt.Errorf("%q is not a weakdep", line)
		}
		name := kmodule.Name(words[1])
		x.weak[name] = append(x.weak[name], words[2:]...)
		return nil
	})
}

func (x *moduleIndex) parseAlias(b []byte) error {
	return eachLine(b, func(line string) error {
		words := strings.Fields(line)
		if len(words) < 3 || words[0] != "alias" {
			return fmt.Errorf("%q is not an alias", line)
		}
		// A pattern may hold spaces (some DMI aliases do), a name never.
		last := len(words) - 1
		pattern := strings.TrimSpace(strings.TrimSuffix(strings.TrimPrefix(line, "alias"), words[last]))
		x.aliases = append(x.aliases, alias{pattern: pattern, module: kmodule.Name(words[last])})
		return nil
	})
}

func (x *moduleIndex) parseBuiltin(b []byte) error {
	x.builtinNames = map[string]string{}
	return eachLine(b, func(line string) error {
		x.builtin = append(x.builtin, line)
		x.builtinNames[kmodule.Name(line)] = line
		return nil
	})
}

// parseBuiltinInfo reads records "module.key=value", each ended by a NUL.
func (x *moduleIndex) parseBuiltinInfo(b []byte) error {
	for record := range bytes.SplitSeq(b, []byte{0}) {
		if len(record) == 0 {
			continue
		}
		key, value, ok := strings.Cut(string(record), "=")
		module, key, dot := strings.Cut(key, ".")
		if !ok || !dot {
			return fmt.Errorf("record %q: want module.key=value", record)
		}
		x.builtinInfo = append(x.builtinInfo, string(record))
		if key == "alias" {
			x.builtinAliases = append(x.builtinAliases, alias{pattern: value, module: kmodule.Name(module)})
		}
	}
	return nil
}

// resolve finds what modprobe would load for a name or an alias. It returns
// the modules, and whether the kernel has it built in instead.
func (x *moduleIndex) resolve(name string) (modules []string, builtin bool) {
	id := kmodule.Name(name)
	if _, ok := x.paths[id]; ok {
		return []string{id}, false
	}
	if _, ok := x.builtinNames[id]; ok {
		return nil, true
	}
	for _, a := range x.aliases {
		if aliasMatches(a.pattern, name) {
			modules = append(modules, a.module)
		}
	}
	builtin = slices.ContainsFunc(x.builtinAliases, func(a alias) bool { return aliasMatches(a.pattern, name) })
	return modules, builtin
}

// aliasMatches compares as modprobe does, with "-" and "_" alike. The
// wildcards are those of fnmatch(3), and "*" passes slashes, of which there
// are none in an alias that we ask for.
func aliasMatches(pattern, name string) bool {
	ok, err := path.Match(underscores(pattern), strings.ReplaceAll(name, "-", "_"))
	return err == nil && ok
}

// underscores replaces each "-" outside of brackets, where it stands for a range.
func underscores(pattern string) string {
	b, inside := []byte(pattern), false
	for i, c := range b {
		switch {
		case c == '[':
			inside = true
		case c == ']':
			inside = false
		case c == '-' && !inside:
			b[i] = '_'
		}
	}
	return string(b)
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
