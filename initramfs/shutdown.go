package initramfs

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/liveboot/liveboot/pkg/handoff"
)

// shutdownPackage is the program that ends the live system. It stays in memory until then, so it is no part of the busybox but a program of its
// own, a tenth of its size.
const shutdownPackage = modulePath + "/cmds/shutdown"

// addShutdown compiles the program in the folder temp and adds it. It has the busybox's flags: the Go runtime in it is then so like the
// one in the busybox that both are compressed to little more than one.
func (a *archive) addShutdown(ctx context.Context, source, temp string, to arch, tools toolchain) error {
	binary := filepath.Join(temp, "shutdown")
	cmd := exec.CommandContext(ctx, filepath.Join(tools.GOROOT, "bin", "go"), append(append([]string{"build", "-o", binary}, busyboxFlags()...), shutdownPackage)...)
	cmd.Dir = source
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+to.goarch, "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off", "GOTOOLCHAIN=local")
	cmd.Env = append(cmd.Env, to.goEnv...)
	if out, err := cmd.CombinedOutput(); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("compile %s: %w: %s", shutdownPackage, err, strings.TrimSpace(string(out)))
	}
	content, err := os.ReadFile(binary)
	if err != nil {
		return err
	}
	a.file(handoff.ShutdownProgram, content, 0o755)
	return nil
}
