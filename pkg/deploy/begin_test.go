package deploy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/liveboot/liveboot/pkg/iso/isotest"
	"github.com/liveboot/liveboot/pkg/kernel/block"
	"github.com/liveboot/liveboot/pkg/partition"
)

// TestBeginErrors: what cannot be done is said before anything is written.
func TestBeginErrors(t *testing.T) {
	image := hybrid()
	full := hybrid()
	for slot := 446; slot < 510; slot += 16 {
		copy(full[slot:], entry(0, 0xef, 100, 8))
	}
	// Its last partition reaches to where the layer would be, of which nothing is known before the table is looked at.
	wide := hybrid()
	copy(wide[478:], entry(0, 0xef, uint32(len(wide)/512), (15*mib-uint32(len(wide)))/512))
	seen := errors.New("no answer")
	ended, end := context.WithCancel(t.Context())
	end()
	for _, tt := range []struct {
		name   string
		size   int // of the disk
		sector int
		told   int64
		image  io.ReaderAt
		layer  string
		ctx    context.Context
		want   string
		is     error
	}{
		{"size unknown", diskSize, 512, -1, bytes.NewReader(image), "", nil, "size of the image is not known", nil},
		{"large sectors", diskSize, 4096, int64(len(image)), bytes.NewReader(image), "", nil, "sectors of 4096 bytes", nil},
		{"truncated", diskSize, 512, 2 * mib, bytes.NewReader(image[:2*mib]), "", nil, "truncated", nil},
		{"no ISO", diskSize, 512, 2 * mib, bytes.NewReader(make([]byte, 2*mib)), "", nil, "not an ISO", nil},
		{"not a live ISO, far behind", diskSize, 512, 4 * mib, onlyAFile(), "", nil, `the ISO "DATA" holds no live system`, nil},
		{"less than announced", diskSize, 512, int64(len(image)), bytes.NewReader(image[:1000]), "", nil, "read the beginning", io.EOF},
		{"no answer", diskSize, 512, int64(len(image)), badReader{bytes.NewReader(image), 40 << 10, seen}, "", nil, "read the beginning", seen},
		{"no answer for the directory", diskSize, 512, int64(len(image)), badReader{bytes.NewReader(image), int64(len(image)) - 1500, seen}, "", nil, "", seen},
		{"no free entry", diskSize, 512, int64(len(full)), bytes.NewReader(full), "ext4", nil, "", partition.ErrFull},
		{"no space behind the last partition", 15*mib + 4096, 512, int64(len(wide)), bytes.NewReader(wide), "ext4", nil, "", partition.ErrNoSpace},
		{"less than the layer needs", 18 * mib, 512, int64(len(wide)), bytes.NewReader(wide), "ext4", nil, "too small", nil},
		{"the boot was ended", diskSize, 512, int64(len(image)), bytes.NewReader(image), "ext4", ended, "", context.Canceled},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDisk(tt.size)
			d.sector = tt.sector
			job, err := Prepare(d, d.geometry(), Spec{Container: container, Layer: tt.layer}, tt.told)
			if err != nil {
				t.Fatal(err)
			}
			ctx := tt.ctx
			if ctx == nil {
				ctx = t.Context()
			}
			s, err := job.Begin(ctx, tt.image)
			if err == nil || !strings.Contains(err.Error(), tt.want) || tt.is != nil && !errors.Is(err, tt.is) || s != (Streamed{}) {
				t.Errorf("Begin() = %+v, %v, want an error with %q, %v", s, err, tt.want, tt.is)
			}
			if len(d.log) > 0 {
				t.Errorf("something was written: %d operations", len(d.log))
			}
		})
	}
}

// onlyAFile is an ISO whose directory lies behind its first MiB, and says that nothing in it is live.
func onlyAFile() io.ReaderAt {
	image := isotest.Image("DATA", map[string]string{"a": strings.Repeat("b", 2*mib)})
	return bytes.NewReader(append(image, make([]byte, 4*mib-len(image))...))
}

// TestBeginOptionalLayer: a layer that may be left out is left out where there is no space for it, and where a partition of the image takes it.
func TestBeginOptionalLayer(t *testing.T) {
	wide := hybrid()
	copy(wide[478:], entry(0, 0xef, uint32(len(wide)/512), (15*mib-uint32(len(wide)))/512))
	for name, tt := range map[string]struct {
		size  int
		image []byte
	}{
		"no space":                           {8 * mib, hybrid()},
		"no space behind the last partition": {15*mib + 4096, wide},
		"little space behind it":             {18 * mib, wide},
	} {
		d := newDisk(tt.size)
		job, err := Prepare(d, d.geometry(), Spec{Container: container, Layer: "ext4", LayerOptional: true}, int64(len(tt.image)))
		if err != nil {
			t.Fatal(err)
		}
		s, err := job.Begin(t.Context(), bytes.NewReader(tt.image))
		if err != nil || s.Layer != (Layer{}) || job.LayerDropped() == nil {
			t.Errorf("%s: Begin() = %+v, %v, the layer was dropped for %v; want no layer", name, s, err, job.LayerDropped())
			continue
		}
		a, err := s.Arrival(uncached{d, func() {}})
		if err != nil {
			t.Fatal(err)
		}
		arrive(t, a, tt.image, 64<<10)
		if err := a.Complete(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if f := inspectDisk(t, d); f.State != Complete || f.Image.Layer != nil {
			t.Errorf("%s: Inspect = %+v, want an image without a layer", name, f)
		}
	}
}

// TestBeginFails: where the disk fails under the layer, it is as one on which a deployment was interrupted.
func TestBeginFails(t *testing.T) {
	image := hybrid()
	d := newDisk(diskSize)
	d.broken = 4*mib + 1024 + 56
	job, err := Prepare(d, d.geometry(), Spec{Container: container, Layer: "ext4"}, int64(len(image)))
	if err != nil {
		t.Fatal(err)
	}
	if s, err := job.Begin(t.Context(), bytes.NewReader(image)); err == nil || !strings.Contains(err.Error(), "make the writable layer") {
		t.Errorf("Begin() = %+v, %v", s, err)
	}
	if f := inspectDisk(t, d); f.State != Interrupted {
		t.Errorf("Inspect = %+v", f)
	}
}

// TestBeginThenFill: where streaming fails, the image can still come as a whole, and replaces whatever had come.
func TestBeginThenFill(t *testing.T) {
	image := hybrid()
	d := newDisk(diskSize)
	job, err := Prepare(d, d.geometry(), Spec{Container: container, Layer: "ext4"}, int64(len(image)))
	if err != nil {
		t.Fatal(err)
	}
	s, err := job.Begin(t.Context(), bytes.NewReader(image))
	if err != nil {
		t.Fatal(err)
	}
	a, err := s.Arrival(uncached{d, func() {}})
	if err != nil {
		t.Fatal(err)
	}
	garbage, err := block.Buffer(mib)
	if err != nil {
		t.Fatal(err)
	}
	defer block.Free(garbage)
	copy(garbage, "some chunk")
	if _, err := a.WriteAt(garbage, 2*mib); err != nil {
		t.Fatal(err)
	}
	if _, err := job.Fill(t.Context(), bytes.NewReader(image)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(job.Compare(t.Context(), func(int64) {}), job.Finish(Record{})); err != nil {
		t.Fatal(err)
	}
	if f := inspectDisk(t, d); f.State != Complete || number(f.Image.Layer) != 3 || !bytes.Equal(d.data[mib:len(image)], image[mib:]) {
		t.Errorf("Inspect = %+v", f)
	}
}
