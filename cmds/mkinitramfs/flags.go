package main

import (
	"errors"
	"flag"
	"fmt"
	"strings"

	"github.com/liveboot/liveboot/initramfs"
)

// action is what to do instead of building.
type action struct {
	list    bool
	inspect string // file
}

func parse(args []string) (c initramfs.Config, do action, err error) {
	f := flag.NewFlagSet("mkinitramfs", flag.ExitOnError)
	f.StringVar(&c.ISO, "iso", "", "take kernel, modules and firmware from this live `ISO` of KIWI's; root is not needed")
	f.StringVar(&c.Kernel, "kernel", "", "kernel `image`, or a Debian or RPM package with a kernel and its modules (default: the newest kernel in /boot)")
	f.StringVar(&c.KernelVersion, "kernel-version", "", "an installed kernel by its `version`, as in /boot/vmlinuz-<version>")
	f.StringVar(&c.Modules, "modules", "", "`folder` lib/modules/<version> (default: the kernel's own, as installed)")
	f.StringVar(&c.Output, "o", "build", "`folder` for vmlinuz, initrd and initrd.json")
	f.StringVar(&c.Init, "init", initramfs.InitPackage, "Go `package` of process 1")
	f.StringVar(&c.Arch, "arch", "", "architecture, as Go `name`s it (default: this machine's)")
	f.StringVar(&c.Source, "source", "", "`folder` of the liveboot checkout (default: around the working directory)")
	compression := f.String("compression", string(initramfs.Auto), "`kind`: auto, zstd, gzip or xz; auto is zstd where the kernel's configuration has it")
	f.Func("drivers", "add the modules of a `pattern`: a name, or a path such as drivers/scsi/lpfc/...; may be repeated, or separated by commas", patterns(&c.Drivers))
	f.Func("no-drivers", "leave out the modules of a `pattern`, unless others need them", patterns(&c.NoDrivers))
	f.StringVar(&c.Firmware, "firmware", "", "`folder` of firmware (default: lib/firmware beside the kernel's modules)")
	f.BoolVar(&c.NoFirmware, "no-firmware", false, "leave out what drivers load into their devices")
	f.BoolVar(&c.SeparateFirmware, "separate-firmware", false, "write it into a file firmware of its own, for a second initrd")
	f.BoolVar(&c.Microcode, "microcode", false, "put the processors' microcode in front, from the folder of firmware")
	f.StringVar(&c.Options, "cmdline", "", "kernel `options` for every boot of this image; what stands on the kernel's own line overrides them")
	f.BoolVar(&do.list, "list", false, "say which modules and which firmware go in, and why, and build nothing")
	f.StringVar(&do.inspect, "inspect", "", "say what is in an initrd, or in the initrd.json of a build, given by `file`, and build nothing")
	f.Func("file", "add a file or folder, as `source:/destination`; may be repeated", func(s string) error {
		file, err := initramfs.ParseFile(s)
		c.Files = append(c.Files, file)
		return err
	})
	commands := initramfs.DefaultCommands()
	f.Func("commands", "add the command of a Go `package` pinned by go.mod; may be repeated, or separated by commas", func(s string) error {
		commands = append(commands, strings.Split(s, ",")...)
		return nil
	})
	if err := f.Parse(args); err != nil {
		return c, do, err
	}
	if f.NArg() > 0 {
		return c, do, fmt.Errorf("argument %q: only flags are known, see mkinitramfs -help", f.Arg(0))
	}
	if c.NoFirmware && c.SeparateFirmware {
		return c, do, errors.New("-no-firmware and -separate-firmware: choose one")
	}
	c.Compression, c.Commands = initramfs.Compression(*compression), commands
	return c, do, nil
}

func patterns(list *[]string) func(string) error {
	return func(s string) error {
		*list = append(*list, strings.Split(s, ",")...)
		return nil
	}
}
