// Package initrd reads initrds: cpio archives behind each other, each compressed in its own way or not at all. They are read once, from
// their beginning to their end, and nothing of them is kept but what the caller keeps.
package initrd

import (
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/liveboot/liveboot/pkg/fstree"
)

// A File is an entry of an archive.
type File struct {
	Name     string // without "./" or "/" in front
	Mode     fs.FileMode
	Modified time.Time
	Size     int64     // in bytes, of Content
	Content  io.Reader // what is not read is skipped; of a symbolic link its target

	id    fileID
	links int64 // how many names it has; 0 where that is not known
}

// fileID tells files with several names apart.
type fileID struct {
	archive             *archiveID
	major, minor, inode int64
}

// archiveID tells archives apart, by its address; it has a size so that each has its own.
type archiveID struct{ _ byte }

// Into returns a function that puts the files whose name keep accepts into a tree.
func Into(m *fstree.Memory, keep func(name string) bool) func(File) error {
	// In a cpio archive the content of a file with several names comes with one of them, the last as a rule.
	names, contents := map[fileID][]string{}, map[fileID][]byte{}
	return func(f File) error {
		if f.Mode.Type()&^(fs.ModeDir|fs.ModeSymlink) != 0 || !keep(f.Name) {
			return nil
		}
		content, err := readAll(f)
		if err != nil {
			return fmt.Errorf("read %s: %w", f.Name, err)
		}
		all := []string{f.Name}
		if f.Mode.IsRegular() && f.links > 1 {
			names[f.id] = append(names[f.id], f.Name)
			if f.Size > 0 {
				all, contents[f.id] = names[f.id], content
			}
			content = contents[f.id]
		}
		for _, name := range all {
			if err := m.Add(name, f.Mode, f.Modified, content); err != nil {
				return err
			}
		}
		return nil
	}
}

// atOnce is how many bytes are allocated because an archive says that a file has them; more are when they come.
const atOnce = 16 << 20

func readAll(f File) ([]byte, error) {
	if f.Size == 0 {
		return nil, nil
	}
	if f.Size > maxFile {
		return nil, fmt.Errorf("it has %d bytes", f.Size)
	}
	if f.Size <= atOnce {
		b := make([]byte, f.Size)
		_, err := io.ReadFull(f.Content, b)
		return b, err
	}
	b, err := io.ReadAll(io.LimitReader(f.Content, f.Size))
	if err == nil && int64(len(b)) < f.Size {
		err = io.ErrUnexpectedEOF
	}
	return b, err
}
