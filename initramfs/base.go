package initramfs

import (
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/u-root/gobusybox/src/pkg/golang"
	"github.com/u-root/mkuimage/cpio"
	"github.com/u-root/mkuimage/uimage"
	"github.com/u-root/mkuimage/uimage/initramfs"
	"github.com/u-root/uio/llog"
)

// InitPackage is the command that is process 1.
const InitPackage = modulePath + "/cmds/liveboot"

// shellPackage is the rescue shell.
const shellPackage = uroot + "core/gosh"

// goTags choose gosh's line editor: history and editing keys that work on a
// serial line, without the full-screen editor that is its default.
func goTags() []string { return []string{"goshliner"} }

// hotPackages are where the bytes of an image pass through, where every
// program spends its time, and the arithmetic of TLS: they keep inlining.
func hotPackages() []string {
	return []string{"runtime/...", "internal/runtime/...", "crypto/...", "hash/...", "compress/...", "bytes", "bufio", "io",
		"github.com/klauspost/compress/...", "github.com/mikelolasagasti/xz/..."}
}

// handshakePackages are those below crypto that a connection calls a few
// times, or once for 16 KiB, while the loops are in the packages that they
// call. Without inlining the segment is 0.05 MB smaller.
func handshakePackages() []string {
	return []string{"crypto/tls/...", "crypto/x509/...", "crypto/hpke", "crypto/rsa", "crypto/ecdsa", "crypto/ecdh", "crypto/ed25519",
		"crypto/elliptic", "crypto/dsa", "crypto/internal/fips140/rsa", "crypto/internal/fips140/ecdsa", "crypto/internal/fips140/ecdh",
		"crypto/internal/fips140/ed25519"}
}

// busyboxFlags make the binary small, static and the same everywhere.
// Without inlining the segment is 0.7 MB smaller. Of the flags for a package
// the go command takes the last.
func busyboxFlags() []string {
	const noInlining = "=-l"
	flags := []string{"-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-tags=" + strings.Join(goTags(), ","), "-gcflags=all" + noInlining}
	for _, hot := range hotPackages() {
		flags = append(flags, "-gcflags="+hot+"=")
	}
	for _, handshake := range handshakePackages() {
		flags = append(flags, "-gcflags="+handshake+noInlining)
	}
	return flags
}

// commandSet is what the busybox is made of.
type commandSet struct {
	init     string   // Go package of process 1
	packages []string // all, sorted, each once
}

func newCommandSet(initPackage string, more []string) (commandSet, error) {
	c := commandSet{init: initPackage, packages: slices.Concat(more, []string{initPackage, shellPackage})}
	slices.Sort(c.packages)
	c.packages = slices.Compact(c.packages)
	seen := map[string]string{}
	for _, p := range c.packages {
		name := path.Base(p)
		if other, ok := seen[name]; ok {
			return commandSet{}, fmt.Errorf("commands %s and %s: both are called %s, leave one out", other, p, name)
		}
		seen[name] = p
	}
	return c, nil
}

// buildCommands compiles the busybox and returns it with its links: bbin/bb,
// bbin/<command>, init, bin/sh; and the program for the end of
// the live system.
func buildCommands(ctx context.Context, source string, a arch, tools toolchain, c commandSet) (*archive, error) {
	temp, err := os.MkdirTemp("", "liveboot-busybox-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(temp)

	env := golang.Default(golang.DisableCGO(), golang.WithGOOS("linux"), golang.WithGOARCH(a.goarch),
		golang.WithGOROOT(tools.GOROOT), golang.WithGOPATH(tools.GOPATH), golang.WithWorkingDir(source), golang.WithBuildTag(goTags()...))
	out := &initramfs.Archive{Archive: cpio.InMemArchive()}
	var notes strings.Builder
	err = uimage.Create(llog.New(0, func(format string, v ...any) { fmt.Fprintf(&notes, "\n"+format, v...) }),
		uimage.WithReplaceEnv(env),
		uimage.WithTempDir(temp),
		uimage.WithCommands(nil, busybox{ctx: ctx, goEnv: a.goEnv, flags: busyboxFlags()}, c.packages...),
		uimage.WithInit(path.Base(c.init)),
		uimage.WithShell(path.Base(shellPackage)),
		uimage.WithOutput(out),
	)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, fmt.Errorf("compile the commands of the image: %w%s", err, notes.String())
	}
	if len(out.Files) < len(c.packages) {
		return nil, fmt.Errorf("compile the commands of the image: some do not build for linux/%s:%s", a.goarch, notes.String())
	}
	commands, err := loaded(out.Files)
	if err != nil {
		return nil, err
	}
	return commands, commands.addShutdown(ctx, source, temp, a, tools)
}

// loaded copies an archive whose contents are still read from files that
// will go away.
func loaded(records map[string]cpio.Record) (*archive, error) {
	a := newArchive()
	for _, r := range records {
		switch {
		case r.Name == cpio.Trailer:
			continue
		case r.ReaderAt != nil:
			content, err := io.ReadAll(io.NewSectionReader(r, 0, int64(r.FileSize)))
			if err != nil {
				return nil, err
			}
			r = cpio.StaticRecord(content, r.Info)
		}
		a.add(r)
	}
	return a, nil
}

// addSkeleton adds the folders that are mounted over or written to, and the
// device nodes that exist before devtmpfs is mounted: without dev/console
// the kernel gives process 1 no stdin, stdout and stderr.
func (a *archive) addSkeleton() {
	for _, dir := range []string{"bin", "dev", "etc", "lib/modules", "proc", "root", "run", "sys", "sysroot", "usr", "var/log"} {
		a.add(cpio.Directory(dir, 0o755))
	}
	a.add(cpio.Directory("root", 0o700))
	a.add(cpio.Directory("tmp", 0o1777))
	a.add(cpio.CharDev("dev/console", 0o600, 5, 1))
	a.add(cpio.CharDev("dev/kmsg", 0o644, 1, 11))
	a.add(cpio.CharDev("dev/null", 0o666, 1, 3))
}
