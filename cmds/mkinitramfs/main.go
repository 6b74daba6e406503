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
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/liveboot/liveboot/initramfs"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)      // a second Ctrl-C ends the program at once
	name := filepath.Base(os.Args[0]) // as installed, to be found in the manual
	if err := run(ctx, name, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, name+":", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, name string, args []string) error {
	config, do, err := parse(name, args)
	if err != nil {
		return err
	}
	if do.inspect != "" {
		return inspect(os.Stdout, do.inspect)
	}
	if do.manifest != "" {
		return writeManifest(ctx, os.Stdout, do.manifest)
	}
	config.Report = func(s string) { fmt.Fprintln(os.Stderr, name+":", s) }
	if do.list {
		m, err := initramfs.List(ctx, config)
		if err != nil {
			return err
		}
		return m.WriteList(os.Stdout)
	}
	if err := originate(ctx, &config, do); err != nil {
		return err
	}
	if do.prebuild {
		return initramfs.Prebuild(ctx, config)
	}
	return build(ctx, config)
}

// originate finds what the commands come from: those that are installed with this program, or else, and wherever others are asked
// for, the source.
func originate(ctx context.Context, config *initramfs.Config, do action) error {
	if !do.compile && !do.prebuild {
		program, err := os.Executable()
		if err != nil {
			return fmt.Errorf("find the compiled commands: %w", err)
		}
		if config.Prebuilt, err = initramfs.FindPrebuilt(program); err != nil || config.Prebuilt != "" {
			return err
		}
	}
	var err error
	if config.Source, err = initramfs.FindSource(config.Source); err != nil {
		return err
	}
	config.Version, config.Committed = revision(ctx, config.Source)
	return nil
}

func build(ctx context.Context, config initramfs.Config) error {
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
