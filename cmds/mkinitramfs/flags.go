package main

import (
	"errors"
	"flag"
	"fmt"
	"strings"

	"github.com/liveboot/liveboot/initramfs"
)

// action is what to do instead of building, and where the commands in the image come from.
type action struct {
	list     bool
	inspect  string // file
	manifest string // image
	prebuild bool
	compile  bool // others than those that are installed with this program
}

// options is what the command line says.
type options struct {
	initramfs.Config
	action
	compression string
	given       []string // flags, in alphabetical order
}

// flags sets the defaults, and returns what changes them.
func (o *options) flags(name string) *flag.FlagSet {
	c := &o.Config
	c.Commands = initramfs.DefaultCommands()
	f := flag.NewFlagSet(name, flag.ExitOnError)
	f.StringVar(&c.ISO, "iso", "", "take kernel, modules and firmware from this live `ISO` of KIWI's; root is not needed")
	f.StringVar(&c.Kernel, "kernel", "", "kernel `image`, or a Debian or RPM package with a kernel and its modules (default: the newest kernel in /boot)")
	f.StringVar(&c.KernelVersion, "kernel-version", "", "an installed kernel by its `version`, as in /boot/vmlinuz-<version>")
	f.StringVar(&c.Modules, "modules", "", "`folder` lib/modules/<version> (default: the kernel's own, as installed)")
	f.StringVar(&c.Output, "o", "build", "`folder` for vmlinuz, initrd and initrd.json")
	f.StringVar(&c.Arch, "arch", "", "architecture, as Go `name`s it: amd64 or arm64 (default: this machine's)")
	f.StringVar(&o.compression, "compression", string(initramfs.Auto), "`kind`: auto, zstd, gzip or xz; auto is zstd where the kernel's configuration has it")
	f.Func("drivers", "add the modules of a `pattern`: a name, or a path such as drivers/scsi/lpfc/...; may be repeated, or separated by commas", patterns(&c.Drivers))
	f.Func("no-drivers", "leave out the modules of a `pattern`, unless others need them", patterns(&c.NoDrivers))
	f.StringVar(&c.Firmware, "firmware", "", "`folder` of firmware (default: lib/firmware beside the kernel's modules)")
	f.BoolVar(&c.NoFirmware, "no-firmware", false, "leave out the firmware, which drivers load into their devices")
	f.BoolVar(&c.SeparateFirmware, "separate-firmware", false, "write the firmware into a file of its own, for a second initrd")
	f.BoolVar(&c.Microcode, "microcode", false, "put the processors' microcode in front, from the folder of firmware")
	f.StringVar(&c.Options, "cmdline", "", "kernel `options` for every boot of this image; what stands on the kernel's own line overrides them")
	f.Func("file", "add a file or folder, as `source:/destination`; may be repeated", func(s string) error {
		file, err := initramfs.ParseFile(s)
		c.Files = append(c.Files, file)
		return err
	})
	f.BoolVar(&o.list, "list", false, "say which modules and which firmware go in, and why, and build nothing")
	f.StringVar(&o.inspect, "inspect", "", "say what is in an initrd, or in the initrd.json of a build, given by `file`, and build nothing")
	f.StringVar(&o.manifest, "manifest", "", "write `image`.chunks, by which a machine verifies each part of this ISO while it streams, say which kernel option makes it do so, and build nothing")
	f.StringVar(&c.Init, "init", initramfs.InitPackage, "Go `package` of process 1; needs Go and the checkout")
	f.Func("commands", "add the command of a Go `package` pinned by go.mod; may be repeated, or separated by commas; needs Go and the checkout", patterns(&c.Commands))
	f.StringVar(&c.Source, "source", "", "`folder` of a liveboot checkout, to compile the commands in the image with Go (default: those installed with this program, else the checkout around the working directory)")
	f.BoolVar(&o.prebuild, "prebuild", false, "compile the commands for amd64 and arm64, or for -arch, into the folder of -o: installed beside this program as ../lib/liveboot they make it work without Go")
	return f
}

func parse(name string, args []string) (initramfs.Config, action, error) {
	var o options
	f := o.flags(name)
	if err := f.Parse(args); err != nil {
		return o.Config, o.action, err
	}
	f.Visit(func(given *flag.Flag) {
		o.given = append(o.given, "-"+given.Name)
		switch given.Name {
		case "source", "init", "commands":
			o.compile = true
		}
	})
	o.Config.Compression = initramfs.Compression(o.compression)
	switch {
	case f.NArg() > 0:
		return o.Config, o.action, fmt.Errorf("argument %q: only flags are known, see %s -help", f.Arg(0), name)
	case o.NoFirmware && o.SeparateFirmware:
		return o.Config, o.action, errors.New("-no-firmware and -separate-firmware: choose one")
	case (o.manifest != "" || o.inspect != "") && len(o.given) > 1:
		return o.Config, o.action, fmt.Errorf("%s: -manifest and -inspect stand alone", strings.Join(o.given, " "))
	}
	return o.Config, o.action, nil
}

func patterns(list *[]string) func(string) error {
	return func(s string) error {
		*list = append(*list, strings.Split(s, ",")...)
		return nil
	}
}
