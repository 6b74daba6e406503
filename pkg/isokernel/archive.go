package isokernel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"strings"

	"github.com/liveboot/liveboot/pkg/fstree"
	"github.com/liveboot/liveboot/pkg/initrd"
	"github.com/liveboot/liveboot/pkg/kernel/memory"
	"github.com/liveboot/liveboot/pkg/kernel/module"
	"github.com/liveboot/liveboot/pkg/kernelmodules"
)

const (
	// initrdMax bounds the initrds, in bytes: they are kept in memory. The largest that are in use have 150 MiB.
	initrdMax = 512 << 20
	// readSize is how much of them is read at a time, in bytes.
	readSize = 4 << 20
	// keptMax bounds what is kept of what they hold, in bytes: all modules of a kernel have 400 MiB, those of a boot 20.
	keptMax = 256 << 20
)

// archive is an ISO's initrds as they are, and what was taken out of them.
type archive struct {
	release string
	parts   [][]byte // outside of Go's heap
	unmap   []func() error
	names   []string // of the parts, for people

	paths map[string]string // of all modules by name, below the folder of the modules
	tree  *fstree.Memory    // that folder, with what was kept
	read  bool              // once
}

// readArchive reads the initrds of a kernel. What it returns is to be closed, even with an error.
func readArchive(ctx context.Context, k *Kernel, progress func(done, size int64)) (*archive, error) {
	a := &archive{release: k.Info.Release, paths: map[string]string{}, tree: fstree.NewMemory()}
	size, err := initrdsSize(k.Initrds)
	if err != nil {
		return a, err
	}
	var done int64
	for _, f := range k.Initrds {
		b, unmap, err := memory.Map(int(f.Size))
		if err != nil {
			return a, err
		}
		a.parts, a.names, a.unmap = append(a.parts, b), append(a.names, f.Path), append(a.unmap, unmap)
		for at := 0; at < len(b); {
			if ctx.Err() != nil {
				return a, context.Cause(ctx)
			}
			n, err := f.ReadAt(b[at:min(at+readSize, len(b))], int64(at))
			if at += n; n == 0 || err != nil && at < len(b) {
				if err == nil || errors.Is(err, io.EOF) {
					err = io.ErrUnexpectedEOF
				}
				return a, fmt.Errorf("read %s: %w", f.Path, err)
			}
			if done += int64(n); progress != nil {
				progress(done, size)
			}
		}
	}
	return a, nil
}

// initrdsSize is how many bytes the initrds have together. More than initrdMax, whatever a damaged file system says, is an error.
func initrdsSize(initrds []File) (size int64, err error) {
	for _, f := range initrds {
		if f.Size < 0 || f.Size > initrdMax-size {
			return 0, fmt.Errorf("the initrd %s has %d bytes, and initrds may have no more than %d MiB together", f.Path, f.Size, initrdMax>>20)
		}
		size += f.Size
	}
	return size, nil
}

// close gives the memory back.
func (a *archive) close() error {
	var errs []error
	for _, unmap := range a.unmap {
		errs = append(errs, unmap())
	}
	a.parts, a.unmap = nil, nil
	return errors.Join(errs...)
}

// unpack reads the initrds, notes which modules there are, and keeps those of some names, and the index.
func (a *archive) unpack(ctx context.Context, names map[string]bool) error {
	left := int64(keptMax)
	into := initrd.Into(a.tree, func(string) bool { return true })
	for k, part := range a.parts {
		err := initrd.Read(part, kernelmodules.Members(func(f initrd.File) error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			file, ok := a.within(f)
			if !ok {
				return nil
			}
			name := module.Name(file)
			if path.Dir(file) == "." && strings.HasPrefix(file, "modules.") {
				if a.read { // the first pass has them
					return nil
				}
			} else if isModule(file) && f.Size > 0 { // without content it is a further name of a file, which comes with another one
				a.paths[name] = file
				if !names[name] {
					return nil
				}
			} else {
				return nil
			}
			if left -= f.Size; left < 0 {
				return fmt.Errorf("more than %d bytes of modules are wanted", keptMax)
			}
			f.Name = file
			return into(f)
		}))
		if err != nil {
			return fmt.Errorf("%s: %w", a.names[k], err)
		}
	}
	a.read = true
	return nil
}

// within returns a file's path below the folder of the modules.
func (a *archive) within(f initrd.File) (file string, ok bool) {
	if !f.Mode.IsRegular() {
		return "", false
	}
	return strings.CutPrefix(strings.TrimPrefix(f.Name, "usr/"), path.Join("lib/modules", a.release)+"/")
}

// isModule says whether a file is a module, compressed or not.
func isModule(file string) bool {
	return path.Ext(strings.TrimSuffix(file, kernelmodules.Compression(file))) == ".ko"
}

// index is that of the modules which the initrds have, with what the kernel has built in; an empty one if they have none.
func (a *archive) index() (*kernelmodules.Index, error) {
	x, err := kernelmodules.ReadIndex(a.files())
	if errors.Is(err, fs.ErrNotExist) {
		return &kernelmodules.Index{}, nil
	}
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(x.Paths, func(name, _ string) bool { return !a.holds(name) })
	return x, nil
}

// files is the folder of the modules, with what was kept.
func (a *archive) files() fs.FS { return fstree.New(a.tree) }

// holds says whether a module is in the initrds.
func (a *archive) holds(name string) bool { return a.paths[name] != "" }

// kept says whether a module was kept.
func (a *archive) kept(name string) bool {
	_, err := fs.Stat(a.files(), a.paths[name])
	return err == nil
}
