package initramfs

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"github.com/u-root/gobusybox/src/pkg/bb"
	"github.com/u-root/mkuimage/cpio"
	uimagebuilder "github.com/u-root/mkuimage/uimage/builder"
	"github.com/u-root/mkuimage/uimage/initramfs"
	"github.com/u-root/uio/llog"
)

// busybox is the builder that mkuimage calls: many Go commands in one static
// binary. It generates the source as mkuimage's own builder does, and then
// compiles it itself, because that one
//
//   - compiles outside any module, where the go command assumes Go 1.16 and
//     links in the GODEBUG settings of that time: SHA-1 certificates, TLS
//     1.0, RSA key exchange, the old timers, recover from panic(nil) and more;
//   - compiles everything anew each time (-a), which takes a minute;
//   - compiles without inlining;
//   - cannot be cancelled.
type busybox struct {
	ctx   context.Context
	goEnv []string // pins the instruction set
	flags []string // for go build
}

// DefaultBinaryDir implements mkuimage's builder.Builder.
func (busybox) DefaultBinaryDir() string { return "bbin" }

// Build implements mkuimage's builder.Builder.
func (b busybox) Build(l *llog.Logger, files *initramfs.Files, opts uimagebuilder.Opts) error {
	binary := filepath.Join(opts.TempDir, "bb")
	generated := filepath.Join(opts.TempDir, "gopath")
	if err := bb.BuildBusybox(l.AtLevel(slog.LevelInfo), &bb.Opts{
		Env:          opts.Env,
		GenSrcDir:    generated,
		CommandPaths: opts.Packages,
		BinaryPath:   binary,
		GenerateOnly: true,
	}); err != nil {
		return err
	}
	version, err := opts.Env.Version()
	if err != nil {
		return err
	}
	main := filepath.Join(generated, "src/bb.u-root.com/bb")
	if err := os.WriteFile(filepath.Join(main, "godebug.go"), godebugSource(version), 0o600); err != nil {
		return err
	}
	cmd := exec.CommandContext(b.ctx, filepath.Join(opts.Env.GOROOT, "bin", "go"), append([]string{"build", "-o", binary}, b.flags...)...)
	cmd.Dir = main
	cmd.Env = append(os.Environ(), opts.Env.Env()...)
	cmd.Env = append(cmd.Env, "GO111MODULE=off", "GOPATH="+generated, "GOFLAGS=", "GOWORK=off", "GOTOOLCHAIN=local")
	cmd.Env = append(cmd.Env, b.goEnv...)
	if out, err := cmd.CombinedOutput(); err != nil {
		if b.ctx.Err() != nil {
			return context.Cause(b.ctx)
		}
		return fmt.Errorf("go build: %w: %s", err, strings.TrimSpace(string(out)))
	}
	if err := files.AddFile(binary, "bbin/bb"); err != nil {
		return err
	}
	for _, pkg := range opts.Packages {
		if err := files.AddRecord(cpio.Symlink(path.Join("bbin", path.Base(pkg)), "bb")); err != nil {
			return err
		}
	}
	return nil
}

// godebugSource asks for the runtime behaviour of the compiler's own
// version, as in "go1.26.8", which is what a main module has.
func godebugSource(version string) []byte {
	release, _, _ := strings.Cut(version, "-") // a toolchain's suffix, as in go1.26.8-X:nodwarf5
	parts := strings.SplitN(release, ".", 3)
	if len(parts) > 2 {
		parts = parts[:2]
	}
	return []byte("//go:debug default=" + strings.Join(parts, ".") + "\n\npackage main\n")
}
