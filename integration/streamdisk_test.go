package integration

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/liveboot/liveboot/integration/livefacts"
	"github.com/liveboot/liveboot/integration/liveiso"
	"github.com/liveboot/liveboot/pkg/deploy"
	"github.com/liveboot/liveboot/qemu"
)

// The first boot streams to a blank disk, is interrupted, and begins anew; while the live system runs from it already, the disk becomes complete. From
// then on the machine boots from it without a network, and what was written from the beginning is there.
func TestStreamToDisk(t *testing.T) {
	for _, fileSystem := range []string{"ext4", "xfs"} {
		t.Run(fileSystem, func(t *testing.T) {
			if fileSystem != "ext4" {
				full(t)
			}
			t.Parallel()
			d := newStreamedDisk(t, fileSystem)
			first := boot(t, d.words+keep("first")+" "+livefacts.Stay, named("first"), onDisk(d.disk))
			d.checkStreams(first.facts(), "")
			d.holds(deploy.Interrupted)
			if err := first.Kill(); err != nil {
				t.Fatal(err)
			}
			d.holds(deploy.Interrupted)

			second := boot(t, d.words+keep("second")+" "+livefacts.Stay, named("second"), onDisk(d.disk))
			second.see(said(target, "holds an interrupted deployment"), anyFailure())
			d.checkStreams(second.facts(), "")
			d.holds(deploy.Interrupted)
			d.image.release()
			second.becomes(t, d.disk, deploy.Complete)
			second.enter("")
			second.exits("guest-shutdown")
			d.checkComplete("second\n")
		})
	}
}

// The power fails at other points of a deployment that streams: the next boot says so, and begins anew.
func TestStreamToDiskInterrupted(t *testing.T) {
	for _, tt := range []struct {
		name       string
		fileSystem string
		interrupt  func(d *streamedDisk)
	}{
		{"right after the beginning", "ext4", func(d *streamedDisk) {
			m := boot(d.t, d.words, named("first"), onDisk(d.disk))
			m.see(said(target, "shows the image while it streams to /dev/sda"), anyFailure())
			if err := m.Kill(); err != nil {
				d.t.Fatal(err)
			}
		}},
		{"just before the record", "ext4", func(d *streamedDisk) { d.stopAt(d.image.size) }},
		{"at the record, with XFS", "xfs", func(d *streamedDisk) { d.stopAt(d.image.size) }},
		{"at the last block", "ext4", func(d *streamedDisk) { d.stopAt(d.image.size - 1) }},
		{"power-off by the live system", "ext4", func(d *streamedDisk) {
			m := boot(d.t, d.words+keep("first"), named("first"), onDisk(d.disk))
			d.checkStreams(m.facts(), "")
			m.exits("guest-shutdown")
		}},
		{"the server is gone, and so is the machine", "ext4", func(d *streamedDisk) {
			m := boot(d.t, d.words+keep("first")+" "+livefacts.Stay, named("first"), onDisk(d.disk))
			d.checkStreams(m.facts(), "")
			d.site.stop()
			if err := m.Kill(); err != nil {
				d.t.Fatal(err)
			}
			d.site.start(d.t)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			full(t)
			t.Parallel()
			d := newStreamedDisk(t, tt.fileSystem)
			tt.interrupt(d)
			d.holds(deploy.Interrupted)
			d.image.release()
			again := boot(t, d.words+keep("again")+" "+livefacts.Stay, named("again"), onDisk(d.disk))
			again.see(said(target, "holds an interrupted deployment"), anyFailure())
			d.checkStreams(again.facts(), "")
			again.becomes(t, d.disk, deploy.Complete)
			again.enter("")
			again.exits("guest-shutdown")
			d.checkComplete("again\n")
		})
	}
}

// A disk with somebody's data is refused before anything is streamed, and not one byte of it is changed. A reset is what it takes.
func TestStreamToForeignDisk(t *testing.T) {
	t.Parallel()
	d := newStreamedDisk(t, "ext4")
	d.image.release()
	tool(t, "mkfs.ext4", "e2fsprogs", "-q", "-F", "-L", "home", d.disk)
	before := sum(t, d.disk)
	m := boot(t, d.words, onDisk(d.disk))
	m.fails(target, `/dev/sda.* holds .*ext4 "home"`)
	if err := m.Kill(); err != nil {
		t.Fatal(err)
	}
	if after := sum(t, d.disk); after != before {
		t.Error("the disk was changed")
	}
	if got := d.site.bytes(streamedPath); got != 0 {
		t.Errorf("%d bytes of the image were sent, want none", got)
	}
}

// A reset overwrites a complete image with somebody's work, and somebody else's data; both stream.
func TestStreamToDiskReset(t *testing.T) {
	for _, tt := range []struct {
		name string
		fill func(d *streamedDisk)
	}{
		{"a live image", func(d *streamedDisk) {
			insertAt(d.t, d.iso, d.disk, 0)
			addLayer(d.t, d.disk, "ext4")
		}},
		{"somebody's data", func(d *streamedDisk) { tool(d.t, "mkfs.ext4", "e2fsprogs", "-q", "-F", "-L", "home", d.disk) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			full(t)
			t.Parallel()
			d := newStreamedDisk(t, "ext4")
			d.image.release()
			tt.fill(d)
			m := boot(t, d.words+"rd.kiwi.live.reset "+keep("anew")+" "+livefacts.Stay, named("reset"), onDisk(d.disk))
			d.checkStreams(m.facts(), "")
			m.becomes(t, d.disk, deploy.Complete)
			m.enter("")
			m.exits("guest-shutdown")
			d.checkComplete("anew\n")
		})
	}
}

// All of the image is on the disk, and it is not the one that it should be: the disk does not become complete, and the next boot begins anew.
func TestStreamToDiskMismatch(t *testing.T) {
	full(t)
	t.Parallel()
	d := newStreamedDisk(t, "ext4")
	d.image.release()
	d.site.put(streamedPath+".sha256", fmt.Appendf(nil, "%x  live.iso\n", sha256.Sum256([]byte("another"))))
	m := boot(t, d.words+"rd.liveboot.mismatch=reboot "+livefacts.Stay, named("first"), onDisk(d.disk))
	d.checkStreams(m.facts(), "")
	m.exits("guest-reset") // by the streaming process, when it has read the disk
	d.holds(deploy.Interrupted)
	d.site.put(streamedPath+".sha256", []byte(sum(t, d.iso)+"  live.iso\n"))
	again := boot(t, d.words+keep("again")+" "+livefacts.Stay, named("again"), onDisk(d.disk))
	again.see(said(target, "holds an interrupted deployment"), anyFailure())
	d.checkStreams(again.facts(), "")
	again.becomes(t, d.disk, deploy.Complete)
	again.enter("")
	again.exits("guest-shutdown")
	d.checkComplete("again\n")
}

// streamedPath is where the image is on its server.
const streamedPath = "/live.iso"

// A streamedDisk is a disk for an image that streams.
type streamedDisk struct {
	t          *testing.T
	site       *streamSite
	image      *heldImage
	iso, disk  string
	fileSystem string
	// words of the kernel command line, with a space behind them.
	words string
}

// newStreamedDisk is a blank disk for a small live ISO. The last quarter of the ISO is held back until it is released: the disk cannot be complete
// before that.
func newStreamedDisk(t *testing.T, fileSystem string) *streamedDisk {
	t.Helper()
	notShort(t)
	d := &streamedDisk{t: t, site: newStreamSite(t), fileSystem: fileSystem}
	d.iso = liveISO(t, liveiso.Config{Layout: liveiso.Squashfs, Table: liveiso.GPT, PadMiB: 32})
	d.image = holdBack(t, d.iso)
	d.image.from, d.image.to = d.image.size*3/4, d.image.size
	d.site.publish(streamedPath, siteFile{d.image, d.image.size, `"one"`})
	d.disk = blankDisk(t, smallDisk)
	d.words = persistent + "/dev/sda rd.live.overlay.cowfs=" + fileSystem + " root=live:nbd:" + d.site.URL + streamedPath + " "
	return d
}

// checkStreams compares what a live system found that streams with the contract.
func (d *streamedDisk) checkStreams(f *livefacts.Facts, kept string) {
	d.t.Helper()
	// Both the ISO and the layer are shown by the device mapper.
	on := lies{iso: `/dev/dm-\d+`, fileSystem: d.fileSystem}
	layer, _ := f.Mount("/run/overlay/overlayfs")
	on.layer = regexp.MustCompile(on.iso).FindString(layer.Source)
	if on.layer == "" || on.layer == f.ISODevice {
		d.t.Errorf("mounted at /run/overlay/overlayfs is %+v, want a device of its own", layer)
	}
	checkPersistent(d.t, f, on, kept)
}

// holds says whether the disk holds what it should.
func (d *streamedDisk) holds(want deploy.State) {
	d.t.Helper()
	if found := inspect(d.t, d.disk); found.State != want {
		d.t.Errorf("the disk holds %s (%d), want state %d", found.What, found.State, want)
	}
}

// checkComplete makes sure that the disk holds all of the image, with a sound table, and boots from it, without a network.
func (d *streamedDisk) checkComplete(kept string) {
	d.t.Helper()
	checkTable(d.t, d.disk)
	checkImage(d.t, d.disk, d.iso, liveiso.GPT)
	m := boot(d.t, d.words, named("alone"), onDisk(d.disk), noCard)
	checkPersistent(d.t, m.facts(), lies{"/dev/sda1", "/dev/sda3", d.fileSystem}, kept)
	m.exits("guest-shutdown")
}

// stopAt has the machine stop at the write that goes to a byte of the disk, and ends it there.
func (d *streamedDisk) stopAt(offset int64) {
	d.t.Helper()
	d.image.release()
	rules := filepath.Join(d.t.TempDir(), "rules")
	rule := fmt.Sprintf("[inject-error]\nevent = \"write_aio\"\niotype = \"write\"\nerrno = \"5\"\nsector = \"%d\"\n", offset/512)
	if err := os.WriteFile(rules, []byte(rule), 0o600); err != nil {
		d.t.Fatal(err)
	}
	stopping := withDisk(qemu.Disk{File: "blkdebug:" + rules + ":" + d.disk, Options: []string{"werror=stop"}})
	m := boot(d.t, d.words+keep("first")+" "+livefacts.Stay, named("first"), stopping)
	m.stops()
	if err := m.Kill(); err != nil {
		d.t.Fatal(err)
	}
}

// becomes waits until a disk holds what it should, while the machine runs.
func (m *machine) becomes(t *testing.T, disk string, want deploy.State) {
	t.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		found := inspect(t, disk)
		if found.State == want {
			return
		}
		select {
		case <-tick.C:
		case <-m.ctx.Done():
			t.Fatalf("wait for the disk to hold state %d: %v; it holds %s", want, context.Cause(m.ctx), found.What)
		}
	}
}

// A heldImage is an image of which the server does not have one part, until that is released: who reads there waits.
type heldImage struct {
	io.ReaderAt
	size     int64
	from, to int64 // what is held back
	free     chan struct{}
	once     sync.Once
}

// holdBack opens an image of which nothing is held back yet.
func holdBack(t *testing.T, file string) *heldImage {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(errors.Join(err, f.Close()))
	}
	h := &heldImage{ReaderAt: f, size: info.Size(), free: make(chan struct{})}
	t.Cleanup(h.release)
	return h
}

// ReadAt implements io.ReaderAt.
func (h *heldImage) ReadAt(p []byte, offset int64) (int, error) {
	if offset < h.to && offset+int64(len(p)) > h.from {
		<-h.free
	}
	return h.ReaderAt.ReadAt(p, offset)
}

// release gives all of it away.
func (h *heldImage) release() { h.once.Do(func() { close(h.free) }) }
