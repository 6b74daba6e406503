package integration

import (
	"strconv"
	"testing"

	"github.com/liveboot/liveboot/integration/livefacts"
	"github.com/liveboot/liveboot/integration/liveiso"
)

// synced is how many files the live system has safe on its disk when the power fails.
const synced = 20

// The power fails while the live system writes: what it was told to be on the disk is there afterwards.
func TestPowerFailsUnderLoad(t *testing.T) {
	for _, fileSystem := range []string{"ext4", "xfs"} {
		t.Run(fileSystem, func(t *testing.T) {
			full(t)
			t.Parallel()
			disk := copied(t, liveISO(t, liveiso.Config{Layout: liveiso.Squashfs, Table: liveiso.GPT}))
			words := persistent + "/dev/sda root=live:http://10.0.2.2/gone.iso rd.live.overlay.cowfs=" + fileSystem + " "
			want := lies{"/dev/sda1", "/dev/sda3", fileSystem}
			first := boot(t, words+livefacts.Load+" "+keep("first"), named("first"), onDisk(disk), noCard)
			checkPersistent(t, first.facts(), want, "")
			safe := 0
			for safe < synced {
				var err error
				if safe, err = strconv.Atoi(first.see(livefacts.Synced()).Groups[1]); err != nil {
					t.Fatal(err)
				}
			}
			if err := first.Kill(); err != nil {
				t.Fatal(err)
			}
			second := boot(t, words, named("second"), onDisk(disk), noCard)
			f := second.facts()
			checkPersistent(t, f, want, "first\n")
			if f.Loaded < safe {
				t.Errorf("%d files are there and as they were written, want at least %d", f.Loaded, safe)
			}
			second.exits("guest-shutdown")
		})
	}
}
