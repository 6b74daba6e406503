package integration

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/liveboot/liveboot/integration/liveiso"
	"github.com/liveboot/liveboot/qemu"
)

// streamTime is how long a test with a streaming machine may take under TCG.
const streamTime = 10 * time.Minute

// A person boots while the image streams: the live root is mounted with a fraction of the image there, the rest comes behind its back, and
// when all is there, neither the server nor the network nor the streaming process is needed, under the root that is still mounted.
func TestStreamCompletes(t *testing.T) {
	t.Parallel()
	image := streamImage(t, 64)
	s := newStreamServer(t, image)
	m := streamBoot(t, s, "")
	m.see(regexp.MustCompile(`streamguest: switched`), streamFailed())
	if got := s.sent.Load(); got > int64(len(image))/2 {
		t.Errorf("%d of %d bytes were sent before the root was mounted, want less than a half", got, len(image))
	}
	before := m.ask("tree", `tree (\S+ \d+ files)`)
	m.see(regexp.MustCompile(`liveboot: the image is complete`), streamFailed())
	s.stop()
	m.ask("down", "down()")
	for range 2 {
		if after := m.ask("tree", `tree (\S+ \d+ files)`); after != before {
			t.Errorf("the files of the root are %s, and were %s", after, before)
		}
		m.ask("drop", "dropped()")
	}
	if got, want := m.ask("device", `device (\S+) `), digest(image); got != want {
		t.Errorf("the device has the SHA-256 %s, want %s", got, want)
	}
	if got := m.ask("state", "state (.*);"); got != "on ram0, process none" {
		t.Errorf("after the end the state is %q, want the RAM disk and no process", got)
	}
	m.enter("off")
	m.exits("guest-shutdown")
	m.neverSaid(regexp.MustCompile(`I/O error|Buffer I/O|SQUASHFS error`))
}

// The server is away for a minute while the live system reads: it waits, says so, and goes on.
func TestStreamOutage(t *testing.T) {
	full(t)
	t.Parallel()
	image := streamImage(t, 64)
	s := newStreamServer(t, image)
	m := streamBoot(t, s, "streamguest.rate=2000000")
	m.see(regexp.MustCompile(`streamguest: switched`), streamFailed())
	s.stop()
	m.enter("device")
	m.see(regexp.MustCompile(`liveboot: stream: .*waits for a part of its image`), streamFailed())
	m.see(regexp.MustCompile(`liveboot: stream: nothing of the image has come for \d+s, and it is tried on and on: http://.*refused`), streamFailed())
	m.see(regexp.MustCompile(`liveboot: stream: nothing of the image has come for 1m\d+s`), streamFailed()) // and it still waits
	s.start(t)
	m.see(regexp.MustCompile(`liveboot: stream: the image comes again, after 1m`), streamFailed())
	m.see(regexp.MustCompile(`liveboot: stream: the live system goes on`), streamFailed())
	if got, want := m.see(regexp.MustCompile(`streamguest: device (\S+) `), streamFailed()).Groups[1], digest(image); got != want {
		t.Errorf("the device has the SHA-256 %s, want %s", got, want)
	}
	m.see(regexp.MustCompile(`liveboot: the image is complete`), streamFailed())
	m.enter("off")
	m.exits("guest-shutdown")
	m.neverSaid(regexp.MustCompile(`I/O error|SQUASHFS error`))
}

// An image that is larger than the memory is used all the same.
func TestStreamLazy(t *testing.T) {
	full(t)
	t.Parallel()
	image := streamImage(t, 320)
	s := newStreamServer(t, image)
	m := streamBoot(t, s, "streamguest.lazy=1", func(c *qemu.Config) { c.MemoryMiB = 256 })
	m.see(regexp.MustCompile(`streamguest: switched`), streamFailed())
	for range 2 {
		if got, want := m.ask("device", `device (\S+) `), digest(image); got != want {
			t.Errorf("the device has the SHA-256 %s, want %s", got, want)
		}
	}
	if got := m.ask("state", "state (.*);"); !strings.HasPrefix(got, "on nbd0, process Vm") {
		t.Errorf("the state is %q, want the server's device", got)
	}
	m.enter("off")
	m.exits("guest-shutdown")
	m.neverSaid(regexp.MustCompile(`I/O error|SQUASHFS error|Out of memory|invoked oom-killer`))
}

// Of a chunk that is not the manifest's nothing is delivered; it is fetched again.
func TestStreamWrongChunk(t *testing.T) {
	full(t)
	t.Parallel()
	image := streamImage(t, 16)
	s := newStreamServer(t, image)
	s.manifest(t)
	// The first two answers to each request are wrong.
	var mutex sync.Mutex
	asked := make(map[string]int)
	s.alter(func(w http.ResponseWriter, r *http.Request) bool {
		mutex.Lock()
		asked[r.Header.Get("Range")]++
		wrong := asked[r.Header.Get("Range")] < 3
		mutex.Unlock()
		if !wrong {
			return false
		}
		other := bytes.Clone(image)
		for at := 0; at < len(other); at += 64 << 10 {
			other[at+1000] ^= 1
		}
		w.Header().Set("ETag", `"one"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(other))
		return true
	})
	m := streamBoot(t, s, "streamguest.chunks="+s.url+".chunks")
	m.see(regexp.MustCompile(`liveboot: stream: \d+ bytes at \d+ of the image are wrong, and fetched again`), streamFailed())
	m.see(regexp.MustCompile(`liveboot: the image is complete`), streamFailed())
	if got, want := m.ask("device", `device (\S+) `), digest(image); got != want {
		t.Errorf("the device has the SHA-256 %s, want %s", got, want)
	}
	m.enter("off")
	m.exits("guest-shutdown")
}

// A person wants to know how fast a streamed device is, read from the beginning to the end while it comes, against a plain download, and at
// any place of what has come. The figures are in the test's output; what is asked for here leaves room for a host that does other things,
// too.
func TestStreamFigures(t *testing.T) {
	full(t)
	image := streamImage(t, 64)
	s := newStreamServer(t, image)
	number := func(m *machine, do, answer string) float64 {
		n, err := strconv.ParseFloat(m.ask(do, answer), 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	var shares, reads []float64
	m := streamBoot(t, s, "streamguest.lazy=1 streamguest.memory=8388608") // so that each time all comes from the server
	m.see(regexp.MustCompile(`streamguest: switched`), streamFailed())
	for range fetchRounds {
		plain := number(m, "plain", `plain (\S+) MiB/s`)
		shares = append(shares, number(m, "sequential", `sequential (\S+) MiB/s`)/plain)
	}
	m.enter("off")
	m.exits("guest-shutdown")
	// With another digest the device stays with the process, which has it all.
	m = streamBoot(t, s, "streamguest.sha256="+digest(nil), func(c *qemu.Config) { c.Name = "filled" })
	m.see(regexp.MustCompile(`liveboot: the image that the live system runs from is not the one`), streamFailed())
	for range fetchRounds {
		reads = append(reads, number(m, "random", `random (\S+) us`))
	}
	m.enter("off")
	m.exits("guest-shutdown")
	share, read := fetchMedian(shares), fetchMedian(reads)
	t.Logf("sequential %.2f of a plain download (%.2f), 4 KiB in %.0f us (%.0f)", share, shares, read, reads)
	// A translated processor copies slowly, and from the server's bytes to the reader there are four copies more than in a plain download.
	if share < 0.1 {
		t.Errorf("the device is read at %.2f of a plain download's rate, want 0.1 at least", share)
	}
	if read > 20_000 {
		t.Errorf("4 KiB take %.0f us, want 20000 at most", read)
	}
}

func streamFailed() *regexp.Regexp { return regexp.MustCompile(`streamguest: failed: .*`) }

func digest(image []byte) string { return fmt.Sprintf("%x", sha256.Sum256(image)) }

// ask has the machine do something, and returns the first group of its answer.
func (m *machine) ask(do, answer string) string {
	m.t.Helper()
	m.enter(do)
	return m.see(regexp.MustCompile(`streamguest: `+answer), streamFailed()).Groups[1]
}

// streamImage is a live ISO with so many MiB of noise in it.
func streamImage(t testing.TB, padMiB int) []byte {
	t.Helper()
	image, err := os.ReadFile(liveISO(t, liveiso.Config{Layout: liveiso.Squashfs, PadMiB: padMiB}))
	if err != nil {
		t.Fatal(err)
	}
	return image
}
