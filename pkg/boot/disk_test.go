package boot

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/device/disk"
	"github.com/liveboot/liveboot/pkg/iso/isotest"
	"github.com/liveboot/liveboot/pkg/kernel/mount"
	"github.com/liveboot/liveboot/pkg/plan"
)

// sda is a disk in memory, with its partitions.
type sda struct {
	m      *machine
	data   []byte
	sector int
	// readOnly tells that it is write-protected, held that it is open exclusively.
	readOnly, held bool
	// attached is closed when the disk is there as one behind the network.
	attached chan struct{}
	bad      bool // cannot be read before it was written
}

func newSDA(m *machine, size int) *sda { return &sda{m: m, data: make([]byte, size), sector: 512} }

// Wait implements Disks.
func (d *sda) Wait(ctx context.Context, name string, _ func([]disk.Device)) (disk.Device, error) {
	whole := disk.Device{Name: "sda", Path: "/dev/sda", Size: int64(len(d.data)), SectorSize: d.sector, ReadOnly: d.readOnly, Model: "Test Disk"}
	switch number, ok := strings.CutPrefix(name, "/dev/sda"); {
	case ok && number == "", name == "sda":
		return whole, nil
	case ok:
		return disk.Device{Name: "sda" + number, Path: name, Disk: "sda", SectorSize: d.sector}, nil
	case strings.HasPrefix(name, "/dev/etherd/"):
		<-d.attached
		return whole, nil
	case name == "/dev/sr0":
		return disk.Device{Name: "sr0", Path: "/dev/sr0", Size: 1 << 20, SectorSize: 2048, ReadOnly: true}, nil
	}
	return disk.Device{}, &disk.NotFoundError{Name: name, Devices: []disk.Device{whole}}
}

func (d *sda) ReadAt(p []byte, offset int64) (int, error) {
	return bytes.NewReader(d.data).ReadAt(p, offset)
}

func (d *sda) WriteAt(p []byte, offset int64) (int, error) {
	d.bad = false
	if offset+int64(len(p)) > int64(len(d.data)) {
		return 0, io.ErrShortWrite
	}
	return copy(d.data[offset:], p), nil
}

func (d *sda) WriteDirect(p []byte, offset int64) error {
	_, err := d.WriteAt(p, offset)
	return err
}

func (d *sda) ReadDirect(p []byte, offset int64) error {
	_, err := d.ReadAt(p, offset)
	return err
}

func (d *sda) ZeroRange(offset, length int64) error { clear(d.data[offset:][:length]); return nil }
func (d *sda) Discard(int64, int64) error           { return errors.ErrUnsupported }
func (d *sda) Sync() error                          { return nil }

func (d *sda) open(string) (DiskWriter, error) {
	d.held = true
	return d, nil
}

func (d *sda) Close() error {
	d.held = false
	return nil
}

// readPartitions is the kernel's BLKRRPART.
func (d *sda) readPartitions(path string) error {
	if d.held {
		return unix.EBUSY
	}
	d.m.log("blockdev --rereadpt %s", path)
	return nil
}

// wholeImage is a live ISO whose container has the tables of a squashfs at its end.
func wholeImage() []byte {
	squashfs := make([]byte, 2<<20)
	copy(squashfs, "hsqs")
	binary.LittleEndian.PutUint64(squashfs[40:], uint64(len(squashfs)))
	binary.LittleEndian.PutUint64(squashfs[48:], uint64(len(squashfs)-8))
	binary.LittleEndian.PutUint64(squashfs[len(squashfs)-8:], uint64(len(squashfs)-100))
	return isotest.Image("CDROM", map[string]string{"LiveOS/squashfs.img": string(squashfs)})
}

func serve(image []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, ".sha") {
			http.NotFound(w, r)
			return
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(image))
	})
}

const onSDA = "rd.kiwi.live.system=/dev/sda "

// TestRunDisk: a blank disk gets the image, and with it boots again without the network, until a reset is asked for.
func TestRunDisk(t *testing.T) {
	var data []byte
	image := wholeImage()
	for _, tt := range []struct{ name, options string }{
		{"disk-deployed", "rd.live.overlay.persistent"},
		{"disk-again", "rd.live.overlay.persistent"},
		{"disk-again-volatile", ""},
		{"disk-reset", "rd.live.overlay.persistent rd.kiwi.live.reset"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t)
			m.server = serve(image)
			m.sda = newSDA(m, 32<<20)
			copy(m.sda.data, data)
			if err := m.boot(onSDA + tt.options); err != nil {
				t.Fatalf("Run: %v", err)
			}
			golden(t, tt.name, regexp.MustCompile(`from http://[0-9.:]+`).ReplaceAllString(m.sequence(), "from http://server"))
			data = m.sda.data
			if len(m.disk.Bytes()) > 0 {
				t.Error("something was written to the RAM disk")
			}
		})
	}
}

func TestRunDiskErrors(t *testing.T) {
	foreign := func(m *machine) { copy(m.sda.data[512:], "LABELONE"); copy(m.sda.data[536:], "LVM2 001") }
	for _, tt := range []struct {
		name    string
		options string
		change  func(*machine)
		stage   plan.Stage
		want    string
		hint    string
	}{
		{"somebody else's", onSDA, foreign, plan.Target, "/dev/sda (32.0 MiB, Test Disk) holds LVM physical volume", "rd.kiwi.live.reset"},
		{"no such disk", "rd.kiwi.live.system=/dev/sdb", nil, plan.Target, "/dev/sdb", "check the name in rd.kiwi.live.system="},
		{"a partition", "rd.kiwi.live.system=/dev/sda1", nil, plan.Target, "/dev/sda1 is a partition of /dev/sda", ""},
		{"read only", "rd.kiwi.live.system=/dev/sr0", nil, plan.Target, "/dev/sr0 cannot be written to", ""},
		{"too small", onSDA, func(m *machine) { m.sda.data = m.sda.data[:1<<20] }, plan.Target, "is too small", "larger disk"},
		{"too small for the layer", onSDA + "rd.live.overlay.persistent rd.live.overlay.cowfs=xfs", nil, plan.Target, "the writable layer (xfs) goes behind it", "without rd.live.overlay.persistent"},
		{"404", onSDA, func(m *machine) { m.server = http.NotFoundHandler() }, plan.Fetch, "404 Not Found", "check the path"},
		{"broken layer", onSDA + "rd.live.overlay.persistent", func(m *machine) {
			m.mounts = func(p mount.Point) error {
				if p.Source == "/dev/sda1" {
					return errors.New("structure needs cleaning")
				}
				return nil
			}
		}, plan.Overlay, "mount the writable layer /dev/sda1 (ext4): structure needs cleaning", "repair it from a rescue system"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t)
			m.server = serve(wholeImage())
			m.sda = newSDA(m, 32<<20)
			if tt.change != nil {
				tt.change(m)
			}
			before := bytes.Clone(m.sda.data)
			err := m.boot(tt.options)
			var staged *StageError
			if !errors.As(err, &staged) || staged.Stage != tt.stage || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("Run = %v, want an error of %s with %q", err, tt.stage, tt.want)
			}
			if h := Hint(err); !strings.Contains(h, tt.hint) || tt.hint == "" && h != "" && !strings.Contains(err.Error(), "rd.kiwi") {
				t.Errorf("Hint = %q, want one with %q", h, tt.hint)
			}
			if tt.stage == plan.Target && !bytes.Equal(before, m.sda.data) {
				t.Error("the disk was changed")
			}
		})
	}
}

// TestRunDiskAgainErrors: a disk that has the image is not booted, or overwritten, where something else was asked for.
func TestRunDiskAgainErrors(t *testing.T) {
	image := wholeImage()
	sum := sha256.Sum256(image)
	right, wrong := "rd.liveboot.sha256="+hex.EncodeToString(sum[:]), "rd.liveboot.sha256="+strings.Repeat("0", 64)
	for _, tt := range []struct{ name, first, options, want, hint string }{
		{"the same digest", right, onSDA + right, "", ""},
		{"another digest", right, onSDA + wrong, "whose digest was sha256:", "rd.kiwi.live.reset brings the new image"},
		{"not verified before", "", onSDA + right, "", ""},
		{"reset of the layer's partition", "", "rd.kiwi.live.system=/dev/sda1 rd.kiwi.live.reset", "/dev/sda1 is a partition of /dev/sda", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t)
			m.server, m.sda = serve(image), newSDA(m, 32<<20)
			if err := m.boot(onSDA + "rd.live.overlay.persistent " + tt.first); err != nil {
				t.Fatal(err)
			}
			again := newMachine(t)
			again.server, again.sda = serve(image), newSDA(again, 32<<20)
			copy(again.sda.data, m.sda.data)
			err := again.boot(tt.options)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Fatalf("Run = %v, want %q", err, tt.want)
			}
			if h := Hint(err); err != nil && !strings.Contains(h, tt.hint) {
				t.Errorf("Hint = %q, want one with %q", h, tt.hint)
			}
			if warned := strings.Contains(again.sequence(), "was not verified"); warned != (tt.first == "" && strings.Contains(tt.options, right)) {
				t.Errorf("warned of an image that was not verified: %v\n%s", warned, again.sequence())
			}
			if !bytes.Equal(again.sda.data, m.sda.data) {
				t.Error("the disk was changed")
			}
		})
	}
}

// TestRunDiskUnreadable: only a reset overwrites a disk of which a sector cannot be read.
func TestRunDiskUnreadable(t *testing.T) {
	for _, reset := range []string{"", " rd.kiwi.live.reset"} {
		m := newMachine(t)
		m.server, m.sda = serve(wholeImage()), newSDA(m, 32<<20)
		m.sda.bad = true
		err := m.boot(onSDA + reset)
		if (reset != "") != (err == nil) {
			t.Errorf("Run with a disk that cannot be read, and%s = %v", reset, err)
		}
		if err != nil && !strings.Contains(Hint(err), "the disk, its cable") {
			t.Errorf("Hint(%v) = %q", err, Hint(err))
		}
	}
}

// TestOrigin: what stays on the disk has no secrets.
func TestOrigin(t *testing.T) {
	if got, want := origin("https://token@h/x.iso#sha256=00"), "https://h/x.iso#sha256=00"; got != want {
		t.Errorf("origin = %q, want %q", got, want)
	}
}

// TestRunDiskWithoutLayer: with =auto a layer that cannot be is no reason to stop.
func TestRunDiskWithoutLayer(t *testing.T) {
	for _, tt := range []struct {
		name    string
		options string
		mounts  func(mount.Point) error
		want    string
	}{
		{"no place", "rd.live.overlay.cowfs=xfs", nil, "nothing that the live system writes is kept: the disk of 32 MiB is too small"},
		{"broken", "", func(p mount.Point) error {
			if p.Source == "/dev/sda1" {
				return errors.New("structure needs cleaning")
			}
			return nil
		}, "nothing that the live system writes is kept: mount the writable layer /dev/sda1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t)
			m.server, m.mounts = serve(wholeImage()), tt.mounts
			m.sda = newSDA(m, 32<<20)
			if err := m.boot(onSDA + "rd.live.overlay.persistent=auto " + tt.options); err != nil {
				t.Fatalf("Run: %v", err)
			}
			if got := m.sequence(); !strings.Contains(got, "# warning: "+tt.want) || !strings.Contains(got, "changes in memory") {
				t.Errorf("Run did\n%swant a warning with %q, and changes in memory", got, tt.want)
			}
		})
	}
}

// badDisk cannot be read.
type badDisk struct{}

func (badDisk) ReadAt([]byte, int64) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: "/dev/sda", Err: unix.EIO}
}
func (badDisk) Close() error { return nil }
