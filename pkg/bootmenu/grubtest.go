package bootmenu

import "slices"

// holds says whether the command of a condition succeeds. Of those that are not known here it is assumed that they do not, but for the one that asks
// whether the processor has 64 bits, and a "!" in front.
func (g *grub) holds(words []string) bool {
	if len(words) == 0 {
		return false
	}
	switch words[0] {
	case "!":
		return !g.holds(words[1:])
	case "[":
		return g.test(slices.DeleteFunc(slices.Clone(words[1:]), func(w string) bool { return w == "]" }))
	case "test":
		return g.test(words[1:])
	case "true":
		return true
	case "cpuid":
		return g.arch == "amd64"
	}
	return false
}

// test evaluates the arguments of test: -o binds less than -a.
func (g *grub) test(words []string) bool {
	if k := slices.Index(words, "-o"); k >= 0 {
		return g.test(words[:k]) || g.test(words[k+1:])
	}
	if k := slices.Index(words, "-a"); k >= 0 {
		return g.test(words[:k]) && g.test(words[k+1:])
	}
	if len(words) > 0 && words[0] == "!" {
		return !g.test(words[1:])
	}
	switch {
	case len(words) == 1:
		return words[0] != ""
	case len(words) == 2:
		switch words[0] {
		case "-n":
			return words[1] != ""
		case "-z":
			return words[1] == ""
		case "-e", "-f", "-d", "-s":
			return g.exists(locate("", words[1]))
		}
	case len(words) == 3:
		switch words[1] {
		case "=", "==":
			return words[0] == words[2]
		case "!=":
			return words[0] != words[2]
		}
	}
	return false
}
