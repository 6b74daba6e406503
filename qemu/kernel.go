package qemu

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Kernel is a kernel on the host.
type Kernel struct {
	// Image is the file to boot.
	Image string
	// Modules is its folder lib/modules/VERSION.
	Modules string
}

// HostKernel is the kernel that the environment names in KERNEL and MODULES, else the newest one installed in /boot
// whose modules are there too. Of two flavours of one version the general one is taken before the cloud's, which has no
// drivers for real hardware.
func HostKernel() (Kernel, error) {
	if image := os.Getenv("KERNEL"); image != "" {
		modules := os.Getenv("MODULES")
		if modules == "" {
			return Kernel{}, fmt.Errorf("use KERNEL=%s: MODULES is not set: name the folder lib/modules/VERSION of that kernel", image)
		}
		return Kernel{Image: image, Modules: modules}, nil
	}
	return newestKernel("/boot", "/lib/modules")
}

// OtherKernel is the newest installed kernel of another version than HostKernel's, a cloud's for example.
func OtherKernel() (Kernel, error) {
	host, err := HostKernel()
	if err != nil {
		return Kernel{}, err
	}
	all, err := installedKernels("/boot", "/lib/modules")
	if err != nil {
		return Kernel{}, err
	}
	for _, k := range all {
		if filepath.Base(k.Modules) != filepath.Base(host.Modules) {
			return k, nil
		}
	}
	return Kernel{}, fmt.Errorf("find a second kernel in /boot with modules in /lib/modules, beside %s: none: install one (apt-get install linux-image-cloud-amd64)", host.Image)
}

// newestKernel is the newest vmlinuz-VERSION in boot for which modules/VERSION exists.
func newestKernel(boot, modules string) (Kernel, error) {
	all, err := installedKernels(boot, modules)
	if err != nil {
		return Kernel{}, err
	}
	if len(all) == 0 {
		return Kernel{}, fmt.Errorf("find a kernel in %s with modules in %s: none: install one (apt-get install linux-image-amd64) or set KERNEL and MODULES", boot, modules)
	}
	return all[0], nil
}

// installedKernels are those in boot for which modules/VERSION exists, the newest first.
func installedKernels(boot, modules string) ([]Kernel, error) {
	images, err := filepath.Glob(filepath.Join(boot, "vmlinuz-*"))
	if err != nil {
		return nil, fmt.Errorf("list kernels in %s: %w", boot, err)
	}
	slices.SortFunc(images, func(a, b string) int { return compareVersions(version(b), version(a)) })
	var all []Kernel
	for _, image := range images {
		dir := filepath.Join(modules, version(image))
		if info, err := os.Stat(filepath.Join(dir, "modules.dep")); err == nil && info.Mode().IsRegular() {
			all = append(all, Kernel{Image: image, Modules: dir})
		}
	}
	return all, nil
}

func version(image string) string {
	return strings.TrimPrefix(filepath.Base(image), "vmlinuz-")
}

// compareVersions orders kernel versions: numbers as numbers, and a flavour for clouds before the general one.
func compareVersions(a, b string) int {
	numbers := func(s string) []int {
		var ns []int
		for _, f := range strings.FieldsFunc(s, func(r rune) bool { return r < '0' || r > '9' }) {
			if n, err := strconv.Atoi(f); err == nil {
				ns = append(ns, n)
			}
		}
		return ns
	}
	cloud := func(s string) int {
		if strings.Contains(s, "cloud") {
			return 0
		}
		return 1
	}
	if c := slices.Compare(numbers(a), numbers(b)); c != 0 {
		return c
	}
	return cmp.Or(cmp.Compare(cloud(a), cloud(b)), strings.Compare(a, b))
}
