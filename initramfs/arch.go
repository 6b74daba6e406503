package initramfs

import (
	"fmt"
	"runtime"
	"strings"
)

// arch is everything that differs between processor architectures.
type arch struct {
	// goarch is Go's name of it.
	goarch string

	// goEnv pins the instruction set that the busybox is compiled for, so
	// that the building machine's own setting does not decide which machines
	// can boot.
	goEnv []string

	// drivers are patterns of modules that only machines of this architecture
	// need, and of those that they do not.
	drivers func() (take, drop []string)

	// microcode says whether the kernel takes microcode from an initrd.
	microcode bool
}

func archs() []arch {
	return []arch{
		{
			goarch: "amd64", goEnv: []string{"GOAMD64=v1"}, drivers: pcDrivers, microcode: true,
		},
		{
			goarch: "arm64", goEnv: []string{"GOARM64=v8.0"}, drivers: boardDrivers,
		},
	}
}

// archFor finds an architecture by Go's name; empty means that of the
// building machine.
func archFor(goarch string) (arch, error) {
	if goarch == "" {
		goarch = runtime.GOARCH
	}
	var known []string
	for _, a := range archs() {
		if a.goarch == goarch {
			return a, nil
		}
		known = append(known, a.goarch)
	}
	return arch{}, fmt.Errorf("architecture %q: not supported, choose one of %s", goarch, strings.Join(known, ", "))
}
