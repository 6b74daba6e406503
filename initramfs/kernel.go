package initramfs

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/liveboot/liveboot/pkg/kernelimage"
	"github.com/liveboot/liveboot/pkg/kernelmodules"
)

// kernel is a kernel image with what belongs to it.
type kernel struct {
	image    []byte
	info     kernelimage.Info // what the image says of itself
	release  string
	date     time.Time // zero if it has none
	file     string    // where the image was read, for people
	modules  fs.FS     // lib/modules/<release>, with the index files of depmod(8)
	from     string    // where the modules are read, for people
	firmware fs.FS     // lib/firmware beside them; empty where there is none

	config     []byte // the kernel's .config; nil if it was not beside it
	configFrom string // the name of the file that config was in

	source io.Closer // what modules and firmware are read from; nil for folders
}

// close lets go of what modules and firmware were read from.
func (k *kernel) close() error {
	if k.source == nil {
		return nil
	}
	return k.source.Close()
}

// findKernel reads the image and locates the modules, both as configured or,
// where that is empty, as installed below root.
func findKernel(root, image, modules string, a arch) (*kernel, error) {
	k := &kernel{file: image, from: modules}
	if image == "" {
		file, err := newestKernel(root, modules)
		if err != nil {
			return nil, err
		}
		k.file = file
	}
	if err := k.read(a); err != nil {
		return nil, err
	}
	if k.from == "" {
		k.from = installedModules(root, k.release)
	}
	if err := k.checkModules(); err != nil {
		return nil, err
	}
	var err error
	if k.modules, err = kernelmodules.Indexed(kernelmodules.Place{Name: k.from, FS: os.DirFS(k.from)}); err != nil {
		return nil, err
	}
	k.firmware = os.DirFS(filepath.Join(k.from, "../../firmware"))
	k.findConfig(filepath.Dir(k.file), filepath.Join(root, "boot"))
	return k, nil
}

func (k *kernel) read(a arch) error {
	image, err := os.ReadFile(k.file)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("read kernel: %w; run with sudo, or give a copy that you may read with -kernel (KERNEL=)", err)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("read kernel: %w; give one with -kernel (KERNEL=)", err)
	case err != nil:
		return fmt.Errorf("read kernel: %w", err)
	}
	return k.parse(image, a)
}

// parse takes an image, and what it says about itself.
func (k *kernel) parse(image []byte, a arch) error {
	info, err := kernelimage.InspectWith(bytes.NewReader(image), int64(len(image)), decompressed)
	if err != nil {
		return fmt.Errorf("read kernel %s: %w", k.file, err)
	}
	if info.Arch != a.goarch {
		return fmt.Errorf("read kernel %s: it is for %s, not for %s; build for that with -arch %s (ARCH=)", k.file, info.Arch, a.goarch, info.Arch)
	}
	k.image, k.info, k.release, k.date = image, info, info.Release, buildDate(info.Description)
	return nil
}

// findConfig looks for the configuration beside an image in /boot and in the
// folder of the modules (Fedora, openSUSE).
func (k *kernel) findConfig(folders ...string) {
	files := []string{filepath.Join(k.from, "config")}
	for _, folder := range folders {
		files = append(files, filepath.Join(folder, "config-"+k.release))
	}
	for _, file := range files {
		if b, err := os.ReadFile(file); err == nil {
			k.config, k.configFrom = b, filepath.Base(file)
			return
		}
	}
}

func (k *kernel) checkModules() error {
	if !hasModules(k.from) {
		err := &fs.PathError{Op: "stat", Path: filepath.Join(k.from, "modules.dep"), Err: fs.ErrNotExist}
		return fmt.Errorf("find modules of kernel %s: %w; install the package that has them (Debian: linux-image-%s, Ubuntu: linux-modules-%s), or give their folder with -modules (MODULES=)",
			k.release, err, k.release, k.release)
	}
	resolved, err := filepath.EvalSymlinks(k.from)
	if err != nil {
		return fmt.Errorf("find modules of kernel %s: %w", k.release, err)
	}
	for _, folder := range []string{k.from, resolved} {
		if filepath.Base(folder) == k.release {
			return nil
		}
	}
	return fmt.Errorf("modules folder %s: kernel %s is version %s, and the folder's name is another; give a kernel and modules that belong together (-kernel, -modules)", k.from, k.file, k.release)
}

// hasModules says whether a folder is a lib/modules/<version>: one that
// depmod(8) was run on, or one of which the index is yet to be made.
func hasModules(folder string) bool {
	for _, name := range []string{"modules.dep", "kernel"} {
		if _, err := os.Stat(filepath.Join(folder, name)); err == nil {
			return true
		}
	}
	return false
}

// moduleFolders are the places of lib/modules; a merged /usr has both.
func moduleFolders() []string { return []string{"lib/modules", "usr/lib/modules"} }

// installedModules is the folder of a release; where none exists, where it
// ought to be.
func installedModules(root, release string) string {
	for _, folder := range moduleFolders() {
		dir := filepath.Join(root, folder, release)
		if hasModules(dir) {
			return dir
		}
	}
	return filepath.Join(root, moduleFolders()[0], release)
}

// newestKernel looks for the image of the newest kernel in boot/ that has
// its modules installed. If modules is not empty, it must be the kernel of
// that folder.
func newestKernel(root, modules string) (string, error) {
	boot := filepath.Join(root, "boot")
	entries, err := os.ReadDir(boot)
	if err != nil {
		return "", fmt.Errorf("find a kernel: %w; give one with -kernel (KERNEL=)", err)
	}
	var with, without []string
	for _, e := range entries {
		release, ok := strings.CutPrefix(e.Name(), "vmlinuz-")
		if !ok {
			continue
		}
		if modules != "" && filepath.Base(modules) != release {
			continue
		}
		dir := cmp.Or(modules, installedModules(root, release))
		if !hasModules(dir) {
			without = append(without, release)
			continue
		}
		with = append(with, release)
	}
	if len(with) > 0 {
		newest := slices.MaxFunc(with, func(a, b string) int {
			return cmp.Or(compareReleases(a, b), cmp.Compare(indexSize(root, a), indexSize(root, b)), strings.Compare(a, b))
		})
		return filepath.Join(boot, "vmlinuz-"+newest), nil
	}
	if len(without) > 0 {
		return "", fmt.Errorf("find a kernel: of %s in %s no modules are installed (lib/modules/<version>); install them, or give both with -kernel and -modules (KERNEL=, MODULES=)", strings.Join(without, ", "), boot)
	}
	return "", fmt.Errorf("find a kernel: no vmlinuz-<version> in %s; install one (Debian: linux-image-amd64, Ubuntu: linux-image-generic), or give one with -kernel (KERNEL=)", boot)
}

// indexSize tells flavours of one version apart, in bytes: the one with more
// modules serves more machines (Debian's amd64 against its cloud-amd64).
func indexSize(root, release string) int64 {
	info, err := os.Stat(filepath.Join(installedModules(root, release), "modules.dep"))
	if err != nil {
		return 0
	}
	return info.Size()
}
