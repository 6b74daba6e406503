package integration

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/liveboot/liveboot/integration/kiwi"
	"github.com/liveboot/liveboot/pkg/needs"
	"github.com/liveboot/liveboot/qemu"
)

// streamedKIWITime is how long a test may take in which a real live system streams, its image becomes complete, and all of it is read.
const streamedKIWITime = 25 * time.Minute

// kiwiPrompt is the shell's that root is logged in to.
var kiwiPrompt = regexp.MustCompile(`root@.*# $`)

// A streamedKIWI is a real live system whose image streams.
type streamedKIWI struct {
	*machine
	*streamSite
	size int64
	path string
}

// newStreamedKIWI boots a real live system. prepare, if it is not nil, may change its server before the machine starts.
func newStreamedKIWI(t *testing.T, iso, words string, prepare func(*streamSite), changes ...func(*qemu.Config)) *streamedKIWI {
	t.Helper()
	notShort(t)
	info, err := os.Stat(iso)
	if err != nil {
		t.Fatal(err)
	}
	k := &streamedKIWI{streamSite: newStreamSite(t), size: info.Size(), path: "/kiwi.iso"}
	url := k.putImage(t, k.path, iso)
	if prepare != nil {
		prepare(k.streamSite)
	}
	change := append([]func(*qemu.Config){kiwiMemory}, changes...)
	k.machine = bootWithin(t, streamedKIWITime, "ip=dhcp root=live:nbd:"+url+" "+words, change...)
	return k
}

// up waits until the system is up and has reported, and says when, and how much of the image was sent until then.
func (k *streamedKIWI) up() (after time.Duration, sent int64) {
	k.t.Helper()
	after = k.see(regexp.MustCompile(kiwi.Up), anyFailure()).Line.At
	sent = k.bytes(k.path)
	k.see(regexp.MustCompile(regexp.QuoteMeta(kiwi.End)))
	report := kiwiReport(k.Lines())
	if got := strings.TrimSpace(report["systemctl"]); got != "running" {
		k.t.Errorf("the live system is %s, want running", got)
	}
	k.insist(kiwiPrompt)
	k.t.Logf("up after %.1f s, with %.1f of %.1f MB sent; memory available: %s", after.Seconds(), float64(sent)/1e6, float64(k.size)/1e6,
		strings.TrimSpace(report["MemAvailable"]))
	return after, sent
}

// does runs a line in the system's shell, waits for its end, and makes sure that it succeeded.
func (k *streamedKIWI) does(line string) {
	k.t.Helper()
	k.enter(line + ending)
	k.see(regexp.MustCompile(regexp.QuoteMeta(ending)))
	if status := k.see(done, streamFailed()).Groups[1]; status != "0" {
		k.t.Errorf("%s: status %s, want 0", line, status)
	}
}

// completes waits until the device of the root is the RAM disk, and the streaming process is gone.
func (k *streamedKIWI) completes() {
	k.t.Helper()
	k.does(`until [ -e /sys/block/dm-0/slaves/ram0 ] && ! pgrep -f ^@stream/; do sleep 1; done`)
}

// reads makes sure that every file of the root can be read, and every byte of the image is right, after the kernel has forgotten all of it.
func (k *streamedKIWI) reads(iso string) {
	k.t.Helper()
	sum, err := os.ReadFile(iso + ".sha256")
	if err != nil {
		k.t.Fatal(err)
	}
	k.does(`echo 3 >/proc/sys/vm/drop_caches`)
	k.does(`find / -xdev -type f -exec cat {} + >/dev/null`)
	k.does(`[ $(sha256sum </dev/dm-0 | cut -c-64) = ` + strings.Fields(string(sum))[0] + ` ]`)
}

// ends powers the system off, and makes sure that it had no trouble with its disks.
func (k *streamedKIWI) ends() {
	k.t.Helper()
	k.enter("systemctl poweroff")
	k.exits("guest-shutdown")
	k.neverSaid(diskTrouble())
}

// The real live system is up with a third of its image sent. When the image is complete, its server is stopped and the card taken down: all of
// it can be read.
func TestStreamedKIWI(t *testing.T) {
	full(t)
	t.Parallel()
	iso := kiwiISO(t)
	k := newStreamedKIWI(t, iso, "", nil)
	_, sent := k.up()
	if sent > k.size*35/100 {
		t.Errorf("%d of %d bytes were sent before the system was up, want 35 %% at most", sent, k.size)
	}
	milestones(k.machine)
	k.completes()
	k.stop()
	k.does(`ip link set $(ls /sys/class/net | grep ^e) down`)
	k.reads(iso)
	k.ends()
}

// The server goes away for a minute at five points, as seen by the machine: before the root is mounted, while the system starts, while the rest
// is filled in, when it has sent the last byte, and after the end. Nothing goes wrong, and nothing is lost.
func TestStreamedKIWIOutages(t *testing.T) {
	full(t)
	t.Parallel()
	iso := kiwiISO(t)
	k := newStreamedKIWI(t, iso, "rd.liveboot.stream-rate=4M", nil)
	away := func() {
		t.Helper()
		t.Logf("%d of %d bytes were sent when the server went away", k.bytes(k.path), k.size)
		k.stop()
		wait(t, time.Minute)
		k.start(t)
	}
	k.see(said(target, "shows the image while it streams"), anyFailure())
	away()
	k.see(said(handoff, "switch_root"), anyFailure())
	away()
	k.up()
	away()
	for sent := int64(0); sent != k.bytes(k.path); wait(t, 10*time.Second) {
		sent = k.bytes(k.path)
	}
	away()
	k.completes()
	away()
	k.reads(iso)
	k.ends()
}

// Somebody puts another file under the same name while the system runs: it says so, and works with what it has.
func TestStreamedKIWIChanged(t *testing.T) {
	full(t)
	t.Parallel()
	iso := kiwiISO(t)
	k := newStreamedKIWI(t, iso, "rd.liveboot.stream-rate=1M", nil)
	k.up()
	const works = `systemctl is-system-running && dmesg | grep -c 'liveboot: stream: ' | cat && sleep 0`
	k.does(works) // so that all that this needs is there
	k.publish(k.path, siteFile{zeros{}, k.size, `"another"`})
	k.does(`until dmesg | grep 'liveboot: stream: .*is not the file of .* bytes any more'; do sleep 1; done`)
	var inside atomic.Pointer[string]
	k.alter(func(path string, _ http.ResponseWriter, r *http.Request) bool {
		if wanted := r.Header.Get("Range"); path == k.path && !strings.HasPrefix(wanted, "bytes=0-") {
			inside.Store(&wanted)
		}
		return false
	})
	sent := k.bytes(k.path)
	wait(t, 30*time.Second)
	k.does(works)
	// It is looked at every fifteen seconds, and its beginning comes then.
	if now := k.bytes(k.path); now-sent > 20*64<<10 {
		t.Errorf("%d bytes were sent after the change of the file was seen, want nothing but a look now and then", now-sent)
	}
	if wanted := inside.Load(); wanted != nil {
		t.Errorf("%s was asked for after the change of the file was seen, want nothing but its beginning", *wanted)
	}
}

// zeros is a file of nothing else.
type zeros struct{}

// ReadAt implements io.ReaderAt.
func (zeros) ReadAt(p []byte, _ int64) (int, error) {
	clear(p)
	return len(p), nil
}

// A line of 2 MB/s, and one whose server is 50 ms away: the system gets up, long before its image could have been there.
func TestStreamedKIWILines(t *testing.T) {
	for _, tt := range []struct {
		name    string
		prepare func(*streamSite)
		within  time.Duration
	}{
		{"slow", func(s *streamSite) { s.line = &siteLine{rate: 2e6} }, kiwiTime},
		{"far", func(s *streamSite) { s.delay = 50 * time.Millisecond }, kiwiTime},
	} {
		t.Run(tt.name, func(t *testing.T) {
			full(t)
			t.Parallel()
			iso := kiwiISO(t)
			k := newStreamedKIWI(t, iso, "", tt.prepare)
			if _, sent := k.up(); sent > k.size*35/100 {
				t.Errorf("%d of %d bytes were sent before the system was up, want 35 %% at most", sent, k.size)
			}
			milestones(k.machine)
			k.ends()
		})
	}
}

// The real live system is up in a machine that its image does not fit into.
func TestStreamedKIWILittleMemory(t *testing.T) {
	full(t)
	t.Parallel()
	k := newStreamedKIWI(t, kiwiISO(t), "rd.liveboot.stream=lazy", nil, func(c *qemu.Config) { c.MemoryMiB = 448 })
	k.up()
	k.does(`find / -xdev -type f -exec cat {} + >/dev/null`)
	k.ends()
}

// However large the image is, the system in it is up as soon as that in the small one: what else is in the image is not looked at. The two start
// side by side, so that whatever else the host does slows down both.
func TestStreamedKIWIHuge(t *testing.T) {
	full(t)
	t.Parallel()
	const lazy = "rd.liveboot.stream=lazy"
	small := kiwiISO(t)
	for _, gib := range []int64{4, 8} {
		padded := paddedKIWI(t, small, gib)
		size := strconv.FormatInt(gib, 10) + "GiB"
		beside := newStreamedKIWI(t, small, lazy, nil, named("beside-"+size))
		k := newStreamedKIWI(t, padded, lazy, nil, named(size))
		if k.size < gib<<30 {
			t.Errorf("the image has %d bytes, want more than %d GiB", k.size, gib)
		}
		wantAfter, wantSent := beside.up()
		after, sent := k.up()
		// It was counted when the other one was up, too, and has reported.
		if sent > wantSent*5/4 {
			t.Errorf("of an image of %d GiB %d bytes are sent until the system is up, and %d of the small one", gib, sent, wantSent)
		}
		later := 100 * (after - wantAfter).Seconds() / wantAfter.Seconds()
		t.Logf("up %.1f %% later than with the small image", later)
		// The bytes tell; of two machines on a host that has no two processors for them one may be a good deal behind by chance.
		if later > 100 {
			t.Errorf("with an image of %d GiB the system is up after %v, and after %v with the small one beside it", gib, after, wantAfter)
		}
		beside.ends()
		k.ends()
	}
}

// kiwiTree is the content of the real live ISO, in a folder, unpacked once.
var kiwiTree = sync.OnceValues(func() (string, error) {
	iso, err := kiwi.ISO(buildContext(), os.Stderr)
	if err != nil {
		return "", err
	}
	tree := filepath.Join(workDir(), "kiwi-tree")
	if err := os.MkdirAll(workDir(), 0o755); err != nil {
		return "", err
	}
	return tree, exec.CommandContext(buildContext(), "xorriso", "-osirrox", "on", "-indev", iso, "-extract", "/", tree).Run()
})

// paddedKIWI is the same live ISO with a file beside the live system, which has so many GiB of zeros. It takes little place on the disk.
func paddedKIWI(t *testing.T, iso string, gib int64) string {
	t.Helper()
	tree, err := kiwiTree()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	padding, made := filepath.Join(dir, "padding"), filepath.Join(dir, "padded.iso")
	if err := os.WriteFile(padding, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(padding, gib<<30); err != nil {
		t.Fatal(err)
	}
	program := needs.Program(t, "xorriso", "xorriso")
	// cp makes holes of the zeros as they come.
	script := `"$1" -as mkisofs -quiet -R -iso-level 3 -V CDROM -o - -graft-points /="$2" /padding="$3" | cp --sparse=always /dev/stdin "$4"`
	out, err := exec.CommandContext(t.Context(), "bash", "-o", "pipefail", "-c", script, "bash", program, tree, padding, made).CombinedOutput()
	if err != nil {
		t.Fatalf("pad %s: %v: %s", iso, err, out)
	}
	return made
}
