// Package repack makes an initramfs for another kernel out of the running one: its programs, firmware and settings as they are, and in place of
// its modules those of the other kernel.
//
// The archive is a newc cpio (the kernel's Documentation/driver-api/early-userspace/buffer-format.rst), not compressed: every kernel unpacks
// that, in less time than compressing alone would take here, and an early loader of microcode finds its files in it. What is in the root folder
// is read once, while the archive is written, and not held in memory.
package repack

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A Spec says what goes into an image.
type Spec struct {
	// Root is the path of the running initramfs's root folder. Only what lies on the root's own device is taken; where something is mounted,
	// an empty folder stands for it.
	Root string
	// Omit says which names, as in "etc/hosts", are left out of what Root has, with all that is below them. Nil is Own of no release.
	Omit func(name string) bool
	// Trees are put in as well, in place of what has the same name in Root or an earlier one. They may hold files, folders and, if they are
	// fs.ReadLinkFS, symbolic links, all of which will belong to root.
	Trees []Tree
}

// A Tree is put into an image below a folder; an empty one is the root.
type Tree struct {
	At string
	FS fs.FS
}

// Own is the Omit of an initramfs of ours: what the running boot has made in it, which is more than what is always there, and the modules of the
// kernel with this release.
func Own(release string, made ...string) func(name string) bool {
	omitted := map[string]bool{
		"etc/resolv.conf": true, // the resolvers of the running boot's leases
		"tmp":             true, // all but the folder itself, which is one of the skeleton
		"var/log":         true,
	}
	if release != "" {
		omitted[path.Join("lib/modules", release)] = true
		omitted[path.Join("usr/lib/modules", release)] = true
	}
	for _, name := range made {
		omitted[name] = true
	}
	return func(name string) bool { return omitted[name] }
}

// An Image is an archive that is yet to be written.
type Image struct {
	entries []entry
	size    int64
}

// entry is a file of any kind in the archive.
type entry struct {
	name         string
	mode         uint32 // with its kind, as in stat(2)
	uid, gid     uint32
	modified     int64 // in seconds since 1970
	links        uint32
	inode        uint32 // in the archive
	from         uint64 // the inode number where it comes from, by which several links of one file are known
	major, minor uint32 // of a device node
	size         int64  // of content in bytes
	open         func() (io.ReadCloser, error)
}

// skeleton is what a kernel or process 1 needs at its start, and what is hidden below the running system's mounts: without dev/console the
// kernel gives process 1 no standard files.
func skeleton() []entry {
	var all []entry
	for _, name := range []string{"bin", "dev", "etc", "lib/modules", "proc", "run", "sys", "sysroot", "usr", "var/log"} {
		all = append(all, folder(name))
	}
	const device = unix.S_IFCHR
	return append(all,
		entry{name: "tmp", mode: unix.S_IFDIR | 0o1777, links: 2},
		entry{name: "dev/console", mode: device | 0o600, links: 1, major: 5, minor: 1},
		entry{name: "dev/kmsg", mode: device | 0o644, links: 1, major: 1, minor: 11},
		entry{name: "dev/null", mode: device | 0o666, links: 1, major: 1, minor: 3},
	)
}

func folder(name string) entry { return entry{name: name, mode: unix.S_IFDIR | 0o755, links: 2} }

// Open looks at everything that goes into the image, and reads no content yet.
func Open(ctx context.Context, s Spec) (*Image, error) {
	if s.Omit == nil {
		s.Omit = Own("")
	}
	all := map[string]entry{}
	add := func(e entry) { all[e.name] = e }
	if err := walkRoot(ctx, s.Root, s.Omit, add); err != nil {
		return nil, fmt.Errorf("repack the initramfs: %w", err)
	}
	for _, e := range skeleton() {
		if _, ok := all[e.name]; !ok {
			add(e)
		}
	}
	for _, t := range s.Trees {
		// A folder that is there stays what it is, be it with other permissions or a symbolic link to one.
		put := func(e entry) {
			if _, ok := all[e.name]; !ok || e.mode&unix.S_IFMT != unix.S_IFDIR {
				add(e)
			}
		}
		if err := walkTree(ctx, t, put); err != nil {
			return nil, fmt.Errorf("repack the initramfs: %w", err)
		}
	}
	for _, name := range slices.Collect(maps.Keys(all)) {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if _, ok := all[dir]; !ok {
				add(folder(dir))
			}
		}
	}
	i := &Image{}
	// The order of the names has each folder before what is in it, and each symbolic link before what is reached through it.
	for _, name := range slices.SortedFunc(maps.Keys(all), comparePaths) {
		i.entries = append(i.entries, all[name])
	}
	i.number()
	return i, i.measure()
}

// comparePaths orders names so that all that is in a folder comes right behind it: "a", "a/b", "a-b".
func comparePaths(a, b string) int {
	return strings.Compare(strings.ReplaceAll(a, "/", "\x00"), strings.ReplaceAll(b, "/", "\x00"))
}

// number gives each file an inode number of its own, those that are links of one file the same. The first of them has the content.
func (i *Image) number() {
	linked := map[uint64]uint32{} // old number to new
	next := uint32(0)
	for k := range i.entries {
		e := &i.entries[k]
		if e.links > 1 && e.mode&unix.S_IFMT == unix.S_IFREG {
			if number, ok := linked[e.from]; ok {
				e.inode, e.size, e.open = number, 0, nil
				continue
			}
			linked[e.from] = next + 1
		}
		next++
		e.inode = next
	}
}

// measure adds up the archive's size.
func (i *Image) measure() error {
	const sizeMax = 1<<32 - 1 // eight hexadecimal digits
	for _, e := range append(slices.Clip(i.entries), trailer()) {
		if e.size > sizeMax {
			return fmt.Errorf("repack the initramfs: %s has %d bytes, and the archive takes files of %d", e.name, e.size, sizeMax)
		}
		i.size += int64(len(e.header())) + e.size + padding(e.size)
	}
	return nil
}

// Size is that of the archive, in bytes.
func (i *Image) Size() int64 { return i.size }

// Write writes the archive. What has changed its size since Open is an error.
func (i *Image) Write(ctx context.Context, w io.Writer) error {
	for _, e := range append(slices.Clip(i.entries), trailer()) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := e.write(w); err != nil {
			return fmt.Errorf("repack %s: %w", e.name, err)
		}
	}
	return nil
}
