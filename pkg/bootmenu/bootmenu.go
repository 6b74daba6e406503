// Package bootmenu says what the boot menus of an ISO or a disk start: kernel, initrds and options of each entry.
//
// It reads the configuration of GRUB 2 (grub.cfg, loopback.cfg), of ISOLINUX and SYSLINUX, and the entries of the Boot Loader Specification
// (loader/entries/*.conf). Of GRUB's language it runs what menus are made of: variables, conditions, other files, entries in submenus;
// commands that it does not know do nothing. A menu is a program by somebody else: what it may use of time and memory is bounded.
package bootmenu

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

const (
	// maxFile bounds a configuration, in bytes; real ones have a few KiB.
	maxFile = 1 << 20
	// maxEntries bounds the entries of all menus, maxDepth submenus, conditions and files in each other.
	maxEntries = 256
	maxDepth   = 16
	// maxFiles bounds how many configurations are read.
	maxFiles = 64
	// maxText bounds a variable and an entry's options, in bytes; the kernel takes 4 KiB of the latter at most.
	maxText = 16 << 10
)

// ErrNone says that there is no boot menu, or none that starts a Linux kernel.
var ErrNone = errors.New("no boot menu with a Linux kernel")

// An Entry is one of a menu that starts a kernel.
type Entry struct {
	// File is the configuration that it is in.
	File string
	// Title is what a person sees.
	Title string
	// Kernel is the path of the kernel in the file system, without "/" in front.
	Kernel string
	// Initrds are the paths of what is loaded beside it, in this order.
	Initrds []string
	// Options is the kernel's command line.
	Options string
}

// menu is what one configuration says.
type menu struct {
	file    string
	entries []item
	// fallback is the entry that is started without a choice: its number, title or name, with ">" before that in a submenu; empty for the first.
	fallback string
}

// item is an entry, or a submenu of them.
type item struct {
	Entry
	id    string
	items []item
	// chosen is one that calls itself the default, own one that has options of its own.
	chosen, own bool
}

// Entries returns the entries of all menus in a file system that start a kernel, the default one of the first menu before all others, as they
// are on a machine of an architecture by Go's name: menus ask for it. Its error wraps ErrNone if there are none.
func Entries(fsys fs.FS, arch string) ([]Entry, error) {
	r := &reader{fsys: fsys, arch: arch, left: maxFiles}
	var all []Entry
	for _, find := range []func(*reader) ([]menu, error){grubMenus, syslinuxMenus, loaderMenus} {
		menus, err := find(r)
		if err != nil {
			return nil, fmt.Errorf("read the boot menu: %w", err)
		}
		for _, m := range menus {
			all = append(all, m.sorted()...)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("read the boot menu: %w", ErrNone)
	}
	return all[:min(len(all), maxEntries)], nil
}

// sorted returns the entries that start a kernel, the default first.
func (m menu) sorted() []Entry {
	var all []Entry
	chosen := pick(m.entries, m.fallback)
	var walk func([]item)
	walk = func(items []item) {
		for k := range items {
			i := &items[k]
			if i.Kernel != "" {
				i.File = m.file
				if i == chosen {
					all = slices.Insert(all, 0, i.Entry)
				} else {
					all = append(all, i.Entry)
				}
			}
			walk(i.items)
		}
	}
	walk(m.entries)
	return all
}

// pick finds the entry that a default means; the first one if it means none. In a submenu that is its first.
func pick(items []item, fallback string) *item {
	name, rest, _ := strings.Cut(fallback, ">")
	for k := range items {
		if fmt.Sprint(k) == name || name != "" && (items[k].id == name || items[k].Title == name) {
			if items[k].items != nil {
				return pick(items[k].items, rest)
			}
			return &items[k]
		}
	}
	for k := range items {
		if items[k].chosen {
			return &items[k]
		}
	}
	if len(items) > 0 && items[0].items != nil {
		return pick(items[0].items, "")
	}
	if len(items) > 0 {
		return &items[0]
	}
	return nil
}

// reader reads configurations.
type reader struct {
	fsys fs.FS
	arch string // of the machine, by Go's name
	left int    // how many files may still be read
}

// read returns the content of a file; none if it is not there.
func (r *reader) read(name string) (text string, there bool, err error) {
	if !fs.ValidPath(name) || r.left == 0 {
		return "", false, nil
	}
	f, err := r.fsys.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return "", false, err
	}
	r.left--
	b, err := io.ReadAll(io.LimitReader(f, maxFile))
	return string(b), true, err
}

// exists says whether there is a file or a folder.
func (r *reader) exists(name string) bool {
	if !fs.ValidPath(name) {
		return false
	}
	_, err := fs.Stat(r.fsys, name)
	return err == nil
}

// locate turns a path in a menu into one in the file system: "(device)/a/b" and "/a/b" begin at the root, others in a folder.
func locate(folder, name string) string {
	if strings.HasPrefix(name, "(") {
		_, name, _ = strings.Cut(name, ")")
		name = "/" + name
	}
	if !strings.HasPrefix(name, "/") {
		name = folder + "/" + name
	}
	return strings.TrimPrefix(path.Clean("/"+name), "/")
}

// first returns the names of all files that fit a pattern, sorted; none if it cannot be listed.
func (r *reader) first(pattern string) []string {
	names, err := fs.Glob(r.fsys, pattern)
	if err != nil {
		return nil
	}
	return names
}
