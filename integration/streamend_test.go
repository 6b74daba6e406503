package integration

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/liveboot/liveboot/integration/debroot"
	"github.com/liveboot/liveboot/pkg/deploy"
	"github.com/liveboot/liveboot/pkg/needs"
	"github.com/liveboot/liveboot/qemu"
)

const (
	// endingTime is how long such a system may take to its login and from there to its end: a minute under TCG, on a busy machine more.
	endingTime = 10 * time.Minute
	// undelayed is less than any of systemd's own limits (DefaultTimeoutStopSec= is 90 s): nothing has waited in vain at the end.
	undelayed = 80 * time.Second
	// slowFill is how fast nobody gets an image, in bytes per second.
	slowFill = "rd.liveboot.stream-rate=10000 "
	// partFill is a rate at which no two parts are asked for at a time: one that does not come keeps no other back.
	partFill = "rd.liveboot.stream-rate=2M "
)

// A real system, whose process 1 is systemd, is shut down before all of its image is there, or just then, or afterwards. It ends by itself and without
// delay, whatever it is told; what it has written to a disk is there, with nothing to repair.
func TestStreamEnd(t *testing.T) {
	for _, tt := range []struct {
		name, words, verb string
		// at brings the image to where it is to be at the end.
		at    func(e *streamEnd)
		short bool
	}{
		{"while it fills a disk", slowFill + persistent + "/dev/sda ", "poweroff", filling, true},
		{"while it fills a disk, with XFS", slowFill + persistent + "/dev/sda rd.live.overlay.cowfs=xfs ", "reboot", filling, false},
		{"while it fills", slowFill, "reboot", filling, false},
		{"lazy", "rd.liveboot.stream=lazy ", "poweroff", filling, false},
		{"lazy, reboot", "rd.liveboot.stream=lazy ", "reboot", filling, false},
		{"at the switch", partFill, "poweroff", switching, false},
		{"at the switch of a disk", partFill + persistent + "/dev/sda ", "reboot", switching, false},
		{"the server is gone", slowFill, "poweroff", gone, false},
		{"complete", "", "poweroff", completed, false},
		{"a disk that is complete", persistent + "/dev/sda ", "reboot", completed, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if !tt.short {
				full(t)
			}
			t.Parallel()
			e := newStreamEnd(t, tt.words, "login")
			tt.at(e)
			e.end(tt.verb)
			if strings.Contains(tt.words, persistent) {
				e.checkDisk()
			}
		})
	}
}

// The live system was switched off before its disk was complete. The next boot begins anew, and gets to the end; what was read from the image then,
// without a network, is what was read while it streamed.
func TestStreamEndAgain(t *testing.T) {
	full(t)
	t.Parallel()
	words := persistent + "/dev/sda "
	e := newStreamEnd(t, slowFill+words, "first")
	e.end("poweroff")
	e.holds(deploy.Interrupted)
	e.image.release()
	e.boot(words, "second")
	e.m.hasSaid(said(target, "holds an interrupted deployment"))
	streamed := e.sums()
	e.m.enter("echo kept >/root/kept; sync")
	e.m.becomes(t, e.disk, deploy.Complete)
	e.end("poweroff")
	e.boot(words, "alone", noCard)
	if alone := e.sums(); alone != streamed {
		t.Errorf("the files of the root are %s, and were %s while it streamed", alone, streamed)
	}
	e.m.enter("cat /root/kept")
	e.m.see(regexp.MustCompile(`^kept$`))
	e.end("poweroff")
	checkClean(t, e.disk, lies{layer: "/dev/sda1", fileSystem: "ext4"})
}

// filling: some of the image is there, and the rest is on its way, slowly.
func filling(*streamEnd) {}

// switching: all is there but the last piece, which comes while the system ends.
func switching(e *streamEnd) {
	// The piece is in one part of 256 KiB, or in two.
	const present = `awk -F'"present":' '{exit !($2+0 >= %d)}' /run/liveboot/stream.json`
	e.m.enter("until " + fmt.Sprintf(present, e.image.size-512<<10) + "; do sleep 1; done; echo all but the last")
	e.m.see(regexp.MustCompile(`^all but the last$`), diskTrouble())
	e.stopping = e.image.release
}

// gone: the server does not come back. What the end needs is there, by then.
func gone(e *streamEnd) {
	e.provided()
	e.site.stop()
}

// provided waits until all is there that systemd itself needs for the end.
func (e *streamEnd) provided() {
	e.t.Helper()
	e.m.enter("until dmesg | grep -q 'needs to end the machine has come'; do sleep 2; done; echo ready to end")
	e.m.see(regexp.MustCompile(`^ready to end$`), diskTrouble())
}

// completed: all is there, and the server is gone; everything can be read.
func completed(e *streamEnd) {
	e.image.release()
	e.m.see(arrived(), anyFailure())
	e.site.stop()
	e.sums()
}

// A streamEnd is a machine with a live system that is going to be shut down.
type streamEnd struct {
	t          *testing.T
	site       *streamSite
	image      *heldImage
	disk       string
	fileSystem string
	m          *machine
	// stopping is called as soon as the system has begun to end; nil for nothing to do.
	stopping func()
}

// newStreamEnd boots a machine with an empty disk to its login. A piece of the image that nobody reads is held back until it is released.
func newStreamEnd(t *testing.T, words, name string) *streamEnd {
	t.Helper()
	notShort(t)
	e := &streamEnd{t: t, site: newStreamSite(t), disk: blankDisk(t, smallDisk), fileSystem: "ext4"}
	if strings.Contains(words, "cowfs=xfs") {
		e.fileSystem = "xfs"
	}
	e.holdNoise(endingISO(t))
	e.site.publish(streamedPath, siteFile{e.image, e.image.size, `"one"`})
	e.boot(words, name)
	return e
}

// holdNoise holds back the middle of the noise, further from its beginning than is read ahead. In the image noise is as it was: it cannot be compressed.
func (e *streamEnd) holdNoise(iso string) {
	e.t.Helper()
	content, err := os.ReadFile(iso)
	if err != nil {
		e.t.Fatal(err)
	}
	const piece = 64 << 10
	at := bytes.Index(content, endingNoise()[endingNoiseSize/2:][:piece/2])
	if at < 0 {
		e.t.Fatalf("the noise is not in %s", iso)
	}
	e.image = holdBack(e.t, iso)
	e.image.from, e.image.to = int64(at), int64(at)+piece
}

// boot boots to the login.
func (e *streamEnd) boot(words, name string, changes ...func(*qemu.Config)) {
	e.t.Helper()
	changes = append(changes, named(name), onDisk(e.disk))
	e.m = bootWithin(e.t, endingTime, words+"root=live:nbd:"+e.site.URL+streamedPath, changes...)
	e.m.see(regexp.MustCompile(`root@.*# $`), anyFailure())
}

// sums reads all files of the root, and returns the digest of that.
func (e *streamEnd) sums() string {
	e.t.Helper()
	e.m.enter("find /run/overlay/rootfsbase -xdev -type f -exec sha256sum {} + | sort | sha256sum")
	return e.m.see(regexp.MustCompile(`^([0-9a-f]{64})  -`), diskTrouble()).Groups[1]
}

// end has the system end, as the verb of systemctl says, and reads what a person sees of that.
func (e *streamEnd) end(verb string) {
	e.t.Helper()
	before := len(e.m.Lines())
	e.m.enter("systemctl " + verb)
	began := e.m.see(regexp.MustCompile(`Stopp(?:ed|ing) `)).Line.At
	if e.stopping != nil {
		e.stopping()
	}
	e.m.exits(map[string]string{"poweroff": "guest-shutdown", "reboot": "guest-reset"}[verb])
	lines := e.m.Lines()
	if took := lines[len(lines)-1].At - began; took > undelayed {
		e.t.Errorf("the end took %v, want %v at most", took, undelayed)
	}
	e.m.hasSaid(regexp.MustCompile(`liveboot: all file systems are unmounted$`))
	e.m.neverSaid(diskTrouble())
	for _, l := range lines[min(before, len(lines)):] {
		switched := e.stopping != nil && letGo().MatchString(l.Text)
		if strange().MatchString(l.Text) && !strings.Contains(l.Text, "(sd-umount)") && !switched {
			e.t.Errorf("at the end the console says %q", l)
		}
	}
}

// strange is what frightens a person at the console. That systemd finds in use what the root is made of is no reason to: it says so of every live system.
func strange() *regexp.Regexp {
	return regexp.MustCompile(`(?i)\bfail|\berror|timed out|cannot unmount|still in use|by force|gave up|refuses|dead|block nbd|A stop job is running`)
}

// letGo is what the kernel says when the device of the server is not needed any more.
func letGo() *regexp.Regexp {
	return regexp.MustCompile(`block nbd\d+: (?:NBD_DISCONNECT|Disconnected due to user request\.|shutting down sockets)$`)
}

// holds says whether the disk holds what it should.
func (e *streamEnd) holds(want deploy.State) {
	e.t.Helper()
	if found := inspect(e.t, e.disk); found.State != want {
		e.t.Errorf("the disk holds %s (%d), want state %d", found.What, found.State, want)
	}
}

// checkDisk makes sure that the writable layer was unmounted, and that the disk is whole or not at all.
func (e *streamEnd) checkDisk() {
	e.t.Helper()
	if inspect(e.t, e.disk).State == deploy.Complete {
		checkTable(e.t, e.disk)
		checkClean(e.t, e.disk, lies{layer: "/dev/sda1", fileSystem: e.fileSystem})
		return
	}
	e.holds(deploy.Interrupted)
	file := e.layer()
	name, args, clean := needs.Program(e.t, "dumpe2fs", "e2fsprogs"), []string{"-h", file}, `Filesystem state: +clean\n`
	if e.fileSystem == "xfs" {
		name, args, clean = needs.Program(e.t, "xfs_logprint", "xfsprogs"), []string{"-t", file}, `state: <CLEAN>`
	}
	out, err := exec.CommandContext(e.t.Context(), name, args...).CombinedOutput()
	if err != nil || !regexp.MustCompile(clean).Match(out) || strings.Contains(string(out), "needs_recovery") {
		e.t.Errorf("%s: %v, want %s and no needs_recovery in:\n%.2000s", name, err, clean, out)
	}
}

// layer is a copy of the writable layer on a disk whose table does not have it yet: it begins at a whole MiB behind the image.
func (e *streamEnd) layer() string {
	e.t.Helper()
	f, err := os.Open(e.disk)
	if err != nil {
		e.t.Fatal(err)
	}
	defer f.Close()
	// Where the file system's number is, and which: ext4's superblock (fs/ext4/ext4.h) begins at 1024, XFS's at 0.
	magic, at := "\x53\xef", int64(1024+56)
	if e.fileSystem == "xfs" {
		magic, at = "XFSB", 0
	}
	const aligned = 1 << 20
	start := (e.image.size + aligned - 1) / aligned * aligned
	for b := make([]byte, len(magic)); ; start += aligned {
		if _, err := f.ReadAt(b, start+at); err != nil {
			e.t.Fatalf("find %s on the disk: %v", e.fileSystem, err)
		}
		if string(b) == magic {
			break
		}
	}
	file := filepath.Join(e.t.TempDir(), "layer")
	out, err := os.Create(file)
	if err != nil {
		e.t.Fatal(err)
	}
	defer out.Close()
	const size = smallDisk << 20
	if err := out.Truncate(size - start); err != nil {
		e.t.Fatal(err)
	}
	copyHoles(e.t, out, 0, io.NewSectionReader(f, start, size-start))
	return file
}

// endingNoiseSize is that of a file in the root, in bytes.
const endingNoiseSize = 24 << 20

// endingNoise is its content, the same every time.
func endingNoise() []byte {
	b := make([]byte, endingNoiseSize)
	// It always fills the slice.
	_, _ = rand.NewChaCha8([32]byte{'e', 'n', 'd'}).Read(b)
	return b
}

// endingISO is a live ISO of Debian with systemd, with root logged in on ttyS0.
func endingISO(t *testing.T) string {
	t.Helper()
	file := func(content string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(content)} }
	iso, err := debroot.ISO(context.WithoutCancel(t.Context()), debroot.System{
		Name: "systemd", Packages: []string{"systemd-sysv", "udev", "dbus", "libpam-systemd", "kmod", "procps"},
		Files: fstest.MapFS{
			"etc/machine-id":  file(""),
			"root/.hushlogin": file(""),
			"opt/noise":       {Data: endingNoise()},
			"opt/unread":      {Data: append([]byte("#!"), endingNoise()[:4<<20]...)}, // a program for debroot, which nothing reads
			"etc/systemd/system/serial-getty@ttyS0.service.d/autologin.conf": file(
				"[Service]\nExecStart=\nExecStart=-/sbin/agetty --autologin root --keep-baud 115200 - $TERM\n"),
		},
	}, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	return iso
}
