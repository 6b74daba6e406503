package integration

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/liveboot/liveboot/integration/liveiso"
	"github.com/liveboot/liveboot/pkg/network/nettest"
	"github.com/liveboot/liveboot/qemu"
)

// A person adds nbd: to the URL: the live system runs with a fraction of its image there. The rest comes behind its back, and when the system
// says that all is there, neither the server nor the network nor the process that fetched it is needed.
func TestStreamedBoot(t *testing.T) {
	t.Parallel()
	image := made(t, obedientSmall)
	s := newStreamSite(t)
	m := boot(t, "ip=dhcp root=live:nbd:"+s.putImage(t, "/live.iso", image.file)+obedientWords)
	m.lives()
	if got := s.bytes("/live.iso"); got > image.size/3 {
		t.Errorf("%d of %d bytes were sent before the live system ran, want less than a third", got, image.size)
	}
	m.hasSaid(said(fetching, `live\.iso, \d+ MiB, to be streamed`))
	m.hasSaid(said(target, `/dev/dm-0 shows the image while it streams to /dev/ram0, unverified`))
	m.arrives()
	s.stop()
	m.ask("down", "down()")
	m.ask("drop", "dropped()")
	m.reads(image)
	m.readsAll(image)
	if got := m.state(); got != "on ram0, process none" {
		t.Errorf("after the end the state is %q, want the RAM disk and no process", got)
	}
	m.ends()
}

// An image that is larger than the memory is used all the same, and each part of it is verified before.
func TestStreamedLargerThanMemory(t *testing.T) {
	t.Parallel()
	image := made(t, obedientLarge)
	s := newStreamSite(t)
	url := s.putImage(t, "/live.iso", image.file)
	words := fmt.Sprintf("ip=dhcp rd.liveboot.stream=lazy rd.liveboot.chunks=%v root=live:%s", s.putManifest(t, "/live.iso", opened(t, image.file)), url)
	m := boot(t, words+obedientWords, func(c *qemu.Config) { c.MemoryMiB = 320 })
	m.lives()
	m.hasSaid(said(target, `only what is asked for is fetched, each part verified: the server is needed as long as the machine runs`))
	m.reads(image)
	if got := m.state(); !strings.HasPrefix(got, "on nbd0, process Vm") {
		t.Errorf("the state is %q, want the server's device", got)
	}
	m.ends()
}

// What the server sends is wrong at times, and at one place always: where there is a manifest, it is fetched again, from the mirror too, and
// the live system sees nothing of it.
func TestStreamedWrongParts(t *testing.T) {
	t.Parallel()
	image := made(t, obedientTiny)
	s, mirror := newStreamSite(t), newStreamSite(t)
	root := s.putManifest(t, "/live.iso", opened(t, image.file))
	var urls []string
	for _, place := range []*streamSite{s, mirror} {
		urls = append(urls, "root=live:nbd:"+place.putImage(t, "/live.iso", image.file))
	}
	same := siteFile{opened(t, image.file), image.size, `"one"`} // whatever the server
	mirror.publish("/live.iso", same)
	s.publish("/live.iso", siteFile{&damaged{of: same, every: 1 << 20, times: 2, always: image.size / 2}, image.size, same.etag})
	m := boot(t, fmt.Sprintf("ip=dhcp rd.liveboot.chunks=%v %s", root, strings.Join(urls, " "))+obedientWords)
	m.lives()
	m.arrives()
	m.hasSaid(streamLine(`\d+ bytes at \d+ of the image are wrong, and fetched again`))
	m.readsAll(image)
	m.reads(image)
	if got := mirror.bytes("/live.iso"); got == 0 {
		t.Error("the mirror was not asked for anything, and the server has no right copy of one part")
	}
	m.ends()
}

// A damaged file is right in the end, for who asks often enough, but for one of its bytes.
type damaged struct {
	of            io.ReaderAt
	every, always int64 // where there is a wrong byte: in each so many, the first times times, and always at one place
	times         int

	mutex sync.Mutex
	asked map[int64]int
}

// ReadAt implements io.ReaderAt.
func (d *damaged) ReadAt(p []byte, offset int64) (int, error) {
	n, err := d.of.ReadAt(p, offset)
	d.mutex.Lock()
	defer d.mutex.Unlock()
	if d.asked == nil {
		d.asked = map[int64]int{}
	}
	for at := d.every * (1 + (offset-1)/d.every); at < offset+int64(n); at += d.every {
		if d.asked[at]++; d.asked[at] <= d.times {
			p[at-offset] ^= 1
		}
	}
	if d.always >= offset && d.always < offset+int64(n) {
		p[d.always-offset] ^= 1
	}
	return n, err
}

// A manifest that is not the one that was asked for, not there, or of another image: the boot says so and ends.
func TestStreamedManifest(t *testing.T) {
	for _, tt := range []struct {
		name, cause string
		// change what there is; root is what the append line demands.
		change func(t *testing.T, s *streamSite, iso []byte) (root string)
	}{
		{"another root", `the manifest \S+/live\.iso\.chunks: its root is sha256:\w+, and rd\.liveboot\.chunks= demands sha256:0123`,
			func(t *testing.T, s *streamSite, iso []byte) string {
				s.putManifest(t, "/live.iso", bytes.NewReader(iso))
				return "sha256:" + strings.Repeat("0123", 16)
			}},
		{"missing", `the manifest \S+/live\.iso\.chunks: .*404`,
			func(*testing.T, *streamSite, []byte) string { return "sha256:" + strings.Repeat("0123", 16) }},
		{"stale", `the manifest \S+/live\.iso\.chunks: .*another`,
			func(t *testing.T, s *streamSite, iso []byte) string {
				root := s.putManifest(t, "/live.iso", bytes.NewReader(iso))
				other := bytes.Clone(iso)
				other[40<<10]++ // behind the volume descriptors
				s.put("/live.iso", other)
				return root.String()
			}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			file := liveISO(t, liveiso.Config{Layout: liveiso.Squashfs})
			iso, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s := newStreamSite(t)
			url := s.putImage(t, "/live.iso", file)
			m := boot(t, "ip=dhcp rd.liveboot.stream=on rd.liveboot.chunks="+tt.change(t, s, iso)+" root=live:"+url)
			m.fails(fetching, tt.cause)
			m.neverSaid(said(live, ""))
		})
	}
}

// A digest of the whole image is demanded: auto does not use what cannot be verified yet, on does, and says at the end that all was right.
func TestStreamedDigest(t *testing.T) {
	t.Run("auto", func(t *testing.T) {
		t.Parallel()
		image := made(t, obedientTiny)
		s := newStreamSite(t)
		url := s.putImage(t, "/live.iso", image.file)
		m := boot(t, "ip=dhcp rd.liveboot.stream=auto rd.debug rd.liveboot.sha256="+image.sha256+" root=live:"+url+obedientWords)
		m.lives()
		m.hasSaid(regexp.MustCompile(`the image is downloaded as a whole: its digest is demanded, and known only when all of it is there`))
		m.hasSaid(said(fetching, `sha256 is right`))
		m.enter("off")
		m.exits("guest-shutdown")
	})
	t.Run("on", func(t *testing.T) {
		t.Parallel()
		image := made(t, obedientTiny)
		s := newStreamSite(t)
		m := boot(t, "ip=dhcp rd.liveboot.sha256="+image.sha256+" root=live:nbd:"+s.putImage(t, "/live.iso", image.file)+obedientWords)
		m.lives()
		m.hasSaid(warned(`digest can be compared only when all of it is there`))
		m.hasSaid(said(target, `verified at the end`))
		m.arrives()
		m.reads(image)
		m.ends()
	})
}

// All of the image is there, and it is another one than it should be: that is said loudly, and the machine starts again where that is asked for.
func TestStreamedMismatch(t *testing.T) {
	loud := regexp.MustCompile(`liveboot: .*the image that the live system runs from is not the one it should be, do not trust it`)
	for _, tt := range []struct {
		name  string
		after func(*machine)
	}{
		{"warn", func(m *machine) {
			if got := m.state(); !strings.HasPrefix(got, "on nbd0, process Vm") {
				m.t.Errorf("the state is %q, want the process still there", got)
			}
			m.ends()
		}},
		{"reboot", func(m *machine) { m.exits("guest-reset") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			image := made(t, obedientTiny)
			s := newStreamSite(t)
			url := s.putImage(t, "/live.iso", image.file)
			s.put("/live.iso.sha256", fmt.Appendf(nil, "%s  live.iso\n", digest(nil)))
			m := boot(t, "ip=dhcp rd.liveboot.mismatch="+tt.name+" root=live:nbd:"+url+obedientWords)
			m.lives()
			m.see(loud, streamFailed())
			tt.after(m)
			m.neverSaid(arrived())
		})
	}
}

// What cannot be streamed is downloaded as a whole, and a line says why.
func TestStreamedAsWhole(t *testing.T) {
	why := func(reason string) *regexp.Regexp {
		return warned(`the image is not streamed, but downloaded as a whole: .*` + reason)
	}
	iso := func(t *testing.T) string { return liveISO(t, liveiso.Config{Layout: liveiso.Squashfs}) }
	t.Run("no ranges", func(t *testing.T) {
		t.Parallel()
		s := newStreamSite(t)
		url := s.putImage(t, "/live.iso", iso(t))
		s.alter(func(path string, w http.ResponseWriter, r *http.Request) bool {
			r.Header.Del("Range")
			return false
		})
		m := boot(t, "ip=dhcp root=live:nbd:"+url)
		checkLive(t, m.facts(), liveiso.Squashfs)
		m.hasSaid(why(`the server`))
	})
	t.Run("parts refused", func(t *testing.T) {
		t.Parallel()
		s := newStreamSite(t)
		url := s.putImage(t, "/live.iso", iso(t))
		s.alter(func(path string, w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasPrefix(r.Header.Get("Range"), "bytes=0-") {
				r.Header.Del("Range")
			}
			return false
		})
		m := boot(t, "ip=dhcp root=live:nbd:"+url)
		checkLive(t, m.facts(), liveiso.Squashfs)
		m.hasSaid(why(`the server has the file, and does not send parts of it any more`))
	})
	t.Run("compressed", func(t *testing.T) {
		t.Parallel()
		s := newStreamSite(t)
		s.put("/live.iso.xz", []byte(command(t, "xz", "-0", "-c", iso(t))))
		m := boot(t, "ip=dhcp root=live:nbd:"+s.URL+"/live.iso.xz")
		checkLive(t, m.facts(), liveiso.Squashfs)
		m.hasSaid(why(`compressed with xz`))
	})
	t.Run("tftp", func(t *testing.T) {
		t.Parallel()
		file := iso(t)
		n := nettest.Far(t)
		tap := n.Tap("lan")
		n.FarIP("address add 10.3.0.1/24 dev lan")
		n.Dnsmasq("--interface=lan", "--dhcp-range=10.3.0.100,10.3.0.110,1h", "--enable-tftp", "--tftp-root="+filepath.Dir(file))
		m := boot(t, "root=live:nbd:tftp://10.3.0.1/"+filepath.Base(file), onTaps(tap))
		checkLive(t, m.facts(), liveiso.Squashfs)
		m.hasSaid(why(`tftp`))
	})
}

// opened is a file that is closed with the test.
func opened(t testing.TB, name string) *os.File {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() }) // it was only read
	return f
}
