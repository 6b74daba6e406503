package bootmenu

import (
	"path"
	"slices"
	"strings"
)

// loaderMenus reads the entries of the Boot Loader Specification (type 1): a file each, with lines of a key and a value. loader.conf names the
// default by a pattern.
func loaderMenus(r *reader) ([]menu, error) {
	files := r.first("loader/entries/*.conf")
	if len(files) == 0 {
		return nil, nil
	}
	m := menu{file: "loader/entries"}
	slices.Reverse(files) // the newest version first
	for _, file := range files[:min(len(files), maxEntries)] {
		text, there, err := r.read(file)
		if err != nil {
			return nil, err
		}
		if there {
			m.entries = append(m.entries, loaderEntry(file, text))
		}
	}
	text, _, err := r.read("loader/loader.conf")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(text) {
		if key, pattern := keyValue(line); key == "default" {
			for k := range m.entries {
				name := m.entries[k].id
				if ok, err := path.Match(pattern, name); err == nil && ok || pattern == strings.TrimSuffix(name, ".conf") {
					m.fallback = name
					break
				}
			}
		}
	}
	return []menu{m}, nil
}

func loaderEntry(file, text string) item {
	i := item{id: path.Base(file), Entry: Entry{Title: path.Base(file)}}
	for line := range strings.Lines(text) {
		key, value := keyValue(line)
		switch key {
		case "title":
			i.Title = value
		case "linux":
			i.Kernel = locate("", value)
		case "initrd":
			for name := range strings.FieldsSeq(value) {
				i.Initrds = append(i.Initrds, locate("", name))
			}
		case "options":
			i.Options = strings.TrimSpace(i.Options + " " + value)
		}
	}
	return i
}

func keyValue(line string) (key, value string) {
	line = strings.TrimSpace(strings.ReplaceAll(line, "\t", " "))
	if strings.HasPrefix(line, "#") {
		return "", ""
	}
	key, value, _ = strings.Cut(line, " ")
	return key, strings.TrimSpace(value)
}
