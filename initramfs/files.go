package initramfs

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/u-root/mkuimage/cpio"
)

// File is a file of the site that goes into the image: a CA certificate in
// /etc/ssl/certs, kernel options in /etc/cmdline.d/*.conf, a key.
type File struct {
	// Source is a file or a folder on the building machine; of a folder,
	// everything in it. Symbolic links are followed.
	Source string

	// Destination is its absolute path in the image.
	Destination string
}

// ParseFile reads "source:destination".
func ParseFile(s string) (File, error) {
	source, destination, ok := strings.Cut(s, ":")
	if !ok || source == "" || !path.IsAbs(destination) {
		return File{}, fmt.Errorf("file %q: want source:/destination/in/the/image", s)
	}
	return File{Source: source, Destination: destination}, nil
}

// siteSegment reads the files of the site. They keep their permissions and
// belong to root.
func siteSegment(files []File) (*archive, []string, error) {
	a := newArchive()
	var names []string
	for _, f := range files {
		destination := cpio.Normalize(f.Destination)
		if !path.IsAbs(f.Destination) || destination == "." {
			return nil, nil, fmt.Errorf("add file %s: destination %q in the image is not the absolute path of a file", f.Source, f.Destination)
		}
		if err := addTree(a, f.Source, destination, &names); err != nil {
			return nil, nil, fmt.Errorf("add file %s: %w", f.Source, err)
		}
	}
	return a, names, nil
}

func addTree(a *archive, source, destination string, names *[]string) error {
	info, err := os.Stat(source)
	if err != nil {
		return err
	}
	mode := uint64(info.Mode().Perm())
	switch {
	case info.Mode().IsRegular():
		b, err := os.ReadFile(source)
		if err != nil {
			return err
		}
		if _, ok := a.records[destination]; ok {
			return fmt.Errorf("/%s is in the image twice", destination)
		}
		a.file(destination, b, mode)
		*names = append(*names, "/"+destination)
		return nil
	case info.IsDir():
		a.add(cpio.Directory(destination, mode))
		entries, err := os.ReadDir(source)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := addTree(a, filepath.Join(source, e.Name()), path.Join(destination, e.Name()), names); err != nil {
				return err
			}
		}
		return nil
	}
	return &fs.PathError{Op: "read", Path: source, Err: fmt.Errorf("%s is neither a file nor a folder", info.Mode().Type())}
}
