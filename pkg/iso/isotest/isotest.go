// Package isotest makes small ISO 9660 images for tests, without a program for it.
package isotest

import (
	"encoding/binary"
	"slices"
	"strings"
)

const sector = 2048

// Image returns an image with the volume identifier and the files given, by their paths. Folders and files stand with Rock Ridge names
// beside mangled plain ones, as mkisofs -R writes them.
func Image(volumeID string, files map[string]string) []byte {
	b := &builder{}
	b.grow(18 * sector) // system area, primary descriptor, terminator
	root := b.folder(tree(files))

	d := b.image[16*sector:]
	d[0] = 1
	copy(d[1:], "CD001\x01")
	copy(d[40:72], volumeID+strings.Repeat(" ", 32))
	both16(d[128:], sector)
	copy(d[156:190], record("\x00", "", root, true))
	t := b.image[17*sector:]
	t[0] = 255
	copy(t[1:], "CD001\x01")
	both32(d[80:], uint32(len(b.image)/sector))
	return b.image
}

// node is a folder (children) or a file (content).
type node struct {
	name     string
	children []*node
	content  string
	folder   bool
}

func tree(files map[string]string) *node {
	root := &node{folder: true}
	paths := make([]string, 0, len(files))
	for p := range files {
		paths = append(paths, p)
	}
	slices.Sort(paths)
	for _, p := range paths {
		at := root
		parts := strings.Split(p, "/")
		for _, name := range parts[:len(parts)-1] {
			i := slices.IndexFunc(at.children, func(n *node) bool { return n.name == name })
			if i < 0 {
				at.children = append(at.children, &node{name: name, folder: true})
				i = len(at.children) - 1
			}
			at = at.children[i]
		}
		at.children = append(at.children, &node{name: parts[len(parts)-1], content: files[p]})
	}
	return root
}

type place struct{ sector, size uint32 }

type builder struct{ image []byte }

// grow adds n bytes, rounded up to whole sectors, and returns where they are.
func (b *builder) grow(n int) place {
	p := place{uint32(len(b.image) / sector), uint32(n)}
	b.image = append(b.image, make([]byte, (n+sector-1)/sector*sector)...)
	return p
}

// folder writes what is in n, and n after it.
func (b *builder) folder(n *node) place {
	var records []byte
	add := func(r []byte) {
		if len(records)%sector+len(r) > sector {
			records = append(records, make([]byte, sector-len(records)%sector)...)
		}
		records = append(records, r...)
	}
	add(record("\x00", "", place{}, true))
	add(record("\x01", "", place{}, true))
	for i, child := range n.children {
		var at place
		if child.folder {
			at = b.folder(child)
		} else {
			at = b.grow(len(child.content))
			copy(b.image[at.sector*sector:], child.content)
		}
		mangled := string(rune('A'+i%26)) + string(rune('0'+i/26%10))
		if !child.folder {
			mangled += ".;1"
		}
		add(record(mangled, child.name, at, child.folder))
	}
	at := b.grow((len(records) + sector - 1) / sector * sector)
	copy(b.image[at.sector*sector:], records)
	return at
}

// record makes a directory record with, unless rockRidge is empty, an NM entry.
func record(name, rockRidge string, at place, folder bool) []byte {
	r := make([]byte, 33)
	both32(r[2:], at.sector)
	both32(r[10:], at.size)
	if folder {
		r[25] |= 2
	}
	r[32] = byte(len(name))
	r = append(r, name...)
	if len(r)%2 == 1 {
		r = append(r, 0)
	}
	if rockRidge != "" {
		r = append(r, 'N', 'M', byte(5+len(rockRidge)), 1, 0)
		r = append(r, rockRidge...)
		if len(r)%2 == 1 {
			r = append(r, 0)
		}
	}
	r[0] = byte(len(r))
	return r
}

func both16(b []byte, v uint16) {
	binary.LittleEndian.PutUint16(b, v)
	binary.BigEndian.PutUint16(b[2:], v)
}

func both32(b []byte, v uint32) {
	binary.LittleEndian.PutUint32(b, v)
	binary.BigEndian.PutUint32(b[4:], v)
}
