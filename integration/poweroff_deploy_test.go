package integration

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/liveboot/liveboot/integration/liveiso"
	"github.com/liveboot/liveboot/integration/webserver"
	"github.com/liveboot/liveboot/pkg/deploy"
	table "github.com/liveboot/liveboot/pkg/partition"
	"github.com/liveboot/liveboot/qemu"
)

// A moment is a write that does not reach the disk any more.
type moment struct {
	// flushes is how often the disk was flushed before.
	flushes int
	// part of the image that the disk has, from 0 to 1; if it is negative, the write is the next one, wherever it goes.
	part float64
}

// anywhere is the part for the next write, wherever it goes.
const anywhere = -1

// How often a disk is flushed before each step of a deployment. The writable layer takes four flushes in either file system, the first one after
// old signatures were wiped.
const (
	beforeMark   = 0
	beforeClear  = 1
	beforeImage  = 2
	beforeLayer  = 3
	beforeRecord = 7
	beforeTables = 8
	beforeLBA0   = 9
	deployed     = 10
)

// The power fails in the middle of a deployment. Whenever that is, the next boot deploys the image again, or finds a whole system; there is
// nothing in between. The machine is stopped by a disk that takes no more, so that each moment is met exactly.
func TestPowerFails(t *testing.T) {
	for _, tt := range []powerFailure{
		{name: "before the mark", at: moment{beforeMark, anywhere}, holds: deploy.Blank},
		{name: "before it is cleared", at: moment{beforeClear, anywhere}, holds: deploy.Interrupted, short: true},
		{name: "before the image", at: moment{beforeImage, anywhere}, holds: deploy.Interrupted},
		{name: "at 10 %", at: moment{beforeImage, 0.1}, holds: deploy.Interrupted},
		{name: "at 25 %", at: moment{beforeImage, 0.25}, holds: deploy.Interrupted},
		{name: "at 50 %", at: moment{beforeImage, 0.5}, holds: deploy.Interrupted, short: true},
		{name: "at 75 %", at: moment{beforeImage, 0.75}, holds: deploy.Interrupted},
		{name: "at 95 %", at: moment{beforeImage, 0.95}, holds: deploy.Interrupted},
		{name: "at the last block", at: moment{beforeImage, 0.9999}, holds: deploy.Interrupted},
		{name: "before the layer", at: moment{beforeLayer, anywhere}, holds: deploy.Interrupted},
		{name: "in the layer", at: moment{beforeLayer + 1, anywhere}, holds: deploy.Interrupted},
		{name: "in the layer's tables", at: moment{beforeLayer + 2, anywhere}, holds: deploy.Interrupted},
		{name: "at the layer's end", at: moment{beforeLayer + 3, anywhere}, holds: deploy.Interrupted},
		{name: "before XFS", fileSystem: "xfs", at: moment{beforeLayer, anywhere}, holds: deploy.Interrupted},
		{name: "in XFS", fileSystem: "xfs", at: moment{beforeLayer + 2, anywhere}, holds: deploy.Interrupted},
		{name: "before the record", at: moment{beforeRecord, anywhere}, holds: deploy.Interrupted},
		{name: "before the tables", at: moment{beforeTables, anywhere}, holds: deploy.Interrupted},
		{name: "before LBA 0", at: moment{beforeLBA0, anywhere}, holds: deploy.Interrupted, short: true},
		{name: "before the live system writes", at: moment{deployed, anywhere}, holds: deploy.Complete},
		{name: "reset, before the mark", reset: true, at: moment{beforeMark, anywhere}, holds: deploy.Complete, kept: "from elsewhere\n"},
		{name: "reset, before it is cleared", reset: true, at: moment{beforeClear, anywhere}, holds: deploy.Interrupted},
		{name: "reset, before LBA 0", reset: true, at: moment{beforeLBA0, anywhere}, holds: deploy.Interrupted},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if !tt.short {
				full(t)
			}
			t.Parallel()
			tt.run(t)
		})
	}
}

// A powerFailure is one in the middle of a deployment.
type powerFailure struct {
	name string
	at   moment
	// fileSystem of the layer; empty for the default.
	fileSystem string
	// reset is the deployment over a complete image with somebody's data.
	reset bool
	// holds is the state of the disk then.
	holds deploy.State
	// kept is what the boot after it finds kept.
	kept string
	// short tells that it is in the representative set.
	short bool
}

func (p powerFailure) run(t *testing.T) {
	iso := liveISO(t, liveiso.Config{Layout: liveiso.Squashfs, Table: liveiso.GPT, PadMiB: 16})
	s := webserver.New(t, nil)
	s.File("/live.iso", iso)
	disk := blankDisk(t, smallDisk)
	words := persistent + "/dev/sda root=live:" + s.URL + "/live.iso "
	if p.fileSystem != "" {
		words += "rd.live.overlay.cowfs=" + p.fileSystem + " "
	}
	begin := words
	if p.reset {
		insertAt(t, iso, disk, 0)
		addLayer(t, disk, "ext4")
		begin += "rd.kiwi.live.reset "
	}
	rule := failingWrite(t, p.at, iso)
	first := boot(t, begin+keep("first"), named("first"), withDisk(qemu.Disk{File: rule + disk, Options: []string{"werror=stop"}}))
	first.stops()
	if err := first.Kill(); err != nil {
		t.Fatal(err)
	}
	found := inspect(t, disk)
	if found.State != p.holds {
		t.Errorf("the disk holds %s (%d), want state %d", found.What, found.State, p.holds)
	}
	asked := s.Stats("/live.iso").Gets
	second := boot(t, words+keep("second"), named("second"), onDisk(disk))
	checkPersistent(t, second.facts(), lies{"/dev/sda1", "/dev/sda3", cmp.Or(p.fileSystem, "ext4")}, p.kept)
	second.exits("guest-shutdown")
	if again := s.Stats("/live.iso").Gets > asked; again != (found.State != deploy.Complete) {
		t.Errorf("the image was fetched again: %t, of a disk that holds %s", again, found.What)
	}
	checkTable(t, disk)
	checkImage(t, disk, iso, liveiso.GPT)
}

// failingWrite makes a rule for QEMU's blkdebug (docs/devel/blkdebug.rst in QEMU's source) and returns what is put before the name of a
// disk's file for it to hold.
func failingWrite(t *testing.T, m moment, iso string) (prefix string) {
	t.Helper()
	var b strings.Builder
	const states = 40 // the first one is 1, and each flush leads to the next
	for i := 1; i < states; i++ {
		fmt.Fprintf(&b, "[set-state]\nevent = \"flush_to_os\"\nstate = \"%d\"\nnew_state = \"%d\"\n", i, i+1)
	}
	fmt.Fprint(&b, "[inject-error]\nevent = \"write_aio\"\niotype = \"write\"\nerrno = \"5\"\n")
	fmt.Fprintf(&b, "state = \"%d\"\n", m.flushes+1)
	if m.part >= 0 {
		info, err := os.Stat(iso)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "sector = \"%d\"\n", int64(m.part*float64(info.Size()))/512)
	}
	rules := filepath.Join(t.TempDir(), "rules")
	if err := os.WriteFile(rules, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return "blkdebug:" + rules + ":"
}

// stops waits until QEMU has stopped the machine because of its disk.
func (m *machine) stops() {
	m.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		var status struct{ Status string }
		if err := m.QMP(m.ctx, "query-status", nil, &status); err != nil {
			m.t.Fatal(err)
		}
		if status.Status == "io-error" {
			return
		}
		select {
		case <-tick.C:
		case <-m.ctx.Done():
			m.t.Fatalf("wait for the disk to stop the machine: %v", context.Cause(m.ctx))
		}
	}
}

// inspect says what a disk holds.
func inspect(t *testing.T, disk string) deploy.Finding {
	t.Helper()
	f, err := os.Open(disk)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	found, err := deploy.Inspect(f, table.Disk{Size: info.Size(), SectorSize: 512}, "LiveOS/squashfs.img")
	if err != nil {
		t.Fatal(err)
	}
	return found
}
