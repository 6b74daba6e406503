package initramfs

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/liveboot/liveboot/pkg/kernelmodules"
	"github.com/liveboot/liveboot/pkg/spelling"
)

// wishes are patterns with which a caller changes the default selection. A
// pattern with a slash is for the path below lib/modules/<version>, with or
// without "kernel/" and ".ko"; "/..." at its end stands for everything below.
// Any other is for the module's name, in which "-" and "_" are the same. Both
// have path.Match's wildcards.
type wishes struct {
	with, without []string
}

// matchWish finds the modules that a pattern means. One that means nothing is
// mistyped. A driver that is built in is found, and there is nothing to add.
func matchWish(x *kernelmodules.Index, pattern string) ([]string, error) {
	if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
		return nil, fmt.Errorf("%q: %w; it has *, ? and [a-z] as wildcards", pattern, cmp.Or(err, errors.New("empty pattern")))
	}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(x.Paths)) {
		if wishMatches(pattern, name, x.Paths[name]) {
			names = append(names, name)
		}
	}
	if names != nil {
		return names, nil
	}
	for name, file := range x.Builtin {
		if wishMatches(pattern, name, file) {
			return nil, nil
		}
	}
	return nil, fmt.Errorf("%s: this kernel has no such driver; did you mean %s?", pattern, nearest(x, pattern))
}

func wishMatches(pattern, name, file string) bool {
	if !strings.Contains(pattern, "/") {
		return kernelmodules.AliasMatches(strings.TrimSuffix(pattern, ".ko"), name)
	}
	file, _, _ = strings.Cut(file, ".ko")
	pattern, _, _ = strings.Cut(pattern, ".ko")
	return rule{pattern: pattern}.matches(file) || rule{pattern: pattern}.matches(strings.TrimPrefix(file, "kernel/"))
}

// nearest is the module's name, or the folder or path, that differs least
// from a pattern.
func nearest(x *kernelmodules.Index, pattern string) string {
	known := map[string]bool{}
	for name, file := range x.Paths {
		file, _, _ = strings.Cut(strings.TrimPrefix(file, "kernel/"), ".ko")
		switch {
		case !strings.Contains(pattern, "/"):
			known[name] = true
		case strings.HasSuffix(pattern, "/..."):
			for dir := path.Dir(file); dir != "."; dir = path.Dir(dir) {
				known[dir+"/..."] = true
			}
		default:
			known[file] = true
		}
	}
	return cmp.Or(spelling.Nearest(pattern, slices.Values(slices.Sorted(maps.Keys(known)))), "another")
}
