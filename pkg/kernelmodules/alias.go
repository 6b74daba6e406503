package kernelmodules

import (
	"slices"
	"strings"

	"github.com/liveboot/liveboot/pkg/kernel/module"
)

// alias is one "alias pattern module".
type alias struct {
	pattern string // with the wildcards * ? []
	module  string
	order   int
}

// aliases are found by what stands before the first wildcard of their pattern: there are tens of thousands.
type aliases struct {
	all      []alias
	byPrefix map[string][]alias
}

func (a *aliases) add(pattern, name string) {
	if a.byPrefix == nil {
		a.byPrefix = map[string][]alias{}
	}
	one := alias{pattern, name, len(a.all)}
	a.all = append(a.all, one)
	literal := underscores(pattern)
	if i := strings.IndexAny(literal, `*?[\`); i >= 0 {
		literal = literal[:i]
	}
	a.byPrefix[literal] = append(a.byPrefix[literal], one)
}

// match returns the modules that an alias stands for, in the order of the file.
func (a *aliases) match(name string) []string {
	plain := strings.ReplaceAll(name, "-", "_")
	var found []alias
	for end := range len(plain) + 1 {
		for _, one := range a.byPrefix[plain[:end]] {
			if AliasMatches(one.pattern, name) {
				found = append(found, one)
			}
		}
	}
	slices.SortFunc(found, func(p, q alias) int { return p.order - q.order })
	var modules []string
	for _, one := range found {
		modules = append(modules, one.module)
	}
	return modules
}

// AliasMatches compares as modprobe does: with the wildcards of fnmatch(3), and "-" and "_" alike.
func AliasMatches(pattern, name string) bool {
	return module.Match(underscores(pattern), strings.ReplaceAll(name, "-", "_"))
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
