// Command nettestinit is process 1 of the machine in which the namespace tests run: it loads the modules that the tests need, takes the
// host's files for its root, read-only, runs one test binary after another, and powers the machine off.
//
// /tests in its initramfs has a line for each, of words that are separated by tabs: the binary and the folder of its package, as the host calls
// them, and an expression for the tests to run. Every module that its lib/modules/VERSION holds is loaded.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/integration/guest"
	"github.com/liveboot/liveboot/pkg/kernel/mount"
	"github.com/liveboot/liveboot/pkg/kernel/power"
	"github.com/liveboot/liveboot/pkg/network/nettest"
)

func main() {
	if err := run(); err != nil {
		fmt.Printf("nettestinit: failed: %v\n", err)
	}
	if err := power.Do(power.PowerOff); err != nil {
		fmt.Printf("nettestinit: %v\n", err)
	}
}

func run() error {
	tests, err := os.ReadFile("/tests")
	if err != nil {
		return err
	}
	if err := guest.LoadModules(); err != nil {
		return err
	}
	if err := root(); err != nil {
		return err
	}
	lines := bufio.NewScanner(strings.NewReader(string(tests)))
	for lines.Scan() {
		words := strings.Split(lines.Text(), "\t")
		if len(words) != 3 {
			return fmt.Errorf("/tests: %q is not three words", lines.Text())
		}
		name, outcome := filepath.Base(words[0]), "passed"
		fmt.Printf("nettestinit: begin %s\n", name)
		if err := test(words[0], words[1], words[2]); err != nil {
			outcome = err.Error()
		}
		fmt.Printf("nettestinit: end %s: [%s]\n", name, outcome)
	}
	return lines.Err()
}

// root makes the host's files the root, with file systems of the machine's own where tests write.
func root() error {
	const dir = "/host"
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	var system mount.System
	for _, p := range []mount.Point{
		{Source: "host", Target: dir, Type: "9p", Flags: mount.ReadOnly, Data: "trans=virtio,version=9p2000.L,cache=loose,msize=524288"},
		{Source: "proc", Target: dir + "/proc", Type: "proc"},
		{Source: "sysfs", Target: dir + "/sys", Type: "sysfs"},
		{Source: "devtmpfs", Target: dir + "/dev", Type: "devtmpfs"},
		{Source: "tmpfs", Target: dir + "/run", Type: "tmpfs"},
	} {
		if err := system.Mount(p); err != nil {
			return err
		}
	}
	for i, name := range []string{"stdin", "stdout", "stderr"} {
		if err := os.Symlink(fmt.Sprintf("/proc/self/fd/%d", i), filepath.Join(dir, "dev", name)); err != nil {
			return err
		}
	}
	return errors.Join(os.Mkdir(dir+"/run/tmp", 0o1777), unix.Chroot(dir), os.Chdir("/"))
}

// test runs a test binary in the folder of its package.
func test(binary, dir, run string) error {
	cmd := exec.Command(binary, "-test.v", "-test.run="+run, "-test.parallel=4", "-test.timeout=20m")
	cmd.Dir = dir
	cmd.Env = []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/run", "TMPDIR=/run/tmp", "CI=true", nettest.CompleteVariable + "=1",
	}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stdout
	return cmd.Run()
}
