// Package depmod makes the index files of kernel modules out of the modules themselves, as depmod(8) does when a kernel
// is installed: for modules that come out of a package, or from several places.
//
// What it knows is in the section .modinfo of each module, NUL-terminated records of the form key=value: "depends" names
// the modules whose symbols this one uses (the kernel's scripts/mod/modpost.c), "alias" what it serves, "softdep" and
// "weakdep" what else should be there.
package depmod

import (
	"bytes"
	"cmp"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/liveboot/liveboot/pkg/fetch/decompress"
	kmodule "github.com/liveboot/liveboot/pkg/kernel/module"
)

// moduleMax bounds a module, in bytes.
const moduleMax = 1 << 30

// An Index is the text of the index files.
type Index struct {
	Dep, Alias, Softdep, Weakdep []byte

	// Incomplete is the modules left out because one that they depend on is nowhere: name to name.
	Incomplete map[string]string
}

// module is what one module says.
type module struct {
	name     string
	file     string
	depends  []string
	aliases  []string
	softdeps []string
	weakdeps []string
	order    int // in modules.order
}

// Make reads the modules below a folder lib/modules/<version>: files with ".ko" in their name, compressed or not. Of
// several of one name that counts which depmod prefers: updates before others, these before the kernel's own.
func Make(fsys fs.FS) (*Index, error) {
	files, err := find(fsys)
	if err != nil {
		return nil, fmt.Errorf("index modules: %w", err)
	}
	order, err := readOrder(fsys)
	if err != nil {
		return nil, fmt.Errorf("index modules: %w", err)
	}
	modules := map[string]*module{}
	for _, file := range files {
		m := &module{name: kmodule.Name(file), file: file, order: len(order)}
		if n, ok := order[plainName(file)]; ok {
			m.order = n
		}
		if other := modules[m.name]; other == nil || rank(file) < rank(other.file) {
			modules[m.name] = m
		}
	}
	for _, m := range modules {
		if err := m.read(fsys); err != nil {
			return nil, fmt.Errorf("index module %s: %w", m.file, err)
		}
	}
	return write(modules), nil
}

func find(fsys fs.FS) (files []string, err error) {
	err = fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.IsDir() && path.Ext(plainName(name)) == ".ko" {
			files = append(files, name)
		}
		return nil
	})
	return files, err
}

// plainName is a file's name without what a compression put behind ".ko".
func plainName(file string) string {
	if ext := path.Ext(file); slices.Contains([]string{".gz", ".xz", ".zst"}, ext) {
		return strings.TrimSuffix(file, ext)
	}
	return file
}

// rank is which of two modules of a name counts, the lower one: the usual order of depmod.d(5) on distributions.
func rank(file string) int {
	switch top, _, _ := strings.Cut(file, "/"); top {
	case "updates":
		return 0
	case "extra":
		return 1
	case "kernel":
		return 3
	case "weak-updates":
		return 4
	}
	return 2
}

// readOrder reads modules.order, in which the kernel's build says which of two modules that serve the same comes first.
func readOrder(fsys fs.FS) (map[string]int, error) {
	b, err := fs.ReadFile(fsys, "modules.order")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	order := map[string]int{}
	for line := range strings.Lines(string(b)) {
		order[strings.TrimSpace(line)] = len(order)
	}
	return order, nil
}

// read fills in what the module says.
func (m *module) read(fsys fs.FS) error {
	f, err := fsys.Open(m.file)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := modinfo(f)
	if err != nil {
		return err
	}
	for record := range bytes.SplitSeq(info, []byte{0}) {
		key, value, ok := strings.Cut(string(record), "=")
		// A line break would begin a record of its own in the index.
		if !ok || strings.ContainsAny(value, "\n\r") {
			continue
		}
		switch key {
		case "depends":
			for name := range strings.SplitSeq(value, ",") {
				if name = strings.TrimSpace(name); name != "" {
					m.depends = append(m.depends, kmodule.Name(name))
				}
			}
		case "alias":
			m.aliases = append(m.aliases, value)
		case "softdep":
			m.softdeps = append(m.softdeps, value)
		case "weakdep":
			m.weakdeps = append(m.weakdeps, value)
		}
	}
	return nil
}

// modinfo returns the section of a module. Of one that is not compressed only that is read.
func modinfo(f fs.File) ([]byte, error) {
	r, ok := f.(io.ReaderAt)
	var magic [4]byte
	if ok {
		if _, err := r.ReadAt(magic[:], 0); err != nil {
			return nil, err
		}
	}
	if string(magic[:]) != elf.ELFMAG {
		b, err := unpacked(f)
		if err != nil {
			return nil, err
		}
		r = bytes.NewReader(b)
	}
	e, err := elf.NewFile(r)
	if err != nil {
		return nil, err
	}
	s := e.Section(".modinfo")
	if s == nil {
		return nil, errors.New("no section .modinfo")
	}
	return s.Data()
}

// unpacked reads a module that may be compressed.
func unpacked(f fs.File) ([]byte, error) {
	z, err := decompress.New(f, decompress.Options{Workers: 1})
	if err != nil {
		return nil, err
	}
	defer z.Close()
	return io.ReadAll(io.LimitReader(z, moduleMax))
}

// write makes the texts. Of two modules that serve the same, the one first in modules.order comes first.
func write(modules map[string]*module) *Index {
	x := &Index{Incomplete: map[string]string{}}
	var sorted []*module
	for _, m := range modules {
		sorted = append(sorted, m)
	}
	slices.SortFunc(sorted, func(a, b *module) int { return cmp.Or(cmp.Compare(a.order, b.order), strings.Compare(a.file, b.file)) })
	var dep, alias, softdep, weakdep bytes.Buffer
	for _, m := range sorted {
		deps, missing := closure(modules, m)
		if missing != "" {
			x.Incomplete[m.name] = missing
			continue
		}
		dep.WriteString(m.file + ":")
		for _, d := range deps {
			dep.WriteString(" " + d.file)
		}
		dep.WriteByte('\n')
		for _, pattern := range m.aliases {
			fmt.Fprintf(&alias, "alias %s %s\n", pattern, m.name)
		}
		for _, words := range m.softdeps {
			fmt.Fprintf(&softdep, "softdep %s %s\n", m.name, words)
		}
		for _, words := range m.weakdeps {
			fmt.Fprintf(&weakdep, "weakdep %s %s\n", m.name, words)
		}
	}
	x.Dep, x.Alias, x.Softdep, x.Weakdep = dep.Bytes(), alias.Bytes(), softdep.Bytes(), weakdep.Bytes()
	return x
}

// closure is all that a module depends on, each before what it depends on itself: the last one is to be loaded first. It
// returns the name of one that is nowhere, if there is any.
func closure(modules map[string]*module, m *module) (deps []*module, missing string) {
	seen := map[string]bool{m.name: true}
	var visit func(m *module)
	visit = func(m *module) {
		for _, name := range m.depends {
			if seen[name] {
				continue
			}
			seen[name] = true
			d := modules[name]
			if d == nil {
				missing = name
				continue
			}
			visit(d)
			deps = append(deps, d)
		}
	}
	visit(m)
	slices.Reverse(deps)
	return deps, missing
}
