// Package integration has the tests that boot a real kernel in a real virtual machine, one user story a file. README.md
// beside this file says how to run and how to add one.
package integration

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/liveboot/liveboot/initramfs"
	"github.com/liveboot/liveboot/integration/webserver"
	"github.com/liveboot/liveboot/qemu"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := os.RemoveAll(workDir()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// workDir is the folder for what the tests of this process share.
func workDir() string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("liveboot-integration-%d", os.Getpid()))
}

// full leaves a test out of the representative set, which `make test` runs, and says so. LIVEBOOT_TEST=full, as set by
// `make test-full`, runs all.
func full(t *testing.T) {
	t.Helper()
	if os.Getenv("LIVEBOOT_TEST") != "full" {
		t.Skip("left out of the representative set; LIVEBOOT_TEST=full runs it")
	}
}

// notShort leaves a test that needs a virtual machine out of `go test -short`.
func notShort(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("left out by -short: it needs a virtual machine")
	}
}

// privateCA is an authority that the image of the tests trusts.
var privateCA = sync.OnceValues(webserver.NewCA)

// pair is the folder with the kernel and the initrd that the tests boot, built once.
var pair = sync.OnceValues(func() (string, error) {
	ca, err := privateCA()
	if err != nil {
		return "", err
	}
	kernel, err := qemu.HostKernel()
	if err != nil {
		return "", err
	}
	dir := workDir()
	certificate := filepath.Join(dir, "test-ca.pem")
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(certificate, ca.PEM, 0o644)); err != nil {
		return "", err
	}
	_, err = initramfs.Build(buildContext(), initramfs.Config{
		Kernel: kernel.Image, Modules: kernel.Modules, Output: dir, Version: "test",
		Files: []initramfs.File{{Source: certificate, Destination: "/etc/ssl/certs/test-ca.pem"}},
	})
	return dir, err
})
