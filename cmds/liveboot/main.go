// Liveboot boots a live ISO. As process 1 of an initramfs it supervises; the boot itself runs in a child of the same program.
// What it does is said on the kernel's command line, see the README.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/liveboot/liveboot/pkg/boot"
	"github.com/liveboot/liveboot/pkg/cmdline"
	"github.com/liveboot/liveboot/pkg/console"
	"github.com/liveboot/liveboot/pkg/deploy/streamed"
	"github.com/liveboot/liveboot/pkg/handoff"
	"github.com/liveboot/liveboot/pkg/plan"
	"github.com/liveboot/liveboot/pkg/stream/daemon"
	"github.com/liveboot/liveboot/pkg/supervisor"
)

func main() {
	switch {
	case os.Getpid() == 1:
		supervisor.Run(os.Args[1:], os.Environ())
	case len(os.Args) == 2 && os.Args[1] == supervisor.WorkerArg:
		os.Exit(work())
	case len(os.Args) == 2 && os.Args[1] == supervisor.DriversArg:
		os.Exit(drivers())
	case len(os.Args) == 2 && os.Args[1] == daemon.Argument:
		os.Exit(daemon.Main(streamed.Hooks()))
	default:
		fmt.Fprintln(os.Stderr, "liveboot boots a live ISO as process 1 of an initramfs; it is not to be called by hand")
		os.Exit(2)
	}
}

// work is the child: it makes the live system ready and tells process 1.
func work() int {
	_ = os.WriteFile("/proc/self/comm", []byte("liveboot"), 0o644) // for ps: by its path it would be called "exe"
	boss, ui := supervisor.Connect(), console.Open("/")
	ready, err := prepare(boss, ui)
	if err == nil {
		err = boss.Ready(ready)
	}
	if err != nil {
		return 1 // process 1 says what people were not told yet
	}
	return 0
}

// drivers loads those of all devices, after a failure, until the machine ends.
func drivers() int {
	_ = os.WriteFile("/proc/self/comm", []byte("liveboot-driver"), 0o644) // of at most 15 bytes
	ui := console.Open("/")
	machine, err := boot.ThisMachine(nil)
	if err == nil {
		line, _ := cmdline.Load(os.DirFS("/"))
		p, _ := plan.Parse(line) // a mistake on the line may be why people come to look
		ui.SetVerbosity(p.Verbosity)
		if p.Verbosity != console.Debug {
			// What drivers tell at their start would take what stopped the boot off the screen. Of the levels in <linux/kern_levels.h> errors still show;
			// dmesg has all.
			_ = os.WriteFile("/proc/sys/kernel/printk", []byte("4"), 0o644)
		}
		err = boot.LoadDrivers(context.Background(), p.Devices, machine, ui)
	}
	if err != nil {
		ui.Debugf("drivers: %v", err) // what stopped the boot was said
		return 1
	}
	return 0
}

func prepare(boss *supervisor.Boss, ui *console.Console) (handoff.Ready, error) {
	machine, err := boot.ThisMachine(boss.Pause)
	if err != nil {
		return fail(boss, ui, "start", err, "")
	}
	ui.Remarkf("liveboot %s on Linux %s", machine.Version, machine.Release)
	line, err := cmdline.Load(os.DirFS("/"))
	if err != nil {
		return fail(boss, ui, "start", err, "")
	}
	p, err := plan.Parse(line)
	if policyErr := boss.Policy(p.Rescue, p.Verbosity); policyErr != nil {
		return handoff.Ready{}, policyErr
	}
	ui.SetVerbosity(p.Verbosity)
	if p.Verbosity == console.Debug {
		if err := ui.OpenLog("/"); err != nil {
			ui.Warnf("%v", err)
		}
	}
	for _, warning := range p.Warnings {
		ui.Warnf("%s", warning)
	}
	if err != nil {
		return fail(boss, ui, "plan", err, "nothing was touched; mend the append line on the boot server")
	}
	ready, err := boot.Run(context.Background(), p, machine, ui)
	if err != nil {
		return fail(boss, ui, "", err, boot.Hint(err))
	}
	return ready, nil
}

// fail tells people and process 1.
func fail(boss *supervisor.Boss, ui *console.Console, stage string, err error, hint string) (handoff.Ready, error) {
	var staged *boot.StageError
	if errors.As(err, &staged) {
		stage, err = string(staged.Stage), staged.Err
	}
	ui.Failf(stage, err, hint)
	return handoff.Ready{}, errors.Join(err, boss.Failed())
}
