// Modprobe loads a kernel module, by its name or by an alias such as a device's modalias, after those it depends on. In the initramfs it is
// also what the kernel calls when it wants a module (/sbin/modprobe -q -- <alias>).
//
//	modprobe [-q] <module or alias> [<parameter>=<value> …]
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/cmdline"
	"github.com/liveboot/liveboot/pkg/kernel/module"
	"github.com/liveboot/liveboot/pkg/plan"
)

func main() {
	flags := flag.NewFlagSet("modprobe", flag.ExitOnError)
	quiet := flags.Bool("q", false, "say nothing about a module that is not there")
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "usage: modprobe [-q] <module or alias> [<parameter>=<value> …]")
	}
	_ = flags.Parse(os.Args[1:]) // ExitOnError
	if flags.NArg() == 0 {
		flags.Usage()
		os.Exit(2)
	}
	if err := load(flags.Arg(0), flags.Args()[1:]); err != nil {
		if !*quiet || !errors.Is(err, module.ErrNotFound) {
			fmt.Fprintln(os.Stderr, "modprobe:", err)
		}
		os.Exit(1)
	}
}

func load(name string, parameters []string) error {
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return fmt.Errorf("ask for the kernel's version: %w", err)
	}
	line, err := cmdline.Load(os.DirFS("/"))
	if err != nil {
		return err
	}
	p, _ := plan.Parse(line) // a mistake elsewhere on the line is no reason to load no driver
	options := module.Options{Parameters: p.Devices.Parameters}
	loader, err := module.Open("/", unix.ByteSliceToString(uts.Release[:]), new(module.System), options)
	if err != nil {
		return err
	}
	if len(parameters) > 0 {
		return loader.LoadWith(name, strings.Join(parameters, " "))
	}
	_, err = loader.Load(name)
	return err
}
