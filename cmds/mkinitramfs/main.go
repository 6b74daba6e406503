// Mkinitramfs builds the pair that a PXE server hands out: build/vmlinuz and
// build/initrd, with a description of the latter in build/initrd.json.
package main

import (
	"context"
	"fmt"
	"io"
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
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "mkinitramfs:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	config, do, err := parse(args)
	if err != nil {
		return err
	}
	if do.inspect != "" {
		return inspect(os.Stdout, do.inspect)
	}
	config.Report = func(s string) { fmt.Fprintln(os.Stderr, "mkinitramfs:", s) }
	if do.list {
		m, err := initramfs.List(ctx, config)
		if err != nil {
			return err
		}
		return m.WriteList(os.Stdout)
	}
	return build(ctx, config)
}

func build(ctx context.Context, config initramfs.Config) (err error) {
	if config.Source, err = initramfs.FindSource(config.Source); err != nil {
		return err
	}
	config.Version, config.Committed = revision(ctx, config.Source)
	m, err := initramfs.Build(ctx, config)
	if err != nil {
		return err
	}
	fmt.Printf("%s/vmlinuz  kernel %s (%s)\n%s/initrd   %d modules, %s (%s), made by %s\n",
		config.Output, m.Kernel, m.Arch, config.Output, len(m.Modules), m.Compression, m.Reason, m.Compressor)
	if line := m.FirmwareLine(); line != "" {
		fmt.Println(line)
	}
	return m.WriteTable(os.Stdout)
}

func inspect(w io.Writer, file string) error {
	c, err := initramfs.Inspect(file)
	if err != nil {
		return err
	}
	return c.Write(w)
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
	return git("describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"), committed
}
