package isokernel

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/liveboot/liveboot/pkg/fstree"
	"github.com/liveboot/liveboot/pkg/kernel/module"
	"github.com/liveboot/liveboot/pkg/kernelmodules"
)

// A Wish is what our initramfs wants to have under the ISO's kernel. A name is that of a module ("loop"), or an alias ("fs-ext4", a
// device's modalias). What the kernel has built in is had.
type Wish struct {
	// Needed is what the boot cannot do without.
	Needed []Need
	// Names is what may be of use: modaliases of the machine's devices, file systems that the image may have.
	Names []string
}

// A Need is something without which the boot cannot go on under the other kernel.
type Need struct {
	// Names are ways to name it, of which one will do: the driver in use, the device's modalias.
	Names []string
	// Why says to people what it is for: "the network card eth0".
	Why string
}

// A Source is where modules come from beside the ISO's own initrd.
type Source struct {
	// Running is the folder lib/modules/<version> of the running kernel in our initramfs. It tells beforehand which modules are likely to be
	// wanted, so that the initrd is unpacked once as a rule. nil if there is none.
	Running fs.FS
	// Root opens the root of the live system. It is called when the initrd has not all that is wanted.
	Root func() (fs.FS, error)
	// Progress is told how many bytes of the initrds were read, of how many. It may be nil.
	Progress func(done, size int64)
}

// Taken is the modules that were found.
type Taken struct {
	// Taken has the folder lib/modules/<release>: the modules, unpacked, with everything that they depend on, and their index.
	kernelmodules.Taken
	// LeftOut is the names in the wish that the running kernel has a module for, and the ISO's kernel has not: devices that may stay without a
	// driver.
	LeftOut []string
	// FromRoot is the modules that the initrd has not.
	FromRoot []string
	// Passes is how often the initrd was unpacked.
	Passes int
	// RootErr is why the root could not be read, where that was tried; nil if it could.
	RootErr error
}

// A MissingError says what the boot needs and the ISO's kernel has not.
type MissingError struct {
	// Release of the kernel.
	Release string
	Missing []Need
	// Err is why one of the places could not be read; nil if all could.
	Err error
}

// Error names what is missing.
func (e *MissingError) Error() string {
	var names []string
	for _, n := range e.Missing {
		names = append(names, fmt.Sprintf("%s (%s)", n.Names[0], n.Why))
	}
	text := fmt.Sprintf("kernel %s of the ISO has no driver for what this boot needs, neither built in nor in the ISO's initrd or root: %s", e.Release, strings.Join(names, ", "))
	if e.Err != nil {
		text += fmt.Sprintf("; not all could be read: %v", e.Err)
	}
	return text
}

// Unwrap returns the cause.
func (e *MissingError) Unwrap() error { return e.Err }

// Modules finds the modules of the ISO's kernel that the wish names, closed under what they depend on: in the ISO's initrds, which are read as a
// whole, kept as they are, and unpacked as a stream; what is not there, in the root of the live system. If a Need is to be had from nowhere,
// the error is a *MissingError.
func Modules(ctx context.Context, k *Kernel, s Source, w Wish) (*Taken, error) {
	j := &job{kernel: k, source: s, wish: w, taken: &Taken{}}
	err := j.run(ctx)
	var missing *MissingError
	if err != nil && !errors.As(err, &missing) {
		err = fmt.Errorf("find the modules of the ISO's kernel %s: %w", k.Info.Release, err)
	}
	if err != nil {
		return nil, err
	}
	return j.taken, nil
}

// job is the search for modules.
type job struct {
	kernel *Kernel
	source Source
	wish   Wish
	taken  *Taken

	running *kernelmodules.Index // nil for none
	initrd  *archive
	root    fs.FS // the folder of the modules in the root; nil until it was opened
}

func (j *job) run(ctx context.Context) (err error) {
	if j.source.Running != nil {
		if j.running, err = kernelmodules.ReadIndex(j.source.Running); err != nil {
			return fmt.Errorf("of the running kernel: %w", err)
		}
	}
	j.initrd, err = readArchive(ctx, j.kernel, j.source.Progress)
	defer func() { err = errors.Join(err, j.initrd.close()) }()
	if err != nil {
		return err
	}
	if err := j.pass(ctx, j.likely()); err != nil {
		return err
	}
	set, err := j.choose(ctx)
	if err != nil {
		return err
	}
	folder, err := j.collect(ctx, set)
	if err != nil {
		return err
	}
	taken, err := kernelmodules.Take(ctx, folder, nil)
	if err != nil {
		return err
	}
	j.taken.Taken = *taken
	return nil
}

// pass unpacks the initrds once and keeps the modules of these names.
func (j *job) pass(ctx context.Context, names map[string]bool) error {
	j.taken.Passes++
	return j.initrd.unpack(ctx, names)
}

// names are all of the wish.
func (j *job) names() []string {
	all := slices.Clone(j.wish.Names)
	for _, n := range j.wish.Needed {
		all = append(all, n.Names...)
	}
	return all
}

// likely are the modules that would be wanted if the ISO's kernel had the same as the running one, and those of the wish that may be modules.
func (j *job) likely() map[string]bool {
	names := map[string]bool{}
	if j.running != nil {
		set, _ := resolve(j.running, j.names())
		for name := range set.Why {
			names[name] = true
		}
	}
	for _, name := range j.names() {
		names[module.Name(strings.TrimPrefix(name, "fs-"))] = true
	}
	return names
}

// resolve chooses the modules that names stand for, and all that they need. It returns which names stand for nothing.
func resolve(x *kernelmodules.Index, names []string) (set *kernelmodules.Set, unknown []string) {
	set = &kernelmodules.Set{Index: x, Why: map[string]string{}}
	for _, name := range names {
		if !has(x, name) {
			unknown = append(unknown, name)
			continue
		}
		modules, _ := x.Resolve(name)
		for _, m := range modules {
			if complete(x, m) {
				set.Why[m] = name
			}
		}
	}
	set.Close()
	return set, unknown
}

// has says whether a kernel has something of a name.
func has(x *kernelmodules.Index, name string) bool {
	modules, builtin := x.Resolve(name)
	return builtin || slices.ContainsFunc(modules, func(m string) bool { return complete(x, m) || isBuiltin(x, m) })
}

func isBuiltin(x *kernelmodules.Index, name string) bool { _, ok := x.Builtin[name]; return ok }

// complete says whether a module is there with all that it depends on.
func complete(x *kernelmodules.Index, name string) bool {
	return x.Paths[name] != "" && !slices.ContainsFunc(x.Deps[name], func(d string) bool { return x.Paths[d] == "" })
}

// choose decides which modules are wanted: by the index in the initrd, or, if something is not in there, by that of the root.
func (j *job) choose(ctx context.Context) (*kernelmodules.Set, error) {
	x, err := j.initrd.index()
	if err != nil {
		return nil, fmt.Errorf("in its initrd: %w", err)
	}
	set, unknown := resolve(x, j.names())
	if lacking, absent := j.lacking(x, unknown); len(lacking)+len(absent) > 0 {
		rootIndex, err := j.openRoot()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil {
			return nil, err
		}
		if rootIndex != nil {
			x = rootIndex
			set, unknown = resolve(x, j.names())
		}
	}
	lacking, absent := j.lacking(x, unknown)
	if len(lacking) > 0 {
		return nil, &MissingError{Release: j.kernel.Info.Release, Missing: lacking, Err: j.taken.RootErr}
	}
	j.taken.LeftOut = absent
	return set, nil
}

// lacking returns the needs that an index does not meet, and the other names that it does not know and the running kernel has a module for: most
// devices have a modalias, and few a driver.
func (j *job) lacking(x *kernelmodules.Index, unknown []string) (needs []Need, names []string) {
	for _, n := range j.wish.Needed {
		if !slices.ContainsFunc(n.Names, func(name string) bool { return has(x, name) }) {
			needs = append(needs, n)
		}
	}
	for _, name := range unknown {
		if !slices.Contains(j.wish.Names, name) || j.running == nil || !has(j.running, name) {
			continue
		}
		// A module that the other kernel has built in may keep its aliases to itself.
		modules, _ := j.running.Resolve(name)
		if !slices.ContainsFunc(modules, func(m string) bool { return isBuiltin(x, m) || x.Paths[m] != "" }) {
			names = append(names, name)
		}
	}
	return needs, names
}

// openRoot opens the folder of the modules in the root and reads its index; nil if it cannot be read, which RootErr then says.
func (j *job) openRoot() (*kernelmodules.Index, error) {
	if j.source.Root == nil {
		return nil, nil
	}
	root, err := j.source.Root()
	if err != nil {
		j.taken.RootErr = err
		return nil, nil
	}
	for _, folder := range moduleFolders() {
		j.root, err = fs.Sub(root, path.Join(folder, j.kernel.Info.Release))
		if err != nil {
			return nil, err
		}
		x, err := kernelmodules.ReadIndex(j.root)
		if err == nil {
			return x, nil
		}
		j.root, j.taken.RootErr = nil, fmt.Errorf("modules of kernel %s in the live root: %w", j.kernel.Info.Release, err)
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
	}
	return nil, nil
}

// collect makes a folder of the modules of the set, from where they are, with an index of them.
func (j *job) collect(ctx context.Context, set *kernelmodules.Set) (fs.FS, error) {
	again := map[string]bool{}
	for _, name := range set.Sorted() {
		if j.initrd.holds(name) && !j.initrd.kept(name) {
			again[name] = true
		}
	}
	if len(again) > 0 {
		if err := j.pass(ctx, again); err != nil {
			return nil, err
		}
	}
	folder := fstree.NewMemory()
	for _, name := range set.Sorted() {
		var err error
		if j.initrd.holds(name) {
			err = folder.AddFrom(set.ImagePath(name), j.initrd.files(), j.initrd.paths[name])
		} else {
			err = folder.AddFrom(set.ImagePath(name), j.root, set.Index.Paths[name])
			j.taken.FromRoot = append(j.taken.FromRoot, name)
		}
		if err != nil {
			return nil, err
		}
	}
	for name, text := range set.Files() {
		if err := folder.Add(name, 0o644, time.Time{}, []byte(text)); err != nil {
			return nil, err
		}
	}
	return fstree.New(folder), nil
}
