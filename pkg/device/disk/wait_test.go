package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A bench is a machine whose disks come and go.
type bench struct {
	mu     sync.Mutex
	sys    fstest.MapFS
	images map[string][]byte // by path; one that is nil never answers
	bad    int64             // see image
	opened map[string]int
	dead   chan struct{} // closed when those that never answer do
}

func newBench() *bench {
	sys := fstest.MapFS{"class/block": {Mode: fs.ModeDir | 0o755}}
	return &bench{sys: sys, images: make(map[string][]byte), opened: make(map[string]int), dead: make(chan struct{})}
}

// plug puts a virtio disk in. An image that is nil never answers; one that is empty is a drive without a medium.
func (b *bench) plug(name string, image []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	dir := "devices/virtual/block/" + name
	b.sys["class/block/"+name] = &fstest.MapFile{Mode: fs.ModeSymlink, Data: []byte("../../" + dir)}
	for file, data := range map[string]string{
		"uevent": "DEVTYPE=disk\n", "dev": "254:0\n", "serial": "S-" + name, "removable": "0\n", "ro": "0\n",
		"size": fmt.Sprintln(len(image) / 512), "queue/logical_block_size": "512\n",
	} {
		b.sys[dir+"/"+file] = &fstest.MapFile{Data: []byte(data)}
	}
	if image == nil {
		b.sys[dir+"/size"] = &fstest.MapFile{Data: []byte("8\n")}
	}
	b.images["/dev/"+name] = image
}

// remove pulls a disk.
func (b *bench) remove(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	maps.DeleteFunc(b.sys, func(file string, _ *fstest.MapFile) bool {
		return file == "class/block/"+name || strings.HasPrefix(file, "devices/virtual/block/"+name+"/")
	})
}

// Open is that of a file of sysfs.
func (b *bench) Open(name string) (fs.File, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sys.Open(name)
}

func (b *bench) ReadLink(name string) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sys.ReadLink(name)
}

func (b *bench) Lstat(name string) (fs.FileInfo, error) { return nil, fs.ErrInvalid }

// An image is a device. From the byte bad on, unless that is 0, it can't be read.
type image struct {
	*bytes.Reader
	bad int64
}

func (image) Close() error { return nil }

func (i image) ReadAt(p []byte, offset int64) (int, error) {
	if i.bad == 0 || offset+int64(len(p)) <= i.bad {
		return i.Reader.ReadAt(p, offset)
	}
	n, _ := i.Reader.ReadAt(p[:max(i.bad-offset, 0)], offset)
	return n, errBad
}

var errBad = errors.New("input/output error")

// opens returns how often a device was opened; a read that was given up may still be under way.
func (b *bench) opens(path string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.opened[path]
}

func (b *bench) system() System {
	return System{Sys: b, Open: func(path string) (Reader, error) {
		b.mu.Lock()
		b.opened[path]++
		data := b.images[path]
		b.mu.Unlock()
		switch {
		case data == nil:
			<-b.dead
			return nil, errors.New("dead")
		case len(data) == 0:
			return nil, fmt.Errorf("open %s: %w", path, ErrNoMedium)
		}
		return image{bytes.NewReader(data), b.bad}, nil
	}}
}

// labelled is a disk with a swap area of that label, linux/swap.h.
func labelled(label string) []byte {
	data := make([]byte, 64<<10)
	copy(data[4086:], "SWAPSPACE2")
	data[1024] = 1  // version
	data[1028] = 15 // last page
	copy(data[1052:], label)
	return data
}

// A script is what is done to a machine, and when.
type script map[time.Duration]func()

// during waits for name up to limit while the script runs; it returns what Wait does, and after which time.
func (b *bench) during(
	t *testing.T, name string, limit time.Duration, changed func([]Device), changes script,
) (found string, after time.Duration, err error) {
	t.Helper()
	start := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	for after, change := range changes {
		time.AfterFunc(after, change)
	}
	d, err := b.system().Wait(ctx, name, changed)
	close(b.dead)
	return d.Name, time.Since(start), err
}

func TestWait(t *testing.T) {
	disk := make([]byte, 64<<10)
	for _, tt := range []struct {
		name, wanted string
		there        map[string][]byte
		changes      func(b *bench) script
		want         string
		atLeast      time.Duration
		atMost       time.Duration
	}{
		{
			name: "there", wanted: "/dev/disk/by-id/virtio-S-vda", there: map[string][]byte{"vda": disk, "vdb": disk}, want: "vda",
		},
		{
			name: "late", wanted: "vdb", there: map[string][]byte{"vda": disk}, want: "vdb", atLeast: 7 * time.Second, atMost: 8 * time.Second,
			changes: func(b *bench) script {
				return script{7 * time.Second: func() { b.plug("vdb", disk) }}
			},
		},
		{
			name: "a medium that comes", wanted: "sr0", there: map[string][]byte{"sr0": {}}, want: "sr0", atLeast: 7 * time.Second,
			atMost: 10 * time.Second,
			changes: func(b *bench) script {
				return script{7 * time.Second: func() { b.plug("sr0", disk) }}
			},
		},
		{
			name: "one that goes and comes as another", wanted: "vda", there: map[string][]byte{"vdb": disk}, want: "vda", atLeast: 3 * time.Second,
			atMost: 4 * time.Second,
			changes: func(b *bench) script {
				return script{time.Second: func() { b.remove("vdb") }, 3 * time.Second: func() { b.plug("vda", disk) }}
			},
		},
		{
			name: "beside a dead disk, by the kernel's name", wanted: "/dev/vda", there: map[string][]byte{"vda": disk, "vdb": nil}, want: "vda",
		},
		{
			name: "behind more dead disks than are read at a time", wanted: "vda", want: "vda", atMost: patience + time.Second,
			there: map[string][]byte{
				"vda": disk, "vdb": nil, "vdc": nil, "vdd": nil, "vde": nil, "vdf": nil, "vdg": nil, "vdh": nil, "vdi": nil, "vdj": nil,
			},
		},
		{
			name: "beside a dead disk, by another name", wanted: "/dev/disk/by-id/virtio-S-vda", there: map[string][]byte{"vda": disk, "vdb": nil},
			want: "vda", atLeast: patience, atMost: patience + time.Second,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench()
				for name, data := range tt.there {
					b.plug(name, data)
				}
				var changes script
				if tt.changes != nil {
					changes = tt.changes(b)
				}
				got, after, err := b.during(t, tt.wanted, time.Minute, nil, changes)
				if got != tt.want || err != nil || after < tt.atLeast || after > tt.atMost {
					t.Errorf("Wait(%s) = %s, %v after %v, want %s after %v to %v", tt.wanted, got, err, after, tt.want, tt.atLeast, tt.atMost)
				}
			})
		})
	}
}

// A device that never comes is an error that lists what there is, and the others are read once meanwhile.
func TestWaitInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.plug("vda", make([]byte, 64<<10))
		b.plug("sr0", []byte{})
		b.plug("vdc", nil)
		var told []string
		tell := func(devices []Device) { told = append(told, fmt.Sprint(devices)) }
		name, after, err := b.during(t, "LABEL=x", time.Minute, tell, script{
			time.Second:               func() { b.remove("vdc") },
			time.Minute - time.Second: func() { b.plug("vdb", nil) },
		})
		var missing *NotFoundError
		if !errors.As(err, &missing) || !errors.Is(err, context.DeadlineExceeded) || after != time.Minute {
			t.Errorf("Wait = %s, %v after %v", name, err, after)
		}
		const want = "find device LABEL=x: it is not there; there are /dev/vda (64.0 KiB, virtio), /dev/sr0 (no medium in it), " +
			"/dev/vdb (does not answer) (context deadline exceeded)"
		if err.Error() != want {
			t.Errorf("Wait: %q, want %q", err, want)
		}
		if n := b.opens("/dev/vda"); n != 1 {
			t.Errorf("/dev/vda was read %d times, want once", n)
		}
		if n := b.opens("/dev/sr0"); n < 20 || n > 31 {
			t.Errorf("the drive was asked for a disc %d times in a minute", n)
		}
		if diff := cmp.Diff([]string{"[/dev/vda (64.0 KiB, virtio)]"}, told); diff != "" {
			t.Errorf("changed was called with (-want +got):\n%s", diff)
		}
	})
}

func TestWaitAmbiguous(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.plug("vda", labelled("same"))
		b.plug("vdb", labelled("same"))
		_, after, err := b.during(t, "LABEL=same", time.Minute, nil, nil)
		var ambiguous *AmbiguousError
		if !errors.As(err, &ambiguous) || after != 0 {
			t.Errorf("Wait(LABEL=same) = %v after %v", err, after)
		}
	})
	if _, err := newBench().system().Wait(t.Context(), "LABLE=x", nil); err == nil {
		t.Error("Wait(LABLE=x) found something")
	}
}

// A disk with a place that can't be read has no names by what is on it, and says why; a disc has one at its end.
func TestBadPlaces(t *testing.T) {
	b := newBench()
	b.bad = 60 << 10
	b.plug("sr0", labelled("disc"))
	b.plug("vda", labelled("disk"))
	devices, err := b.system().List()
	if err != nil {
		t.Fatal(err)
	}
	if d, err := Find(devices, "LABEL=disc"); d.Name != "sr0" || d.Err != nil || err != nil {
		t.Errorf("the disc is %v, %v", d, err)
	}
	if d, err := Find(devices, "vda"); !errors.Is(d.Err, errBad) || err != nil {
		t.Errorf("the disk is %v, %v", d, err)
	}
	_, err = Find(devices, "LABEL=disk")
	if err == nil || !strings.Contains(err.Error(), "/dev/vda (64.0 KiB, virtio, probe: read at byte 61440: input/output error)") {
		t.Errorf("Find(LABEL=disk) = %v", err)
	}
}

func TestList(t *testing.T) {
	b := newBench()
	for _, name := range []string{"sdaa", "vda", "sdb", "sda10", "loop0", "ram0", "zram0", "fd0", "nbd0"} {
		b.plug(name, make([]byte, 64<<10))
	}
	b.plug("nbd1", []byte{})
	delete(b.sys, "devices/virtual/block/nbd0/dev")
	devices, err := b.system().List()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range devices {
		got = append(got, d.Name)
	}
	if diff := cmp.Diff([]string{"sdb", "sdaa", "sda10", "vda"}, got); diff != "" {
		t.Errorf("List (-want +got):\n%s", diff)
	}
	if _, err := (System{Sys: fstest.MapFS{}}).List(); err == nil {
		t.Error("List works without sysfs")
	}
}
