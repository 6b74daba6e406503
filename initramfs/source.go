package initramfs

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// modulePath is the Go module whose go.mod pins the sources of every command
// in the image.
const modulePath = "github.com/liveboot/liveboot"

// FindSource finds the checkout to compile from: the one given, else the one
// around the working directory, else the one this package was compiled in.
func FindSource(given string) (string, error) {
	if given != "" {
		dir, err := filepath.Abs(given)
		if err == nil && !isCheckout(dir) {
			err = fmt.Errorf("source %s: no go.mod of %s in it", given, modulePath)
		}
		return dir, err
	}
	start := []string{}
	if dir, err := os.Getwd(); err == nil {
		start = append(start, dir)
	}
	if _, file, _, ok := runtime.Caller(0); ok && filepath.IsAbs(file) {
		start = append(start, filepath.Dir(file))
	}
	for _, dir := range start {
		for ; ; dir = filepath.Dir(dir) {
			if isCheckout(dir) {
				return dir, nil
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	return "", fmt.Errorf("find the source of %s: neither the working directory nor where this program was compiled is in a checkout of it; run it there, or say where it is with -source", modulePath)
}

// isCheckout says whether a folder holds the go.mod of our module.
func isCheckout(dir string) bool {
	b, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return false
	}
	sc := bufio.NewScanner(bytes.NewReader(b))
	for sc.Scan() {
		if words := strings.Fields(sc.Text()); len(words) >= 2 && words[0] == "module" {
			return strings.Trim(words[1], `"`) == modulePath
		}
	}
	return false
}

// toolchain is the Go installation that compiles for a checkout. The go
// command chooses it by the checkout's go.mod, so it may be another than the
// one that compiled this program.
type toolchain struct {
	GOROOT    string
	GOPATH    string
	GOVERSION string
}

func findToolchain(ctx context.Context, source string) (toolchain, error) {
	cmd := exec.CommandContext(ctx, "go", "env", "-json", "GOROOT", "GOPATH", "GOVERSION")
	cmd.Dir = source
	out, err := cmd.Output()
	if errors.Is(err, exec.ErrNotFound) {
		return toolchain{}, fmt.Errorf("find the Go toolchain: %w; install Go (https://go.dev/dl) or put it into PATH", err)
	}
	if err != nil {
		return toolchain{}, fmt.Errorf("find the Go toolchain: %w%s", err, stderrOf(err))
	}
	var t toolchain
	if err := json.Unmarshal(out, &t); err != nil {
		return toolchain{}, fmt.Errorf("find the Go toolchain: %w", err)
	}
	return t, nil
}

// stderrOf is what a command wrote to stderr before it failed, to be put
// behind its error.
func stderrOf(err error) string {
	var exit *exec.ExitError
	if errors.As(err, &exit) && len(exit.Stderr) > 0 {
		return ": " + strings.TrimSpace(string(exit.Stderr))
	}
	return ""
}
