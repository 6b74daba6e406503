package integration

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/liveboot/liveboot/initramfs"
	"github.com/liveboot/liveboot/integration/kiwi"
	"github.com/liveboot/liveboot/integration/livefacts"
	"github.com/liveboot/liveboot/integration/liveiso"
	"github.com/liveboot/liveboot/integration/webserver"
	report "github.com/liveboot/liveboot/pkg/boot"
	"github.com/liveboot/liveboot/pkg/fetch/fetchtest"
	"github.com/liveboot/liveboot/pkg/iso"
	"github.com/liveboot/liveboot/pkg/needs"
	"github.com/liveboot/liveboot/qemu"
)

// otherPair is the folder with a pair of another kernel than that of the ISOs here, built once.
var otherPair = sync.OnceValues(func() (string, error) {
	kernel, err := qemu.OtherKernel()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(workDir(), "other")
	_, err = initramfs.Build(buildContext(), initramfs.Config{Kernel: kernel.Image, Modules: kernel.Modules, Output: dir, Version: "test"})
	return dir, err
})

// twoKernels are the version of the pair's kernel and that of the ISO's.
type twoKernels struct{ pair, iso string }

// bootOther boots the pair of the other kernel.
func bootOther(t *testing.T, words string, changes ...func(*qemu.Config)) (*machine, twoKernels) {
	t.Helper()
	notShort(t)
	other, err := qemu.OtherKernel()
	needs.That(t, err == nil, fmt.Sprintf("a second kernel (%v)", err))
	dir, err := otherPair()
	if err != nil {
		t.Fatal(err)
	}
	ours, err := qemu.HostKernel()
	if err != nil {
		t.Fatal(err)
	}
	changes = append([]func(*qemu.Config){func(c *qemu.Config) {
		c.Kernel, c.Initrd = filepath.Join(dir, "vmlinuz"), filepath.Join(dir, "initrd")
	}}, changes...)
	return boot(t, words, changes...), twoKernels{filepath.Base(other.Modules), filepath.Base(ours.Modules)}
}

// isoWithKernel is an ISO with the kernel of the tests, and so with another one than the pair of bootOther.
func isoWithKernel(t *testing.T, layout liveiso.Layout) string {
	t.Helper()
	kernel, err := qemu.HostKernel()
	if err != nil {
		t.Fatal(err)
	}
	return liveISO(t, liveiso.Config{Layout: layout, Kernel: kernel, Table: liveiso.GPT, PadMiB: 64})
}

// another makes the live system load a module that no initramfs holds.
var another = livefacts.Module + strings.TrimSuffix(filepath.Base(liveiso.UnknownModule), ".ko")

// kexeced is the line that says that the image's kernel takes over, and why.
func kexeced(k twoKernels) *regexp.Regexp {
	return said(handoff, `kexec into Linux `+regexp.QuoteMeta(k.iso)+`.* running `+regexp.QuoteMeta(k.pair))
}

// switched is the last line of a boot that stays with its kernel; why is an expression.
func switched(why string) *regexp.Regexp { return said(handoff, `switch_root to /\S*init: `+why) }

// checkKexec compares what the live system found with what it is to find when its own kernel runs.
func checkKexec(t *testing.T, f *livefacts.Facts, k twoKernels) {
	t.Helper()
	if f.Release != k.iso {
		t.Errorf("the live system runs on kernel %s, want its own, %s", f.Release, k.iso)
	}
	if f.ModuleError != "" {
		t.Errorf("modprobe in the live system: %s", f.ModuleError)
	}
	var said report.Report
	if err := json.Unmarshal(f.Report, &said); err != nil {
		t.Fatal(err)
	}
	if said.Kexec == nil || said.Kexec.From != k.pair || said.Kernel != k.iso {
		t.Fatalf("the report says %+v, kernel %s, want kexec from %s to %s", said.Kexec, said.Kernel, k.pair, k.iso)
	}
	last := 0.0
	for _, s := range said.Stages {
		if s.Began < last-1 { // devices and network run beside each other
			t.Errorf("stage %s began at %.2f s, before the one in front of it at %.2f s", s.Stage, s.Began, last)
		}
		last = s.Began
	}
	if last < said.Kexec.At {
		t.Errorf("the last stage began at %.2f s, and kexec was at %.2f s: the clock did not go on", last, said.Kexec.At)
	}
}

// twice counts the bytes between two offsets of a file that were sent more than once.
func twice(spans []webserver.Span, from, to int64) (n int64) {
	sent := make([]byte, to-from)
	for _, s := range spans {
		for i := max(s.Offset, from); i < min(s.Offset+s.Length, to); i++ {
			if sent[i-from]++; sent[i-from] == 2 {
				n++
			}
		}
	}
	return n
}

// containerOf returns where the container lies in an ISO.
func containerOf(t *testing.T, file string) (from, to int64) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	image, err := iso.Open(f)
	if err != nil {
		t.Fatal(err)
	}
	offset, size, err := image.Find("LiveOS/squashfs.img")
	if err != nil {
		t.Fatal(err)
	}
	return offset, offset + size
}

// The pair on the server is of another kernel than the ISO. Only the ISO's kernel and its modules are fetched first, and the image once, by
// that kernel.
func TestKexec(t *testing.T) {
	for _, layout := range []liveiso.Layout{liveiso.RootfsImage, liveiso.Squashfs} {
		t.Run(string(layout), func(t *testing.T) {
			if layout != liveiso.RootfsImage {
				full(t)
			}
			t.Parallel()
			file := isoWithKernel(t, layout)
			s := webserver.New(t, nil)
			s.File("/live.iso", file)
			m, k := bootOther(t, "ip=dhcp quiet "+another+" root=live:"+s.URL+"/live.iso")
			m.see(kexeced(k), anyFailure(), handedOver())
			before := s.Stats("/live.iso").Bytes
			f := m.facts()
			checkLive(t, f, layout)
			checkKexec(t, f, k)
			if !strings.Contains(f.Cmdline, "quiet") || strings.Contains(f.Cmdline, "livetest.menu") {
				t.Errorf("the command line is %q, want that of the pair", f.Cmdline)
			}
			from, to := containerOf(t, file)
			again := twice(s.Spans("/live.iso"), from, to)
			if again > 2<<20 {
				t.Errorf("%d bytes of the container were sent twice, want no more than the tables of its file systems", again)
			}
			t.Logf("%d bytes before kexec, %d bytes of the container twice, up after %.1f s", before, again, up(m).Seconds())
			m.exits("guest-shutdown")
		})
	}
}

// What is not to be kexeced is not, and the console says why.
func TestKexecNot(t *testing.T) {
	full(t)
	file := isoWithKernel(t, liveiso.RootfsImage)
	t.Run("same kernel", func(t *testing.T) {
		t.Parallel()
		m := boot(t, "ip=dhcp root=live:"+nginx(t, file, nil))
		checkLive(t, m.facts(), liveiso.RootfsImage)
		m.hasSaid(switched("the running kernel is the image's own"))
		m.neverSaid(said(handoff, "kexec"))
	})
	t.Run("asked for", func(t *testing.T) {
		t.Parallel()
		m, k := bootOther(t, "ip=dhcp rd.liveboot.handoff=switch_root root=live:"+nginx(t, file, nil))
		f := m.facts()
		checkLive(t, f, liveiso.RootfsImage)
		m.hasSaid(switched(`asked for`))
		m.hasSaid(warned(`no modules for the running kernel ` + regexp.QuoteMeta(k.pair) + `, only for ` + regexp.QuoteMeta(k.iso)))
	})
	t.Run("no modules in the live system", func(t *testing.T) {
		t.Parallel()
		m, _ := bootOther(t, "ip=dhcp root=live:"+nginx(t, liveISO(t, liveiso.Config{Layout: liveiso.RootfsImage}), nil))
		checkLive(t, m.facts(), liveiso.RootfsImage)
		m.neverSaid(said(handoff, "kexec"))
	})
	t.Run("no ranges", func(t *testing.T) {
		t.Parallel()
		s := webserver.New(t, nil)
		s.Whole(t, "/live.iso", file)
		m, k := bootOther(t, "ip=dhcp root=live:"+s.URL+"/live.iso")
		checkLive(t, m.facts(), liveiso.RootfsImage)
		m.hasSaid(warned(`no modules for the running kernel ` + regexp.QuoteMeta(k.pair) + `, only for ` + regexp.QuoteMeta(k.iso)))
		m.hasSaid(switched(`.*could not be looked at before the download: the server sends the whole of it only`))
	})
	t.Run("locked down", func(t *testing.T) {
		t.Parallel()
		m, _ := bootOther(t, "ip=dhcp lockdown=integrity root=live:"+nginx(t, file, nil))
		checkLive(t, m.facts(), liveiso.RootfsImage)
		m.hasSaid(warned(`the running kernel is locked down.*; going on with the running kernel`))
		m.hasSaid(switched(`the image's own kernel could not be started`))
	})
	t.Run("locked down, and demanded", func(t *testing.T) {
		t.Parallel()
		m, _ := bootOther(t, "ip=dhcp lockdown=integrity rd.liveboot.handoff=kexec root=live:"+nginx(t, file, nil))
		m.fails(handoff, `the running kernel is locked down`)
	})
	t.Run("digest given", func(t *testing.T) {
		t.Parallel()
		m, k := bootOther(t, "ip=dhcp root=live:"+nginx(t, file, nil)+"#sha256="+digestOf(t, file))
		checkLive(t, m.facts(), liveiso.RootfsImage)
		m.hasSaid(warned(`no modules for the running kernel ` + regexp.QuoteMeta(k.pair) + `, only for ` + regexp.QuoteMeta(k.iso)))
		m.hasSaid(switched(`.*verified as a whole`))
	})
}

// A kernel of the same version is started all the same where the line asks for it, once, with the options of the image's boot entry.
func TestKexecAlways(t *testing.T) {
	full(t)
	t.Parallel()
	file := isoWithKernel(t, liveiso.RootfsImage)
	m := boot(t, "ip=dhcp rd.liveboot.handoff=kexec rd.liveboot.append=iso "+another+" root=live:"+nginx(t, file, nil))
	f := m.facts()
	checkLive(t, f, liveiso.RootfsImage)
	kernel, err := qemu.HostKernel()
	if err != nil {
		t.Fatal(err)
	}
	release := filepath.Base(kernel.Modules)
	checkKexec(t, f, twoKernels{release, release})
	if !strings.Contains(f.Cmdline, "livetest.menu=entry") || strings.Contains(f.Cmdline, "CDLABEL") {
		t.Errorf("the command line is %q, want the options of the image's menu in it, but not its root=", f.Cmdline)
	}
}

// The kernel of the image is broken: that is said before anything is given up.
func TestKexecBroken(t *testing.T) {
	full(t)
	kernel, err := qemu.HostKernel()
	if err != nil {
		t.Fatal(err)
	}
	image, err := os.ReadFile(kernel.Image)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		image []byte
		cause string
	}{
		{"cut off", image[:len(image)/2], "cut off"},
		{"something else", []byte(strings.Repeat("this is no kernel\n", 1000)), "not a Linux kernel image"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			broken := kernel
			broken.Image = filepath.Join(t.TempDir(), "vmlinuz")
			if err := os.WriteFile(broken.Image, tt.image, 0o644); err != nil {
				t.Fatal(err)
			}
			file := liveISO(t, liveiso.Config{Layout: liveiso.Squashfs, Kernel: broken})
			m, _ := bootOther(t, "ip=dhcp root=live:"+nginx(t, file, nil))
			m.fails(handoff, "boot/x86_64/loader/linux.*"+tt.cause)
		})
	}
}

// onCloudDisk attaches the file as a disk that the kernels of clouds have a driver for.
func onCloudDisk(file string) func(*qemu.Config) {
	return withDisk(qemu.Disk{File: file, Bus: qemu.Virtio})
}

// A disk is deployed under the image's own kernel, which a later boot without a network takes from the disk.
func TestKexecDisk(t *testing.T) {
	full(t)
	t.Parallel()
	file := isoWithKernel(t, liveiso.RootfsImage)
	s := webserver.New(t, nil)
	s.File("/live.iso", file)
	disk := blankDisk(t, smallDisk)
	words := persistent + "/dev/vda " + another + " root=live:" + s.URL + "/live.iso "
	want := lies{iso: "/dev/vda1", layer: "/dev/vda3", fileSystem: "ext4"}

	first, k := bootOther(t, words+keep("first"), named("first"), onCloudDisk(disk))
	first.see(kexeced(k), anyFailure(), handedOver())
	f := first.facts()
	checkPersistent(t, f, want, "")
	checkKexec(t, f, k)
	first.exits("guest-shutdown")

	second, _ := bootOther(t, words, named("second"), onCloudDisk(disk), noCard)
	second.see(kexeced(k), anyFailure(), handedOver())
	f = second.facts()
	checkPersistent(t, f, want, "first\n")
	checkKexec(t, f, k)
	second.exits("guest-shutdown")
}

// A server without ranges gives the image to the disk, and the kernel is taken from there. What was reset stays as it is then.
func TestKexecDiskNoRanges(t *testing.T) {
	full(t)
	t.Parallel()
	file := isoWithKernel(t, liveiso.RootfsImage)
	s := webserver.New(t, nil)
	s.Whole(t, "/live.iso", file)
	m, k := bootOther(t, persistent+"/dev/vda rd.kiwi.live.reset "+another+" root=live:"+s.URL+"/live.iso", onCloudDisk(blankDisk(t, smallDisk)))
	f := m.facts()
	checkPersistent(t, f, lies{iso: "/dev/vda1", layer: "/dev/vda3", fileSystem: "ext4"}, "")
	checkKexec(t, f, k)
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Stats("/live.iso").Bytes; got > info.Size()*3/2 {
		t.Errorf("%d bytes were sent of an image of %d, want it sent once", got, info.Size())
	}
}

// A medium that the machine has already gives its kernel without a network.
func TestKexecLocal(t *testing.T) {
	full(t)
	t.Parallel()
	medium := withDisk(qemu.Disk{File: isoWithKernel(t, liveiso.RootfsImage), Bus: qemu.Virtio, ReadOnly: true})
	m, k := bootOther(t, another+" root=live:CDLABEL="+liveiso.VolumeID, medium, noCard)
	m.see(kexeced(k), anyFailure(), handedOver())
	checkKexec(t, m.facts(), k)
	m.neverSaid(said(network, ""))
}

// The same over FTP, whose server takes up a file anywhere.
func TestKexecFTP(t *testing.T) {
	full(t)
	t.Parallel()
	file := isoWithKernel(t, liveiso.RootfsImage)
	m, k := bootOther(t, "ip=dhcp "+another+" root=live:"+ftpServer(t, published(t, file)))
	m.see(kexeced(k), anyFailure(), handedOver())
	f := m.facts()
	checkLive(t, f, liveiso.RootfsImage)
	checkKexec(t, f, k)
}

// ftpServer serves a file with vsftpd and returns its URL.
func ftpServer(t *testing.T, file string) string {
	t.Helper()
	needs.That(t, os.Getuid() == 0, "root, for vsftpd")
	vsftpd := needs.Program(t, "vsftpd", "vsftpd")
	dir, port := t.TempDir(), fetchtest.FreePort(t)
	config := filepath.Join(dir, "vsftpd.conf")
	lines := []string{
		"listen=YES", fmt.Sprintf("listen_port=%d", port), "background=NO", "anonymous_enable=YES", "local_enable=NO",
		"anon_root=" + filepath.Dir(file), "seccomp_sandbox=NO", "connect_from_port_20=NO", "anon_world_readable_only=NO",
	}
	if err := os.WriteFile(config, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	fetchtest.Serve(t, port, vsftpd, config)
	return fmt.Sprintf("ftp://%s:%d/%s", qemu.HostAddress, port, filepath.Base(file))
}

// published is a copy of a file that every user of this machine can read.
func published(t *testing.T, file string) string {
	t.Helper()
	dir := t.TempDir()
	copied := filepath.Join(dir, filepath.Base(file))
	content, err := os.ReadFile(file)
	if err := errors.Join(err, os.WriteFile(copied, content, 0o644), os.Chmod(dir, 0o755), os.Chmod(filepath.Dir(dir), 0o755)); err != nil {
		t.Fatal(err)
	}
	return copied
}

// digestOf is the SHA-256 of a file, in hexadecimal digits.
func digestOf(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(content))
}

// The real ISO from the pair of another kernel, to its login.
func TestKexecKIWI(t *testing.T) {
	full(t)
	t.Parallel()
	file, err := kiwi.ISO(context.WithoutCancel(t.Context()), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	s := webserver.New(t, nil)
	s.File("/live.iso", file)
	_, err = qemu.OtherKernel()
	needs.That(t, err == nil, fmt.Sprintf("a second kernel (%v)", err))
	dir, err := otherPair()
	if err != nil {
		t.Fatal(err)
	}
	m := bootWithin(t, kiwiTime, "ip=dhcp livetest.poweroff root=live:"+s.URL+"/live.iso", func(c *qemu.Config) {
		c.Kernel, c.Initrd, c.MemoryMiB = filepath.Join(dir, "vmlinuz"), filepath.Join(dir, "initrd"), 2048
	})
	m.see(said(handoff, "kexec into"), anyFailure(), handedOver())
	before := s.Stats("/live.iso").Bytes
	if before > 100<<20 {
		t.Errorf("%d bytes travelled before kexec, want 100 MiB at most", before)
	}
	m.see(regexp.MustCompile(regexp.QuoteMeta(kiwi.End)), anyFailure())
	checkKIWI(t, kiwiReport(m.Lines()))
	from, to := containerOf(t, file)
	t.Logf("%.1f MB before kexec, of the container %d bytes twice", float64(before)/1e6, twice(s.Spans("/live.iso"), from, to))
	m.exits("guest-shutdown")
}
