package bootmenu

import (
	"path"
	"strings"
)

// syslinuxFiles are where ISOLINUX and SYSLINUX look, and KIWI puts theirs (the syslinux wiki, "Config").
func syslinuxFiles() []string {
	return []string{
		"boot/isolinux/isolinux.cfg", "isolinux/isolinux.cfg", "isolinux.cfg", "boot/syslinux/syslinux.cfg", "syslinux/syslinux.cfg", "syslinux.cfg",
		"boot/x86_64/loader/isolinux.cfg", "boot/i386/loader/isolinux.cfg", "boot/syslinux/isolinux.cfg", "syslinux/isolinux.cfg",
	}
}

// syslinux reads one menu. Keywords are in any case.
type syslinux struct {
	*reader
	folder  string
	menu    menu
	current *item
	options string // for every entry that has none of its own
	help    bool   // within TEXT HELP … ENDTEXT
}

func syslinuxMenus(r *reader) ([]menu, error) {
	var all []menu
	for _, file := range syslinuxFiles() {
		s := &syslinux{reader: r, folder: path.Dir(file), menu: menu{file: file}}
		there, err := s.file(file, maxDepth)
		if err != nil {
			return nil, err
		}
		if there {
			all = append(all, s.finish())
		}
	}
	return all, nil
}

func (s *syslinux) file(name string, depth int) (there bool, err error) {
	if depth == 0 {
		return false, nil
	}
	text, there, err := s.read(name)
	if err != nil || !there {
		return false, err
	}
	for line := range strings.Lines(text) {
		if err := s.line(strings.TrimSpace(line), depth); err != nil {
			return true, err
		}
	}
	return true, nil
}

func (s *syslinux) line(line string, depth int) error {
	key, value, _ := strings.Cut(strings.ReplaceAll(line, "\t", " "), " ")
	key, value = strings.ToLower(key), strings.TrimSpace(value)
	if s.help {
		s.help = key != "endtext"
		return nil
	}
	if key == "menu" {
		key, value, _ = strings.Cut(value, " ")
		key, value = "menu "+strings.ToLower(key), strings.TrimSpace(value)
	}
	switch key {
	case "include", "menu include":
		name, _, _ := strings.Cut(value, " ") // MENU INCLUDE may have a title behind
		_, err := s.file(locate(s.folder, name), depth-1)
		return err
	case "text":
		s.help = strings.EqualFold(value, "help")
	case "default":
		s.menu.fallback = value
	case "append":
		if s.current == nil {
			s.options = value
		}
	case "label":
		s.menu.entries = append(s.menu.entries, item{id: value, Entry: Entry{Title: value}})
		s.current = nil
		if len(s.menu.entries) <= maxEntries {
			s.current = &s.menu.entries[len(s.menu.entries)-1]
		} else {
			s.menu.entries = s.menu.entries[:maxEntries]
		}
	}
	if s.current != nil {
		s.entry(key, value)
	}
	return nil
}

// entry reads a line of an entry.
func (s *syslinux) entry(key, value string) {
	switch key {
	case "menu label":
		s.current.Title = strings.ReplaceAll(value, "^", "")
	case "menu default":
		s.current.chosen = true
	case "kernel", "linux":
		name, _, _ := strings.Cut(value, " ")
		// Modules, boot sectors and other loaders: not Linux.
		switch strings.ToLower(path.Ext(name)) {
		case ".c32", ".com", ".cbt", ".bin", ".bss", ".0", ".img":
			if key == "kernel" {
				return
			}
		}
		s.current.Kernel = locate(s.folder, name)
	case "initrd":
		s.current.Initrds = s.initrds(value)
	case "append":
		if value == "-" { // not the ones for all
			value = ""
		}
		s.current.Options, s.current.own = value, true
	}
}

// initrds reads a list with commas.
func (s *syslinux) initrds(list string) (all []string) {
	for name := range strings.SplitSeq(list, ",") {
		if name != "" {
			all = append(all, locate(s.folder, name))
		}
	}
	return all
}

// finish sets what is known at the end: options for all entries, and the initrds among the options.
func (s *syslinux) finish() menu {
	for k := range s.menu.entries {
		i := &s.menu.entries[k]
		if !i.own {
			i.Options = s.options
		}
		var words []string
		for word := range strings.FieldsSeq(i.Options) {
			if list, ok := strings.CutPrefix(word, "initrd="); ok {
				i.Initrds = s.initrds(list)
			} else {
				words = append(words, word)
			}
		}
		i.Options = strings.Join(words, " ")
	}
	return s.menu
}
