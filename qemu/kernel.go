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

// newestKernel is the newest vmlinuz-VERSION in boot for which modules/VERSION exists.
func newestKernel(boot, modules string) (Kernel, error) {
	images, err := filepath.Glob(filepath.Join(boot, "vmlinuz-*"))
	if err != nil {
		return Kernel{}, fmt.Errorf("list kernels in %s: %w", boot, err)
	}
	slices.SortFunc(images, func(a, b string) int { return compareVersions(version(b), version(a)) })
	for _, image := range images {
		dir := filepath.Join(modules, version(image))
		if info, err := os.Stat(filepath.Join(dir, "modules.dep")); err == nil && info.Mode().IsRegular() {
			return Kernel{Image: image, Modules: dir}, nil
		}
	}
	return Kernel{}, fmt.Errorf("find a kernel in %s with modules in %s: none: install one (apt-get install linux-image-amd64) or set KERNEL and MODULES", boot, modules)
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
