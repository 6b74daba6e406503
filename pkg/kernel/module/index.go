// Package module finds and loads kernel modules, as modprobe(8) does: by name or by alias, after the modules they
// depend on. It reads the text indexes that depmod(8) writes (modules.dep, modules.alias, modules.softdep, modules.builtin),
// so that an image needs no binary ones.
package module

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// An Index knows the modules of one folder lib/modules/<version>.
type Index struct {
	// files maps a module's name to its file and the files it depends on, the nearest first.
	files map[string]entry
	// aliases maps the part of a pattern before its first wildcard to the patterns that begin so.
	aliases map[string][]alias
	// soft maps a module's name to what should be loaded before and after it, names or aliases.
	soft    map[string]softdep
	builtin map[string]bool
}

type entry struct {
	file string
	deps []string
}

type alias struct{ pattern, module string }

type softdep struct{ pre, post []string }

// ReadIndex reads the indexes in folder, lib/modules/<version>, of root. modules.dep must be there, the others may be missing.
func ReadIndex(root fs.FS, folder string) (*Index, error) {
	index := &Index{
		files:   make(map[string]entry),
		aliases: make(map[string][]alias),
		soft:    make(map[string]softdep),
		builtin: make(map[string]bool),
	}
	for _, part := range []struct {
		file     string
		line     func(fields []string)
		required bool
	}{
		{"modules.dep", index.addDep, true},
		{"modules.alias", index.addAlias, false},
		{"modules.softdep", index.addSoftdep, false},
		{"modules.builtin", index.addBuiltin, false},
	} {
		data, err := fs.ReadFile(root, path.Join(folder, part.file))
		if errors.Is(err, fs.ErrNotExist) && !part.required {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read module index: %w", err)
		}
		for line := range strings.Lines(string(data)) {
			if fields := strings.Fields(line); len(fields) > 0 && fields[0][0] != '#' {
				part.line(fields)
			}
		}
	}
	return index, nil
}

// addDep reads "kernel/a/b.ko: kernel/c/d.ko …".
func (x *Index) addDep(fields []string) {
	if file, ok := strings.CutSuffix(fields[0], ":"); ok {
		x.files[Name(file)] = entry{file, fields[1:]}
	}
}

// addAlias reads "alias PATTERN module".
func (x *Index) addAlias(fields []string) {
	if len(fields) != 3 || fields[0] != "alias" {
		return
	}
	pattern := fields[1]
	literal := pattern
	if i := strings.IndexAny(pattern, `*?[\`); i >= 0 {
		literal = pattern[:i]
	}
	x.aliases[literal] = append(x.aliases[literal], alias{pattern, Name(fields[2])})
}

// addSoftdep reads "softdep module pre: a b post: c".
func (x *Index) addSoftdep(fields []string) {
	if len(fields) < 3 || fields[0] != "softdep" {
		return
	}
	dep := x.soft[Name(fields[1])]
	var list *[]string
	for _, word := range fields[2:] {
		switch {
		case word == "pre:":
			list = &dep.pre
		case word == "post:":
			list = &dep.post
		case list != nil:
			*list = append(*list, word)
		}
	}
	x.soft[Name(fields[1])] = dep
}

func (x *Index) addBuiltin(fields []string) { x.builtin[Name(fields[0])] = true }

// Name returns the name that the kernel gives to the module in file: no folder, no suffix, "_" for "-".
func Name(file string) string {
	name, _, _ := strings.Cut(path.Base(file), ".ko")
	return strings.ReplaceAll(name, "-", "_")
}

// Has reports whether a module of that name is in the folder.
func (x *Index) Has(name string) bool { _, ok := x.files[Name(name)]; return ok }

// Builtin reports whether the kernel holds the module of that name in itself.
func (x *Index) Builtin(name string) bool { return x.builtin[Name(name)] }

// Resolve returns the names of the modules that an alias, such as a device's modalias, stands for. A module's name
// stands for itself.
func (x *Index) Resolve(name string) []string {
	if x.Has(name) || x.Builtin(name) {
		return []string{Name(name)}
	}
	var names []string
	seen := make(map[string]bool)
	for end := range len(name) + 1 {
		for _, a := range x.aliases[name[:end]] {
			if !seen[a.module] && Match(a.pattern, name) {
				seen[a.module] = true
				names = append(names, a.module)
			}
		}
	}
	return names
}

// Match reports whether s matches pattern, with the wildcards of fnmatch(3) without flags: "*" and "?" match "/" too, as
// in kmod, where path.Match would stop at the slashes in the modaliases of DMI and of device trees.
func Match(pattern, s string) bool {
	// After a mismatch, the last "*" takes one character more; earlier ones never need to be tried again.
	star, mark := -1, 0
	p, i := 0, 0
	for i < len(s) {
		if p < len(pattern) && pattern[p] == '*' {
			star, mark = p, i
			p++
			continue
		}
		if width, ok := matchOne(pattern[p:], s[i]); ok {
			p += width
			i++
			continue
		}
		if star < 0 {
			return false
		}
		mark++
		p, i = star+1, mark
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// matchOne matches c with the first element of pattern and returns that element's length.
func matchOne(pattern string, c byte) (width int, ok bool) {
	switch {
	case pattern == "":
		return 0, false
	case pattern[0] == '?':
		return 1, true
	case pattern[0] == '\\' && len(pattern) > 1:
		return 2, pattern[1] == c
	case pattern[0] == '[':
		if end := strings.IndexByte(pattern[1:], ']'); end >= 0 {
			return end + 2, inSet(pattern[1:end+1], c)
		}
	}
	return 1, pattern[0] == c
}

// inSet reports whether c is in a bracket's set, "0-9a" or "!x" for example.
func inSet(set string, c byte) bool {
	negated := strings.HasPrefix(set, "!") || strings.HasPrefix(set, "^")
	if negated {
		set = set[1:]
	}
	for i := 0; i < len(set); i++ {
		if i+2 < len(set) && set[i+1] == '-' {
			if set[i] <= c && c <= set[i+2] {
				return !negated
			}
			i += 2
		} else if set[i] == c {
			return !negated
		}
	}
	return negated
}
