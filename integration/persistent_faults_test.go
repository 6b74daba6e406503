package integration

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/liveboot/liveboot/integration/liveiso"
	"github.com/liveboot/liveboot/integration/webserver"
	"github.com/liveboot/liveboot/pkg/deploy"
	"github.com/liveboot/liveboot/qemu"
)

// The disk cannot be written to in one place: the boot ends and names the place, and the disk is not taken for a deployed one.
func TestBadSector(t *testing.T) {
	for _, tt := range []struct {
		name  string
		at    moment
		cause string
		full  bool
	}{
		{"in the image", moment{beforeImage, 0.5}, `write at byte \d+.*input/output error`, false},
		{"while it is cleared", moment{beforeClear, anywhere}, `clear.*input/output error`, true},
		{"in LBA 0", moment{beforeLBA0, anywhere}, `finish the deployment: .*input/output error`, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.full {
				full(t)
			}
			t.Parallel()
			iso := liveISO(t, liveiso.Config{Layout: liveiso.Squashfs, Table: liveiso.GPT, PadMiB: 16})
			disk := blankDisk(t, smallDisk)
			words := persistent + "/dev/sda root=live:" + nginx(t, iso, nil) + " "
			rule := failingWrite(t, tt.at, iso)
			m := boot(t, words, named("bad"), withDisk(qemu.Disk{File: rule + disk, Options: []string{"werror=report"}}))
			m.fails("(?:target|fetch)", tt.cause)
			checkNotDeployed(t, m, disk)
			deployedAfresh(t, words, disk)
		})
	}
}

// checkNotDeployed switches the machine off and makes sure that what the disk holds is no live image.
func checkNotDeployed(t *testing.T, m *machine, disk string) {
	t.Helper()
	m.neverSaid(said(live, ""))
	if err := m.Kill(); err != nil {
		t.Fatal(err)
	}
	if found := inspect(t, disk); found.State != deploy.Interrupted && found.State != deploy.Blank {
		t.Errorf("the disk holds %s, want no complete image and nothing foreign", found.What)
	}
}

// deployedAfresh boots with a sound disk and server.
func deployedAfresh(t *testing.T, words, disk string) {
	t.Helper()
	again := boot(t, words, named("again"), onDisk(disk))
	checkPersistent(t, again.facts(), lies{"/dev/sda1", "/dev/sda3", "ext4"}, "")
	again.hasSaid(said(fetching, ""))
	again.exits("guest-shutdown")
}

// The image does not arrive whole, or is not the one that was meant: the disk is not taken for a deployed one.
func TestBadImage(t *testing.T) {
	for _, tt := range []struct{ name, cause string }{
		{"cut", `\d.* of .*\d`},
		{"another digest", "is not the expected one"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			full(t)
			t.Parallel()
			iso := liveISO(t, liveiso.Config{Layout: liveiso.Squashfs, Table: liveiso.GPT, PadMiB: 16})
			disk := blankDisk(t, smallDisk)
			var url string
			if tt.name == "cut" {
				s := webserver.New(t, nil)
				s.Cut(t, "/live.iso", iso, 0.7)
				url = s.URL + "/live.iso rd.kiwi.live.curl_options=--retry,1"
			} else {
				url = misdescribed(t, iso)
			}
			m := boot(t, persistent+"/dev/sda root=live:"+url, named("bad"), onDisk(disk))
			m.fails(fetching, tt.cause)
			checkNotDeployed(t, m, disk)
			deployedAfresh(t, persistent+"/dev/sda root=live:"+nginx(t, iso, nil), disk)
		})
	}
}

// misdescribed serves an ISO with the digest of something else beside it, and returns its URL.
func misdescribed(t *testing.T, iso string) string {
	t.Helper()
	dir := t.TempDir()
	err := errors.Join(
		os.Symlink(iso, filepath.Join(dir, "live.iso")),
		os.WriteFile(filepath.Join(dir, "live.iso.sha256"), fmt.Appendf(nil, "%x  live.iso\n", sha256.Sum256([]byte("another"))), 0o644),
	)
	if err != nil {
		t.Fatal(err)
	}
	return webserver.Nginx(t, dir, nil) + "/live.iso"
}

// An image whose digest is known is read back from the disk.
func TestReadBack(t *testing.T) {
	full(t)
	t.Parallel()
	iso := liveISO(t, liveiso.Config{Layout: liveiso.Squashfs, Table: liveiso.GPT, PadMiB: 16})
	words := persistent + "/dev/sda rd.liveboot.sha256=" + sum(t, iso) + " root=live:" + nginx(t, iso, nil) + " "
	disk := blankDisk(t, smallDisk)
	m := boot(t, words, onDisk(disk))
	checkPersistent(t, m.facts(), lies{"/dev/sda1", "/dev/sda3", "ext4"}, "")
	m.hasSaid(said(target, "read back and compared"))
	m.exits("guest-shutdown")
}
