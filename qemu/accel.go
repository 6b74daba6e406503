package qemu

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Accel is how the guest's instructions are run.
type Accel string

const (
	// KVM runs them on the processor.
	KVM Accel = "kvm"
	// TCG translates them. With QEMU's default translation cache guests that start many processes stall for minutes; a
	// cache of 128 MiB does not.
	TCG Accel = "tcg"
)

func (a Accel) args() []string {
	if a == KVM {
		return []string{"-accel", "kvm", "-cpu", "host"}
	}
	return []string{"-accel", "tcg,thread=multi,tb-size=128", "-cpu", "max"}
}

// probeTime is how long a kernel may take to its first line under KVM; it takes half a second where KVM works.
const probeTime = 5 * time.Second

// Probe is KVM where it was proved to run a guest, and TCG otherwise. A device /dev/kvm proves nothing: on some hosts it
// runs the BIOS and then hangs in the kernel. The proof, a Linux kernel that says its first line within five seconds, is
// made once between two boots of the host and kept in the cache folder.
func Probe(ctx context.Context) (Accel, error) {
	if f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0); err != nil {
		return TCG, nil
	} else if err := f.Close(); err != nil {
		return "", fmt.Errorf("close /dev/kvm: %w", err)
	}
	host, err := platformOf(AMD64)
	if err != nil {
		return "", err
	}
	program, err := binary(host)
	if err != nil {
		return "", err
	}
	kernel, err := HostKernel()
	if err != nil {
		return "", err
	}
	file, err := proofFile(program, kernel.Image)
	if err != nil {
		return "", err
	}
	if b, err := os.ReadFile(file); err == nil && (Accel(b) == KVM || Accel(b) == TCG) {
		return Accel(b), nil
	}
	accel := TCG
	if runsUnderKVM(ctx, program, kernel.Image) {
		accel = KVM
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return "", fmt.Errorf("keep the proof of KVM: %w", err)
	}
	if err := os.WriteFile(file, []byte(accel), 0o644); err != nil {
		return "", fmt.Errorf("keep the proof of KVM: %w", err)
	}
	return accel, nil
}

// proofFile is where the outcome is kept: another boot of the host, another QEMU or another kernel asks for a new proof.
func proofFile(program, kernel string) (string, error) {
	bootID, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("name the proof of KVM: %w", err)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%s", bootID, program, kernel))
	dir, err := CacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "accel", fmt.Sprintf("%x", sum[:8])), nil
}

// runsUnderKVM says whether the kernel comes as far as its first line.
func runsUnderKVM(ctx context.Context, program, kernel string) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	words := append(strings.Fields(program), "-nodefaults", "-nographic", "-machine", "q35", "-m", "256", "-no-reboot",
		"-serial", "stdio", "-monitor", "none", "-kernel", kernel, "-append", "console=ttyS0 earlyprintk=ttyS0 panic=-1")
	words = append(words, KVM.args()...)
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.WaitDelay = time.Second
	out, err := cmd.StdoutPipe()
	if err != nil {
		return false
	}
	if err := cmd.Start(); err != nil {
		return false
	}
	found := sawKernel(out)
	cancel()
	// Ended by the line above: the only news in its error is the signal.
	_ = cmd.Wait()
	return found
}

// sawKernel reads to the kernel's banner.
func sawKernel(r io.Reader) bool {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if bytes.Contains(lines.Bytes(), []byte("Linux version ")) {
			return true
		}
	}
	return false
}

// binary is the command that runs QEMU. It dies with the process that started it, also when a test binary is killed or
// panics in a goroutine and no clean-up is run.
func binary(p platform) (string, error) {
	program, err := exec.LookPath(p.program)
	if err != nil {
		return "", fmt.Errorf("find QEMU: %w: install it (apt-get install %s)", err, p.install)
	}
	setpriv, err := exec.LookPath("setpriv")
	if errors.Is(err, exec.ErrNotFound) {
		return program, nil
	}
	if err != nil {
		return "", fmt.Errorf("find setpriv: %w", err)
	}
	return setpriv + " --pdeathsig KILL " + program, nil
}

// CacheDir is the folder for what is dear to make and can be made again: $LIVEBOOT_CACHE, or liveboot in the user's own
// cache folder. It need not exist yet.
func CacheDir() (string, error) {
	if dir := os.Getenv("LIVEBOOT_CACHE"); dir != "" {
		return dir, nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache folder: %w: set LIVEBOOT_CACHE", err)
	}
	return filepath.Join(dir, "liveboot"), nil
}
