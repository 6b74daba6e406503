package initramfs

import (
	"path"
	"slices"
	"strings"
)

// rule takes modules into the image, or keeps them out of it. Of all rules
// that match a module, the last one decides.
type rule struct {
	// pattern is for the path below lib/modules/<version>/kernel, without
	// ".ko": path.Match's syntax, and "/..." at the end stands for
	// everything below.
	pattern string
	drop    bool
}

// selection is the default choice of modules: every driver with which a
// machine can reach a wired network, a disk, a CD, a USB stick, a keyboard or
// a simple screen, the file systems and device-mapper targets that a boot can ask for, and the
// crypto those ask for by name. What they depend on is added by closure.
func selection(a arch) []rule {
	var rules []rule
	for _, group := range []func() ([]string, []string){
		networkRules, storageRules, usbRules, inputRules, screenRules, platformRules, filesystemRules, a.drivers,
	} {
		take, drop := group()
		for _, p := range take {
			rules = append(rules, rule{pattern: p})
		}
		for _, p := range drop {
			rules = append(rules, rule{pattern: p, drop: true})
		}
	}
	return rules
}

// takenBy finds the rule that decides about a module and says whether it takes
// it; file is its path below lib/modules/<version>.
func takenBy(rules []rule, file string) (rule, bool) {
	// Where a module from elsewhere (updates, extra, weak-updates) that
	// replaces none of the kernel's own belongs is not known.
	name, own := strings.CutPrefix(file, "kernel/")
	if !own {
		return rule{}, false
	}
	name, _, _ = strings.Cut(name, ".ko")
	for _, r := range slices.Backward(rules) {
		if r.matches(name) {
			return r, !r.drop
		}
	}
	return rule{}, false
}

func (r rule) matches(name string) bool {
	dir, all := strings.CutSuffix(r.pattern, "/...")
	if all {
		// The pattern is for as many folders as it has.
		parts := strings.Split(name, "/")
		if depth := strings.Count(dir, "/") + 1; depth < len(parts) {
			name = strings.Join(parts[:depth], "/")
		} else {
			return false
		}
	}
	ok, err := path.Match(dir, name)
	return err == nil && ok
}

// requirement is something without which no live system boots. Any one of
// its modules, or a built-in of one of these names, will do.
type requirement struct {
	module string
	why    string
}

func requirements() []requirement {
	return []requirement{
		{"brd", "the RAM disk that holds the image"},
		{"loop", "the root file system inside the image"},
		{"squashfs", "the live system's container"},
		{"overlay", "the writable layer"},
		{"isofs", "the image"},
		{"ext4", "the live system's root"},
	}
}
