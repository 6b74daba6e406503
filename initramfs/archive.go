package initramfs

import (
	"bytes"
	"fmt"
	"maps"
	"path"
	"slices"

	"github.com/u-root/mkuimage/cpio"
)

// archive collects what goes into one segment and writes it as a newc cpio
// (the kernel's Documentation/driver-api/early-userspace/buffer-format.rst).
// Nothing of the building machine gets into it: all belongs to root, times
// are 0, inode numbers are counted, and the order is that of the names.
type archive struct {
	records map[string]cpio.Record
}

func newArchive() *archive {
	return &archive{records: map[string]cpio.Record{}}
}

// readArchive reads what bytes wrote.
func readArchive(raw []byte) (*archive, error) {
	a := newArchive()
	err := cpio.ForEachRecord(cpio.Newc.Reader(bytes.NewReader(raw)), func(r cpio.Record) error {
		a.add(r)
		return nil
	})
	return a, err
}

func (a *archive) add(r cpio.Record) {
	r.Name = cpio.Normalize(r.Name)
	a.records[r.Name] = r
}

func (a *archive) file(name string, content []byte, mode uint64) {
	a.add(cpio.StaticFile(name, string(content), mode))
}

// bytes writes the archive, with the folders above each entry.
func (a *archive) bytes() ([]byte, error) {
	for _, name := range slices.Sorted(maps.Keys(a.records)) {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if _, ok := a.records[dir]; !ok {
				a.add(cpio.Directory(dir, 0o755))
			}
		}
	}
	var b bytes.Buffer
	w := cpio.Newc.Writer(&b)
	for i, name := range slices.Sorted(maps.Keys(a.records)) {
		r := cpio.MakeReproducible(a.records[name])
		r.Ino = uint64(i + 1)
		if err := w.WriteRecord(r); err != nil {
			return nil, fmt.Errorf("write %s into the archive: %w", name, err)
		}
	}
	if err := cpio.WriteTrailer(w); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
