package integration

import (
	"bytes"
	"regexp"
	"testing"

	"github.com/liveboot/liveboot/integration/liveiso"
)

// The writable layer is damaged: the boot stops, says what can be done, and changes nothing; with rd.live.overlay.persistent=auto it goes on in
// memory.
func TestBrokenLayer(t *testing.T) {
	for _, tt := range []struct {
		name, fileSystem string
		offset           int64 // of the damage in the partition, and how long it is, in bytes
		length           int
		full             bool
		mounted          bool // the damage shows to the kernel only when it has begun to mount, and to write its log
	}{
		{"ext4's superblock", "ext4", 1024, 1024, true, false},
		{"XFS's superblock", "xfs", 0, 4096, true, false},
		{"ext4's group descriptors", "ext4", 4096, 4096, false, false},
		{"XFS's root", "xfs", 4096, 256 << 10, true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.full {
				full(t)
			}
			t.Parallel()
			disk := copied(t, liveISO(t, liveiso.Config{Layout: liveiso.Squashfs, Table: liveiso.GPT}))
			words := persistent + "/dev/sda root=live:http://10.0.2.2/gone.iso rd.live.overlay.cowfs=" + tt.fileSystem + " "
			want := lies{"/dev/sda1", "/dev/sda3", tt.fileSystem}
			first := boot(t, words+keep("first"), named("first"), onDisk(disk), noCard)
			checkPersistent(t, first.facts(), want, "")
			first.exits("guest-shutdown")
			overwrite(t, disk, partitionOf(t, disk, "3").start+tt.offset, bytes.Repeat([]byte("damage! "), tt.length/8))
			before := sum(t, disk)

			second := boot(t, words, named("second"), onDisk(disk), noCard)
			second.fails("(?:target|overlay)", "")
			second.hasSaid(regexp.MustCompile(hint().String() + `.*(?:rd\.kiwi\.live\.reset|rd\.live\.overlay\.persistent=auto)`))
			if err := second.Kill(); err != nil {
				t.Fatal(err)
			}
			if !tt.mounted && sum(t, disk) != before {
				t.Error("the disk was changed")
			}

			third := boot(t, words+"rd.live.overlay.persistent=auto", named("third"), onDisk(disk), noCard)
			checkPersistent(t, third.facts(), lies{iso: "/dev/sda1"}, "")
			third.hasSaid(warned("nothing that the live system writes is kept"))
			third.exits("guest-shutdown")
		})
	}
}
