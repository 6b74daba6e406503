package initramfs

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// kernel is a kernel image with the folder of its modules.
type kernel struct {
	image   []byte
	release string
	date    time.Time // zero if it has none
	file    string    // where the image was read
	modules string    // folder lib/modules/<release>
}

// findKernel reads the image and locates the modules, both as configured or,
// where that is empty, as installed below root.
func findKernel(root, image, modules string, a arch) (*kernel, error) {
	k := &kernel{file: image, modules: modules}
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
	if k.modules == "" {
		k.modules = installedModules(root, k.release)
	}
	return k, k.checkModules()
}

func (k *kernel) read(a arch) error {
	f, err := os.Open(k.file)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("read kernel: %w; run with sudo, or give a copy that you may read with -kernel (KERNEL=)", err)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("read kernel: %w; give one with -kernel (KERNEL=)", err)
	case err != nil:
		return fmt.Errorf("read kernel: %w", err)
	}
	defer f.Close()
	description, err := a.description(f)
	if err != nil {
		return fmt.Errorf("read kernel %s: %w", k.file, err)
	}
	k.release, k.date = releaseOf(description), buildDate(description)
	if k.image, err = os.ReadFile(k.file); err != nil {
		return fmt.Errorf("read kernel: %w", err)
	}
	return nil
}

func (k *kernel) checkModules() error {
	if _, err := os.Stat(filepath.Join(k.modules, "modules.dep")); err != nil {
		return fmt.Errorf("find modules of kernel %s: %w; install the package that has them (Debian: linux-image-%s, Ubuntu: linux-modules-%s), or give their folder with -modules (MODULES=)",
			k.release, err, k.release, k.release)
	}
	resolved, err := filepath.EvalSymlinks(k.modules)
	if err != nil {
		return fmt.Errorf("find modules of kernel %s: %w", k.release, err)
	}
	for _, folder := range []string{k.modules, resolved} {
		if filepath.Base(folder) == k.release {
			return nil
		}
	}
	return fmt.Errorf("modules folder %s: kernel %s is version %s, and the folder's name is another; give a kernel and modules that belong together (-kernel, -modules)", k.modules, k.file, k.release)
}

// moduleFolders are the places of lib/modules; a merged /usr has both.
func moduleFolders() []string { return []string{"lib/modules", "usr/lib/modules"} }

// installedModules is the folder of a release; where none exists, where it
// ought to be.
func installedModules(root, release string) string {
	for _, folder := range moduleFolders() {
		dir := filepath.Join(root, folder, release)
		if _, err := os.Stat(filepath.Join(dir, "modules.dep")); err == nil {
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
		if _, err := os.Stat(filepath.Join(dir, "modules.dep")); err != nil {
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
		return "", fmt.Errorf("find a kernel: of %s in %s no modules are installed (lib/modules/<version>/modules.dep); install them, or give both with -kernel and -modules (KERNEL=, MODULES=)", strings.Join(without, ", "), boot)
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
