package repack

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// walkRoot adds what is in the root folder.
func walkRoot(ctx context.Context, root string, omit func(string) bool, add func(entry)) error {
	var device uint64
	return filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		name, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		var stat unix.Stat_t
		switch err := unix.Lstat(file, &stat); {
		case err == unix.ENOENT && name != ".": // a temporary file
			return skip(d)
		case err != nil:
			return &fs.PathError{Op: "lstat", Path: file, Err: err}
		}
		switch {
		case name == ".":
			device = stat.Dev
			return nil
		case omit(name):
			return skip(d)
		case stat.Dev != device && !d.IsDir(): // a mount on a file
			return nil
		case stat.Dev != device:
			add(folder(name))
			return fs.SkipDir
		}
		e, err := rootEntry(name, file, &stat)
		if err == nil {
			add(e)
		}
		return err
	})
}

// skip leaves a folder out with all that is in it.
func skip(d fs.DirEntry) error {
	if d.IsDir() {
		return fs.SkipDir
	}
	return nil
}

// rootEntry is a file of the root folder as it is.
func rootEntry(name, file string, stat *unix.Stat_t) (entry, error) {
	e := entry{
		name: name, mode: stat.Mode, uid: stat.Uid, gid: stat.Gid, modified: stat.Mtim.Sec, links: uint32(stat.Nlink), from: stat.Ino,
	}
	switch stat.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		e.size = stat.Size
		e.open = func() (io.ReadCloser, error) { return os.Open(file) }
	case unix.S_IFLNK:
		target, err := os.Readlink(file)
		if err != nil {
			return entry{}, err
		}
		e.setContent(target)
	case unix.S_IFCHR, unix.S_IFBLK:
		e.major, e.minor = unix.Major(stat.Rdev), unix.Minor(stat.Rdev)
	}
	return e, nil
}

// setContent makes a text the content.
func (e *entry) setContent(text string) {
	e.size = int64(len(text))
	e.open = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }
}

// walkTree adds what is in a tree.
func walkTree(ctx context.Context, t Tree, add func(entry)) error {
	return fs.WalkDir(t.FS, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		at := path.Join(t.At, name)
		if at == "." || at == "" {
			return nil
		}
		e, err := treeEntry(at, t.FS, name, d)
		if err == nil {
			add(e)
		}
		return err
	})
}

// treeEntry is a file of a tree.
func treeEntry(at string, fsys fs.FS, name string, d fs.DirEntry) (entry, error) {
	info, err := d.Info()
	if err != nil {
		return entry{}, err
	}
	e := entry{name: at, mode: uint32(info.Mode().Perm()), links: 1}
	switch d.Type() {
	case 0:
		e.mode |= unix.S_IFREG
		e.size = info.Size()
		e.open = func() (io.ReadCloser, error) { return fsys.Open(name) }
	case fs.ModeDir:
		e.mode |= unix.S_IFDIR
		e.links = 2
	case fs.ModeSymlink:
		target, err := fs.ReadLink(fsys, name)
		if err != nil {
			return entry{}, err
		}
		e.mode |= unix.S_IFLNK
		e.setContent(target)
	default:
		return entry{}, fmt.Errorf("%s: a %v cannot be put into an initramfs", name, d.Type())
	}
	return e, nil
}
