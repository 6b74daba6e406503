package integration

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/u-root/u-root/pkg/cpio"

	"github.com/liveboot/liveboot/pkg/kernelimage/kernelimagetest"
	"github.com/liveboot/liveboot/qemu"
)

// kexecTime is how long a machine may take from one kernel into the other and through it, under TCG.
const kexecTime = 6 * time.Minute

// The packages below kexec, with no network: a kernel that is damaged, cut off or for another machine is refused with the reason. A good one
// starts with an initramfs that is made out of the running one and the other kernel's modules, and the disk that was in use has nothing to recover.
func TestKexecPieces(t *testing.T) {
	full(t)
	t.Parallel()
	from, to := kernelsOfKexec(t)
	m := kexecMachine(t)
	m.kexecSays(
		`first kernel `+regexp.QuoteMeta(from),
		`refused bad-arm64: the kernel is for arm64, and this machine is amd64`,
		`kernel on bad-arm64: .*it is no kernel that the running one can start.*: exec format error`,
		`refused bad-cut: the kernel image is cut off: it should have \d+ bytes, and has \d+`,
		`refused bad-damaged: the kernel image is damaged: `,
		`refused bad-page: not a Linux kernel image .*: it is a page for a browser, or XML`,
		`kernel on bad-page: .*: exec format error`,
		`kernel on a file open for writing: .*open for writing`,
		`kernel on a long line: .*its command line is too long \(it has 2048 bytes, of at most 2047\)`,
		`kernel and initramfs loaded: `,
		`all file systems are unmounted`,
		`second kernel `+regexp.QuoteMeta(to)+` after `+regexp.QuoteMeta(from),
	)
	m.exits("guest-shutdown")
}

// The same under lockdown, as with Secure Boot: a kernel whose key the running one does not know is refused, and it is said why.
func TestKexecLockdown(t *testing.T) {
	full(t)
	t.Parallel()
	from, _ := kernelsOfKexec(t)
	m := kexecMachine(t, "lockdown=integrity")
	m.kexecSays(
		`first kernel `+regexp.QuoteMeta(from),
		`kernel on bad-damaged: .*the running kernel is locked down.*\(lockdown is integrity\): operation not permitted`,
		`failed: load the other kernel: the running kernel is locked down`,
	)
	m.exits("guest-shutdown")
}

// kernelsOfKexec are the versions of the kernel that runs first and of the one that it starts.
func kernelsOfKexec(t *testing.T) (from, to string) {
	t.Helper()
	ours, err := qemu.HostKernel()
	other, otherErr := qemu.OtherKernel()
	if err := errors.Join(err, otherErr); err != nil {
		t.Fatal(err)
	}
	return filepath.Base(other.Modules), filepath.Base(ours.Modules)
}

// kexecMachine starts a machine with kexecguest and a disk.
func kexecMachine(t *testing.T, options ...string) *machine {
	t.Helper()
	notShort(t)
	ours, err := qemu.HostKernel()
	other, otherErr := qemu.OtherKernel()
	if err := errors.Join(err, otherErr); err != nil {
		t.Fatal(err)
	}
	disk := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(disk, make([]byte, 64<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), kexecTime)
	t.Cleanup(cancel)
	return &machine{t: t, ctx: ctx, VM: qemu.Start(t, qemu.Config{
		Kernel: other.Image, Initrd: kexecInitrd(t, other, ours), MemoryMiB: 1024, NoReboot: true,
		Append: append([]string{"console=ttyS0", "panic=-1"}, options...),
		Extra:  []string{"-drive", "if=none,id=disk,format=raw,cache=unsafe,file=" + disk, "-device", "virtio-blk-pci,drive=disk"},
	})}
}

// kexecSays waits for what kexecguest says, in this order.
func (m *machine) kexecSays(lines ...string) {
	m.t.Helper()
	failed := regexp.MustCompile(`kexecguest: failed: .*`)
	for _, line := range lines {
		want := regexp.MustCompile(`kexecguest: ` + line)
		if strings.HasPrefix(line, "failed") {
			m.see(want)
			continue
		}
		m.see(want, failed)
	}
}

// kexecInitrd is an initramfs with kexecguest, the modules of the kernel that it runs under, and below /other those of the one that it starts,
// of which one is compressed.
func kexecInitrd(t *testing.T, runs, starts qemu.Kernel) string {
	t.Helper()
	init := filepath.Join(t.TempDir(), "kexecguest")
	command(t, "go", "build", "-o", init, "./kexecguest")
	program, err := os.ReadFile(init)
	if err != nil {
		t.Fatal(err)
	}
	kernel, err := os.ReadFile(starts.Image)
	if err != nil {
		t.Fatal(err)
	}
	damaged := bytes.Clone(kernel)
	copy(damaged[len(damaged)/2:], "damaged")
	file := func(name string, content []byte, mode uint64) cpio.Record {
		return cpio.StaticFile(name, string(content), mode)
	}
	records := []cpio.Record{
		cpio.CharDev("dev/console", 0o600, 5, 1), file("init", program, 0o755),
		file("kernels/good", kernel, 0o644), file("kernels/bad-damaged", damaged, 0o644), file("kernels/bad-cut", kernel[:len(kernel)*2/3], 0o644),
		file("kernels/bad-arm64", kernelimagetest.Arm64("6.1.0-arm64 (user@host)"), 0o644),
		file("kernels/bad-page", []byte("<html>"+strings.Repeat("not found ", 500)), 0o644),
	}
	names := []string{"virtio_pci", "virtio_blk", "ext4"}
	records = append(records, moduleRecords(t, runs.Modules, names...)...)
	others := moduleRecords(t, starts.Modules, names...)
	for i, r := range others {
		r.Name = filepath.Join("other", r.Name)
		others[i] = r
		if filepath.Base(r.Name) == "virtio_blk.ko" {
			others[i] = file(r.Name+".gz", compressed(t, r), 0o644)
		}
	}
	if !slices.ContainsFunc(others, func(r cpio.Record) bool { return strings.HasSuffix(r.Name, ".ko.gz") }) {
		t.Fatal("no module is compressed")
	}
	return writeInitrd(t, append(records, others...))
}

// compressed is what gzip makes of a record's content.
func compressed(t *testing.T, r cpio.Record) []byte {
	t.Helper()
	content := make([]byte, r.FileSize)
	if _, err := r.ReadAt(content, 0); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
