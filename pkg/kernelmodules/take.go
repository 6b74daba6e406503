package kernelmodules

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"

	"github.com/liveboot/liveboot/pkg/fstree"
)

// takenMax bounds what all modules together unpack to, in bytes, since they are kept in memory: every module of a distribution's kernel has
// 400 MiB, those of a boot 20, and a compressed one may claim a thousand times its size.
const takenMax = 512 << 20

// Taken is modules that were taken out of a folder.
type Taken struct {
	// FS is what belongs into lib/modules/<version> of an initramfs: the modules, unpacked and in memory, and their index.
	FS fs.FS
	// Modules is their names.
	Modules []string
	// Missing is what was wanted and is neither in the folder nor built into the kernel.
	Missing []string
	// Bytes is how many the modules have.
	Bytes int64
}

// Take takes modules, by name or by alias ("fs-ext4", a device's modalias), and all that they need, out of a folder lib/modules/<version>
// that has an index. No wanted ones at all means every one there is. The folder is read as far as it must be, and not needed afterwards.
// More than 512 MiB of modules, unpacked, are an error.
func Take(ctx context.Context, folder fs.FS, wanted []string) (*Taken, error) {
	x, err := ReadIndex(folder)
	if err != nil {
		return nil, fmt.Errorf("take modules: %w", err)
	}
	s := &Set{Index: x, Why: map[string]string{}}
	if wanted == nil {
		wanted = slices.Collect(maps.Keys(x.Paths))
	}
	t := &Taken{}
	for _, name := range wanted {
		modules, found := x.Resolve(name)
		for _, m := range modules {
			if x.Paths[m] != "" { // an alias may be of a module that somebody removed
				s.Why[m], found = "asked for", true
			}
		}
		if !found {
			t.Missing = append(t.Missing, name)
		}
	}
	s.Close()
	if err := t.fill(ctx, folder, s, takenMax); err != nil {
		return nil, fmt.Errorf("take modules: %w", err)
	}
	return t, nil
}

// fill reads the modules of the set, of at most so many bytes together.
func (t *Taken) fill(ctx context.Context, folder fs.FS, s *Set, most int64) error {
	tree := fstree.NewMemory()
	for _, name := range s.Sorted() {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		b, err := readModule(folder, s.Index.Paths[name], most-t.Bytes)
		if tooLarge := new(sizeError); errors.As(err, &tooLarge) {
			return fmt.Errorf("%s: with it the modules have more than %d bytes, unpacked; take fewer of them", name, most)
		}
		if err != nil {
			return err
		}
		if err := tree.Add(s.ImagePath(name), 0o644, time.Time{}, b); err != nil {
			return err
		}
		t.Modules, t.Bytes = append(t.Modules, name), t.Bytes+int64(len(b))
	}
	for name, text := range s.Files() {
		if err := tree.Add(name, 0o644, time.Time{}, []byte(text)); err != nil {
			return err
		}
	}
	t.FS = fstree.New(tree)
	return nil
}
