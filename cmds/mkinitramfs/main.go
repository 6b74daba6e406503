// Mkinitramfs builds the pair that a PXE server hands out: build/vmlinuz and
// build/initrd, with a description of the latter in build/initrd.json.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/liveboot/liveboot/initramfs"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "mkinitramfs:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	config, err := parse(args)
	if err != nil {
		return err
	}
	if config.Source, err = initramfs.FindSource(config.Source); err != nil {
		return err
	}
	config.Version, config.Committed = revision(ctx, config.Source)
	config.Report = func(s string) { fmt.Fprintln(os.Stderr, "mkinitramfs:", s) }
	m, err := initramfs.Build(ctx, config)
	if err != nil {
		return err
	}
	fmt.Printf("%s/vmlinuz  kernel %s (%s)\n%s/initrd   %d modules, %s (%s)\n",
		config.Output, m.Kernel, m.Arch, config.Output, len(m.Modules), m.Compression, m.Reason)
	return m.WriteTable(os.Stdout)
}

func parse(args []string) (initramfs.Config, error) {
	var c initramfs.Config
	f := flag.NewFlagSet("mkinitramfs", flag.ExitOnError)
	f.StringVar(&c.Kernel, "kernel", "", "kernel `image` (default: the newest one in /boot)")
	f.StringVar(&c.Modules, "modules", "", "`folder` lib/modules/<version> (default: the kernel's own, as installed)")
	f.StringVar(&c.Output, "o", "build", "`folder` for vmlinuz, initrd and initrd.json")
	f.StringVar(&c.Init, "init", initramfs.InitPackage, "Go `package` of process 1")
	f.StringVar(&c.Arch, "arch", "", "architecture, as Go `name`s it (default: this machine's)")
	f.StringVar(&c.Source, "source", "", "`folder` of the liveboot checkout (default: around the working directory)")
	compression := f.String("compression", string(initramfs.Auto), "`kind`: auto, zstd or gzip; auto is zstd where the kernel's configuration has it")
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
		return c, err
	}
	if f.NArg() > 0 {
		return c, fmt.Errorf("argument %q: only flags are known, see mkinitramfs -help", f.Arg(0))
	}
	c.Compression, c.Commands = initramfs.Compression(*compression), commands
	return c, nil
}

// revision asks git what is being built, and when it was committed. A source
// that is no git checkout has neither.
func revision(ctx context.Context, source string) (version string, committed time.Time) {
	git := func(args ...string) string {
		cmd := exec.CommandContext(ctx, "git", args...)
		cmd.Dir = source
		out, err := cmd.Output()
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(out))
	}
	if seconds, err := strconv.ParseInt(git("log", "-1", "--format=%ct"), 10, 64); err == nil {
		committed = time.Unix(seconds, 0)
	}
	return git("describe", "--always", "--dirty", "--tags"), committed
}
