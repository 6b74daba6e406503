package qemu

import (
	"fmt"

	vmtest "github.com/hugelgupf/vmtest/qemu"
)

// Architectures of guests, as Go names them.
const (
	AMD64 = "amd64"
	ARM64 = "arm64"
)

// platform is what differs between the guests' architectures.
type platform struct {
	arch    vmtest.Arch
	program string
	install string // Debian's package of the program
	machine string
	// ahci is the controller to add for disks on AHCI; empty where the machine has one.
	ahci string
}

// platformOf is the platform of an architecture; empty means amd64.
func platformOf(arch string) (platform, error) {
	switch arch {
	case "", AMD64:
		return platform{arch: vmtest.ArchAMD64, program: "qemu-system-x86_64", install: "qemu-system-x86", machine: "q35"}, nil
	case ARM64:
		return platform{arch: vmtest.ArchArm64, program: "qemu-system-aarch64", install: "qemu-system-arm", machine: "virt", ahci: "ich9-ahci,id=ide"}, nil
	}
	return platform{}, fmt.Errorf("guest of architecture %q: not known, choose one of %s, %s", arch, AMD64, ARM64)
}
