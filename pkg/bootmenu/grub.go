package bootmenu

import (
	"maps"
	"slices"
	"strings"
)

// grubPatterns are where GRUB's configuration is, in the order in which it counts.
func grubPatterns() []string {
	return []string{
		"boot/grub/grub.cfg", "boot/grub2/grub.cfg", "boot/grub/loopback.cfg", "boot/grub2/loopback.cfg", "EFI/BOOT/grub.cfg", "EFI/boot/grub.cfg", "EFI/*/grub.cfg",
		"grub/grub.cfg", "grub2/grub.cfg", "boot/x86_64/grub.cfg",
	}
}

func grubMenus(r *reader) ([]menu, error) {
	var all []menu
	seen := map[string]bool{}
	for _, pattern := range grubPatterns() {
		files := []string{pattern}
		if strings.Contains(pattern, "*") {
			files = r.first(pattern)
		}
		for _, file := range files {
			if seen[file] {
				continue
			}
			seen[file] = true
			m, err := grubMenu(r, file)
			if err != nil {
				return nil, err
			}
			all = append(all, m)
		}
	}
	return all, nil
}

// grubMenu runs one configuration. If it has no kernel, the conditions were not for us: then everything in it counts.
func grubMenu(r *reader, file string) (menu, error) {
	for _, all := range []bool{false, true} {
		g := &grub{reader: r, all: all, steps: maxSteps, variables: startVariables(r.arch)}
		if err := g.file(file, maxDepth); err != nil {
			return menu{}, err
		}
		m := menu{file: file, entries: g.entries, fallback: g.variables["default"]}
		if len(m.sorted()) > 0 {
			return m, nil
		}
	}
	return menu{}, nil
}

// startVariables are those that GRUB sets itself and menus ask for, as with EFI. GRUB calls the architectures as Go does, but for those of PCs.
func startVariables(arch string) map[string]string {
	cpu := map[string]string{"amd64": "x86_64", "386": "i386"}[arch]
	if cpu == "" {
		cpu = arch
	}
	return map[string]string{"grub_cpu": cpu, "grub_platform": "efi", "feature_menuentry_id": "y", "menuentry_id_option": "--id"}
}

// maxSteps bounds the commands that are run.
const maxSteps = 1 << 14

// grub runs a configuration.
type grub struct {
	*reader
	all       bool // runs all branches of conditions
	steps     int
	variables map[string]string
	entries   []item // of the menu that is being read
	current   *Entry // that is being read
}

// file runs a configuration that is there.
func (g *grub) file(name string, depth int) error {
	if depth <= 0 {
		return nil
	}
	text, _, err := g.read(name)
	if err != nil {
		return err
	}
	return g.run(parseGrub(text), depth)
}

// run runs commands.
func (g *grub) run(commands []command, depth int) error {
	if depth <= 0 {
		return nil
	}
	for k := 0; k < len(commands) && g.steps > 0; k++ {
		g.steps--
		switch commands[k].keyword() {
		case "if":
			end := matching(commands[k:], "if", "fi") + k
			if err := g.conditions(commands[k:end], depth); err != nil {
				return err
			}
			k = end
		case "for", "while", "until": // the body is run once
			k = skipTo(commands, k, "do")
		case "function":
		default:
			words := g.expandAll(commands[k].words)
			if len(words) == 0 {
				continue
			}
			if err := g.command(words, commands[k].body, depth); err != nil {
				return err
			}
		}
	}
	return nil
}

// skipTo is the index of the next command that begins with a word, or of the last one.
func skipTo(commands []command, from int, word string) int {
	for k := from; k < len(commands); k++ {
		if commands[k].keyword() == word {
			return k
		}
	}
	return len(commands) - 1
}

// matching is the index of the command that closes the first one, or of the last one.
func matching(commands []command, open, end string) int {
	depth := 0
	for k := range commands {
		switch commands[k].keyword() {
		case open:
			depth++
		case end:
			if depth--; depth == 0 {
				return k
			}
		}
	}
	return len(commands) - 1
}

// branch is one of a condition.
type branch struct {
	conditions []command // empty for that of else
	body       []command
}

// branches cuts an if without its fi into its branches.
func branches(commands []command) (all []branch) {
	condition := false // what is read belongs to one
	for k := 0; k < len(commands); k++ {
		c := commands[k]
		switch word := c.keyword(); {
		case word == "if" && k == 0, word == "elif":
			c.words = c.words[1:]
			all, condition = append(all, branch{conditions: []command{c}}), true
		case word == "else":
			all, condition = append(all, branch{}), false
		case word == "then":
			condition = false
		case condition:
			all[len(all)-1].conditions = append(all[len(all)-1].conditions, c)
		default:
			end := k
			if word == "if" { // one within a branch
				end = matching(commands[k:], "if", "fi") + k
			}
			all[len(all)-1].body = append(all[len(all)-1].body, commands[k:end+1]...)
			k = end
		}
	}
	return all
}

// conditions runs the branch of an if whose condition holds.
func (g *grub) conditions(commands []command, depth int) error {
	taken := false
	for _, b := range branches(commands) {
		holds := !taken && g.allHold(b.conditions)
		taken = taken || holds
		if holds || g.all {
			if err := g.run(b.body, depth-1); err != nil {
				return err
			}
		}
	}
	return nil
}

// allHold says whether commands joined by "&&" or "||" succeed, as a shell reads them, from the left.
func (g *grub) allHold(conditions []command) bool {
	result := true
	for _, c := range conditions {
		if c.either {
			result = result || g.holds(g.expandAll(c.words))
		} else {
			result = result && g.holds(g.expandAll(c.words))
		}
	}
	return result
}

// command runs one that is no part of a condition.
func (g *grub) command(words []string, body []command, depth int) error {
	name, arguments := words[0], words[1:]
	switch name {
	case "set", "export":
		for _, a := range arguments {
			if key, value, ok := strings.Cut(a, "="); ok {
				g.set(key, value)
			}
		}
	case "unset":
		for _, a := range arguments {
			delete(g.variables, a)
		}
	case "menuentry", "submenu":
		return g.entry(name == "submenu", arguments, body, depth)
	case "source", "configfile", ".":
		if len(arguments) > 0 {
			return g.file(locate("", arguments[len(arguments)-1]), depth-1)
		}
	case "linux", "linux16", "linuxefi":
		if g.current != nil && len(arguments) > 0 {
			g.current.Kernel, g.current.Options = locate("", arguments[0]), joinWords(arguments[1:])
		}
	case "initrd", "initrd16", "initrdefi":
		if g.current != nil {
			g.current.Initrds = nil
			for _, a := range arguments {
				if !strings.HasPrefix(a, "-") && !strings.HasPrefix(a, "newc:") {
					g.current.Initrds = append(g.current.Initrds, locate("", a))
				}
			}
		}
	default:
		if key, value, ok := strings.Cut(name, "="); ok && len(arguments) == 0 {
			g.set(key, value)
		}
	}
	return nil
}

// joinWords makes options of words: one with a space in it is quoted for the kernel.
func joinWords(words []string) string {
	words = slices.Clone(words)
	for k, w := range words {
		if strings.ContainsAny(w, " \t") && !strings.Contains(w, `"`) {
			words[k] = `"` + w + `"`
		}
	}
	text := strings.Join(words, " ")
	return text[:min(len(text), maxText)]
}

func (g *grub) set(key, value string) {
	if len(value) <= maxText && len(g.variables) < maxEntries {
		g.variables[key] = value
	}
}

// entry reads an entry or a submenu: its title, options of which --id matters, and the commands that it runs. What they set is theirs.
func (g *grub) entry(submenu bool, arguments []string, body []command, depth int) error {
	if len(g.entries) >= maxEntries || g.current != nil {
		return nil
	}
	i := item{}
	for k := 0; k < len(arguments); k++ {
		switch a := arguments[k]; {
		case a == "--id" && k+1 < len(arguments):
			k++
			i.id = arguments[k]
		case strings.HasPrefix(a, "--id="):
			i.id = a[len("--id="):]
		case strings.HasPrefix(a, "--") && !strings.Contains(a, "=") && a != "--unrestricted":
			k++ // its value
		case strings.HasPrefix(a, "-"):
		case i.Title == "":
			i.Title = a
		}
	}
	saved, entries := maps.Clone(g.variables), g.entries
	g.entries = nil
	if submenu {
		i.items = []item{}
	} else {
		g.current = &i.Entry
	}
	err := g.run(body, depth-1)
	if submenu {
		i.items = append(i.items, g.entries...)
	}
	g.current, g.variables = nil, saved
	g.entries = append(entries, i)
	return err
}
