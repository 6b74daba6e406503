package streamed

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/deploy"
	"github.com/liveboot/liveboot/pkg/iso/isotest"
	"github.com/liveboot/liveboot/pkg/kernel/block"
	"github.com/liveboot/liveboot/pkg/needs"
	"github.com/liveboot/liveboot/pkg/partition"
	"github.com/liveboot/liveboot/pkg/stream"
	"github.com/liveboot/liveboot/pkg/stream/daemon"
)

const (
	container = "LiveOS/squashfs.img"
	diskSize  = 24 << 20
)

// image is a live ISO whose container has the tables of a squashfs at its end, and whose last chunk is not full.
func image() []byte {
	squashfs := bytes.Repeat([]byte("live"), 1<<20)
	clear(squashfs[:96])
	copy(squashfs, "hsqs")
	binary.LittleEndian.PutUint64(squashfs[40:], uint64(len(squashfs)))
	binary.LittleEndian.PutUint64(squashfs[48:], uint64(len(squashfs)-8))
	binary.LittleEndian.PutUint64(squashfs[len(squashfs)-8:], uint64(len(squashfs)-100))
	return append(isotest.Image("CDROM", map[string]string{container: string(squashfs)}), "tail"...)
}

// server is where an image comes from.
type server []byte

func (s server) ReadAt(_ context.Context, p []byte, offset int64) (int, error) {
	return bytes.NewReader(s).ReadAt(p, offset)
}

// begin makes a disk, which is a file, ready for the image, and returns its path and what the streaming process is told.
func begin(t *testing.T, image []byte) (string, daemon.Job) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, bytes.Repeat([]byte("old "), diskSize/4), 0o600); err != nil {
		t.Fatal(err)
	}
	disk, err := block.OpenDisk(path)
	needs.That(t, !errors.Is(err, unix.EINVAL), "a file system with O_DIRECT in TMPDIR")
	if err != nil {
		t.Fatal(err)
	}
	spec := deploy.Spec{Container: container, Layer: "ext4"}
	job, err := deploy.Prepare(disk, partition.Disk{Size: diskSize, SectorSize: 512}, spec, int64(len(image)))
	if err != nil {
		t.Fatal(err)
	}
	s, err := job.Begin(t.Context(), bytes.NewReader(image))
	if err := errors.Join(err, disk.Close()); err != nil {
		t.Fatal(err)
	}
	s.Record.URL = "http://h/x.iso"
	completion, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return path, daemon.Job{Device: path, Completion: completion}
}

func open(t *testing.T, path string) *stream.DevicePlace {
	t.Helper()
	device, err := stream.OpenPlace(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := device.Close(); err != nil {
			t.Error(err)
		}
	})
	return device
}

// TestHooks: an image that a Store brings to the place of the hooks makes the disk complete, and until Complete nothing is to be seen of it.
func TestHooks(t *testing.T) {
	image := image()
	path, job := begin(t, image)
	hooks := Hooks()
	place, err := hooks.Place(job, open(t, path), int64(len(image)))
	if err != nil {
		t.Fatal(err)
	}
	store, err := stream.New(stream.Config{Size: int64(len(image)), ChunkSize: 76 << 10}, server(image), place)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	running := make(chan struct{})
	go func() { defer close(running); store.Run(ctx) }()
	var arrived bytes.Buffer
	if err := errors.Join(store.Fill(ctx), place.Sync(), store.Hash(ctx, &arrived)); err != nil {
		t.Fatal(err)
	}
	cancel()
	<-running
	if err := store.Close(); err != nil {
		t.Error(err)
	}
	if !bytes.Equal(arrived.Bytes(), image) {
		t.Error("the image in its place is another one")
	}
	if f := inspect(t, path); f.State != deploy.Interrupted {
		t.Errorf("Inspect before Complete = %+v", f)
	}
	if err := hooks.Complete(t.Context(), job, place); err != nil {
		t.Fatal(err)
	}
	f := inspect(t, path)
	if f.State != deploy.Complete || f.Image.LayerFS != "ext4" || f.Image.Record.URL != "http://h/x.iso" || f.Image.Length != int64(len(image)) {
		t.Errorf("Inspect = %+v, %+v", f, f.Image)
	}
	back := make([]byte, len(image)-512)
	if _, err := open(t, path).ReadAt(back, 512); err != nil || !bytes.Equal(back, image[512:]) {
		t.Errorf("the disk holds another image, %v", err)
	}
}

func inspect(t *testing.T, path string) deploy.Finding {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	found, err := deploy.Inspect(f, partition.Disk{Size: diskSize, SectorSize: 512}, container)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestHooksPlain: an image for the RAM disk comes to it as it is.
func TestHooksPlain(t *testing.T) {
	path, _ := begin(t, image())
	device := open(t, path)
	hooks := Hooks()
	for _, completion := range []string{"", "null"} {
		job := daemon.Job{Completion: json.RawMessage(completion)}
		place, err := hooks.Place(job, device, 1<<20)
		if err != nil || place != stream.Place(device) {
			t.Errorf("Place of a job with completion %q = %v, %v, want the device", completion, place, err)
		}
		if err := hooks.Complete(t.Context(), job, device); err != nil {
			t.Errorf("Complete of a job with completion %q: %v", completion, err)
		}
	}
}

// TestHooksErrors: what the disk was not made ready for does not come to it.
func TestHooksErrors(t *testing.T) {
	image := image()
	for _, tt := range []struct {
		name  string
		spoil func(*daemon.Job)
		size  int64
		want  string
		is    error
	}{
		{"another size", func(*daemon.Job) {}, int64(len(image)) + 1, "another one", deploy.ErrOtherImage},
		{"not at the beginning", func(j *daemon.Job) { j.Offset = 4096 }, int64(len(image)), "not at its beginning", nil},
		{"no JSON", func(j *daemon.Job) { j.Completion = json.RawMessage("{") }, int64(len(image)), "unexpected end", nil},
		{"nothing told", func(j *daemon.Job) { j.Completion = json.RawMessage("{}") }, 0, "not from Begin", nil},
		{"another disk", func(j *daemon.Job) {
			if err := os.WriteFile(j.Device, make([]byte, diskSize), 0o600); err != nil {
				t.Fatal(err)
			}
		}, int64(len(image)), "somebody else", nil},
		{"no disk", func(j *daemon.Job) {
			if err := os.Truncate(j.Device, 0); err != nil {
				t.Fatal(err)
			}
		}, int64(len(image)), "first sector", io.ErrUnexpectedEOF},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path, job := begin(t, image)
			device := open(t, path)
			tt.spoil(&job)
			place, err := Hooks().Place(job, device, tt.size)
			if place != nil || err == nil || !strings.Contains(err.Error(), tt.want) || tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("Place() = %v, %v, want an error with %q, %v", place, err, tt.want, tt.is)
			}
		})
	}
}
