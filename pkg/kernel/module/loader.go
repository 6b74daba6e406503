package module

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// ErrNotFound says that neither the folder nor the kernel has a module of the asked name or alias.
var ErrNotFound = errors.New("no such module in the image or the kernel")

// An Inserter puts one module into the kernel. System is the kernel's.
type Inserter interface {
	// Insert loads the module in file with parameters as "name=value name=value". A module that is there already is
	// no error.
	Insert(file, parameters string) error
}

// Options change how a Loader loads.
type Options struct {
	// Blacklist names modules that are not loaded for a device or as somebody's soft dependency. Like modprobe's, it does not
	// hold back a module that another one needs, nor one that is asked for by its own name.
	Blacklist []string
	// Parameters holds what a module is loaded with, by its name.
	Parameters map[string]string
}

// A Loader loads modules in the order of their dependencies, each once. It may be used by several goroutines at a time.
type Loader struct {
	index     *Index
	folder    string
	inserter  Inserter
	blacklist map[string]bool
	options   map[string]string

	mu   sync.Mutex
	done map[string]*load
}

// load is one module's way into the kernel, shared by all who ask for it.
type load struct {
	once sync.Once
	err  error
}

// Open returns a Loader for the modules of a kernel version (the release of uname(2)) below root, the path of the root folder.
func Open(root, version string, inserter Inserter, o Options) (*Loader, error) {
	folder := path.Join("lib/modules", version)
	index, err := ReadIndex(os.DirFS(root), folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the image holds no modules of the running kernel %s (build the pair of kernel and initrd together): %w", version, err)
	}
	if err != nil {
		return nil, err
	}
	l := &Loader{
		index:     index,
		folder:    filepath.Join(root, folder),
		inserter:  inserter,
		blacklist: make(map[string]bool),
		options:   make(map[string]string),
		done:      make(map[string]*load),
	}
	for _, name := range o.Blacklist {
		l.blacklist[Name(name)] = true
	}
	for name, parameters := range o.Parameters {
		l.options[Name(name)] = parameters
	}
	return l, nil
}

// Load loads what name stands for: a module, or an alias such as a device's modalias or "fs-ext4". It returns the names of the
// modules meant, without those the blacklist holds back. It is no error if the kernel has it built in. If nothing
// is known under that name the error wraps ErrNotFound.
func (l *Loader) Load(name string) ([]string, error) {
	names := l.index.Resolve(name)
	if len(names) == 0 {
		return nil, fmt.Errorf("load %s: %w", name, ErrNotFound)
	}
	wanted := l.allowed(name, names)
	var errs []error
	for _, n := range wanted {
		errs = append(errs, l.load(n, nil))
	}
	return wanted, errors.Join(errs...)
}

// Names returns the modules that Load would load for name, those they need left out. What is built in is none.
func (l *Loader) Names(name string) []string {
	names := l.allowed(name, l.index.Resolve(name))
	return slices.DeleteFunc(names, func(n string) bool { return !l.index.Has(n) })
}

// allowed takes out of names, which are what name stands for, those that the blacklist holds back.
func (l *Loader) allowed(name string, names []string) []string {
	return slices.DeleteFunc(names, func(n string) bool { return l.blacklist[n] && n != Name(name) })
}

// LoadWith loads the module of that name with parameters ("a=1 b=2"). One that is built in or was loaded before does not see them.
func (l *Loader) LoadWith(name, parameters string) error {
	name = Name(name)
	if l.index.Builtin(name) {
		return nil
	}
	if !l.index.Has(name) {
		return fmt.Errorf("load %s: %w", name, ErrNotFound)
	}
	l.mu.Lock()
	l.options[name] = strings.TrimSpace(l.options[name] + " " + parameters)
	l.mu.Unlock()
	return l.load(name, nil)
}

// load inserts one module after what it needs. path holds the soft dependencies being followed, which unlike
// modules.dep may run in circles.
func (l *Loader) load(name string, path []string) error {
	e, ok := l.index.files[name]
	if !ok {
		return nil // built in
	}
	for _, p := range path {
		if p == name {
			return nil
		}
	}
	path = append(path, name)
	soft := l.index.soft[name]
	l.loadSoft(soft.pre, path)

	// modules.dep lists all that is needed, indirectly too, the nearest first: the last one needs none of the others.
	for i := len(e.deps) - 1; i >= 0; i-- {
		dep := Name(e.deps[i])
		l.loadSoft(l.index.soft[dep].pre, append(path, dep))
		if err := l.insert(dep, e.deps[i]); err != nil {
			return fmt.Errorf("%s needs %s: %w", name, dep, err)
		}
	}
	if err := l.insert(name, e.file); err != nil {
		return err
	}
	l.loadSoft(soft.post, path)
	return nil
}

// loadSoft loads what would be good to have; that it fails or does not exist is no error.
func (l *Loader) loadSoft(names, path []string) {
	for _, alias := range names {
		for _, name := range l.index.Resolve(alias) {
			if !l.blacklist[name] {
				_ = l.load(name, path)
			}
		}
	}
}

func (l *Loader) insert(name, file string) error {
	l.mu.Lock()
	state := l.done[name]
	if state == nil {
		state = new(load)
		l.done[name] = state
	}
	parameters := l.options[name]
	l.mu.Unlock()
	state.once.Do(func() { state.err = l.inserter.Insert(filepath.Join(l.folder, file), parameters) })
	return state.err
}
