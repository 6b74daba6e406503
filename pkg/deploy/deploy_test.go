package deploy

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/liveboot/liveboot/pkg/iso"
	"github.com/liveboot/liveboot/pkg/iso/isotest"
	"github.com/liveboot/liveboot/pkg/partition"
)

const (
	mib       = 1 << 20
	container = "LiveOS/squashfs.img"
	diskSize  = 20 * mib
)

// squashfs is as much of one as tells whether it is whole: the superblock, and the index of the owners at the end.
func squashfs(size int) string {
	b := make([]byte, size)
	copy(b, "hsqs")
	binary.LittleEndian.PutUint64(b[40:], uint64(size))
	binary.LittleEndian.PutUint64(b[48:], uint64(size-8))
	for i := 96; i < size-8; i++ {
		b[i] = byte(i*7 + i>>8)
	}
	binary.LittleEndian.PutUint64(b[size-8:], uint64(size-100))
	return string(b)
}

// plain is a live ISO without a boot sector.
func plain() []byte {
	return isotest.Image("CDROM", map[string]string{container: squashfs(3*mib + 777)})
}

// hybrid is one with boot code, and an MBR as KIWI 9 writes it; its first partition shows the ISO once more.
func hybrid() []byte { return withMBR(plain()) }

func withMBR(image []byte) []byte {
	copy(image, "boot code")
	binary.LittleEndian.PutUint32(image[440:], 0x11223344)
	sectors := uint32(len(image) / 512)
	copy(image[446:], entry(0x80, 0xcd, 64, sectors-64))
	copy(image[462:], entry(0, 0xef, 100, 8))
	image[510], image[511] = 0x55, 0xaa
	// The descriptor at LBA 64 + 64, of a volume that ends where the partition does.
	second := image[64*512+16*iso.SectorSize:][:iso.SectorSize]
	copy(second, image[16*iso.SectorSize:][:iso.SectorSize])
	binary.LittleEndian.PutUint32(second[80:], (sectors-64)/4)
	binary.BigEndian.PutUint32(second[84:], (sectors-64)/4)
	return image
}

func entry(active, kind byte, start, count uint32) []byte {
	e := make([]byte, 16)
	e[0], e[4] = active, kind
	binary.LittleEndian.PutUint32(e[8:], start)
	binary.LittleEndian.PutUint32(e[12:], count)
	return e
}

// disk is a disk in memory that remembers what was done to it.
type disk struct {
	data   []byte
	sector int
	log    []operation
	// broken is where writes fail, and lies where they are lost; 0 for nowhere.
	broken, lies int64
}

// operation is a write, or a flush without data.
type operation struct {
	offset int64
	data   []byte
}

func newDisk(size int) *disk { return &disk{data: make([]byte, size), sector: 512} }

func (d *disk) geometry() partition.Disk {
	return partition.Disk{Size: int64(len(d.data)), SectorSize: d.sector}
}

func (d *disk) ReadAt(p []byte, offset int64) (int, error) {
	return bytes.NewReader(d.data).ReadAt(p, offset)
}

func (d *disk) ReadDirect(p []byte, offset int64) error {
	if offset%int64(d.sector) != 0 || len(p)%d.sector != 0 {
		return errors.New("not aligned")
	}
	_, err := d.ReadAt(p, offset)
	return err
}

func (d *disk) WriteAt(p []byte, offset int64) (int, error) {
	if offset+int64(len(p)) > int64(len(d.data)) {
		return 0, io.ErrShortWrite
	}
	if d.broken > 0 && offset <= d.broken && d.broken < offset+int64(len(p)) {
		return 0, errors.New("input/output error")
	}
	d.log = append(d.log, operation{offset, bytes.Clone(p)})
	copy(d.data[offset:], p)
	if d.lies > 0 && offset <= d.lies && d.lies < offset+int64(len(p)) {
		d.data[d.lies] ^= 1
	}
	return len(p), nil
}

func (d *disk) WriteDirect(p []byte, offset int64) error {
	if offset%int64(d.sector) != 0 || len(p)%d.sector != 0 {
		return errors.New("not aligned")
	}
	_, err := d.WriteAt(p, offset)
	return err
}

// ZeroRange works where a write fails: that is to fail which a test is about.
func (d *disk) ZeroRange(offset, length int64) error {
	d.log = append(d.log, operation{offset, make([]byte, length)})
	clear(d.data[offset:][:length])
	return nil
}

func (d *disk) Discard(int64, int64) error { return errors.ErrUnsupported }
func (d *disk) Sync() error                { d.log = append(d.log, operation{}); return nil }

// deployTo brings the image to the disk.
func deployTo(d *disk, image []byte, layer string) error {
	s := Spec{Container: container, Layer: layer}
	job, err := Prepare(d, d.geometry(), s, int64(len(image)))
	if err != nil {
		return err
	}
	if _, err := job.Fill(context.Background(), bytes.NewReader(image)); err != nil {
		return err
	}
	if err := job.Compare(context.Background(), func(int64) {}); err != nil {
		return err
	}
	return job.Finish(Record{URL: "http://h/x.iso", Digest: "sha256 00"})
}

func inspectDisk(t *testing.T, d *disk) Finding {
	t.Helper()
	f, err := Inspect(d, d.geometry(), container)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestDeploy(t *testing.T) {
	for _, tt := range []struct {
		name      string
		image     []byte
		layer     string
		partition int // that of the layer
		iso       int // that which can be mounted as the ISO
	}{
		{"hybrid", hybrid(), "ext4", 3, 1},
		{"hybrid, no layer", hybrid(), "", 0, 1},
		{"not hybrid", plain(), "ext4", 1, 0},
		{"not hybrid, no layer", plain(), "", 0, 0},
		{"not a multiple of a sector", append(hybrid(), "tail"...), "ext4", 3, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDisk(diskSize)
			rand.NewChaCha8([32]byte{}).Read(d.data[9*mib:]) // what nobody knows is no reason to stop
			if f := inspectDisk(t, d); f.State != Blank {
				t.Fatalf("Inspect of a disk without anything known = %+v, want blank", f)
			}
			if err := deployTo(d, tt.image, tt.layer); err != nil {
				t.Fatal(err)
			}
			f := inspectDisk(t, d)
			if f.State != Complete {
				t.Fatalf("Inspect = %+v, want complete", f)
			}
			i := f.Image
			if i.Length != int64(len(tt.image)) || i.VolumeID != "CDROM" || i.Record == nil || i.Record.URL != "http://h/x.iso" || i.Record.Digest != "sha256 00" {
				t.Errorf("Inspect = %+v, record %+v", i, i.Record)
			}
			if got := number(i.Layer); got != tt.partition || tt.layer != i.LayerFS {
				t.Errorf("the layer (%s) is in partition %d, want %q in %d", i.LayerFS, got, tt.layer, tt.partition)
			}
			if got := number(i.ISO); got != tt.iso {
				t.Errorf("the ISO can be mounted from partition %d, want %d", got, tt.iso)
			}
			// Only LBA 0 may differ from the image: this table has nothing elsewhere.
			if !bytes.Equal(d.data[512:len(tt.image)], tt.image[512:]) || !bytes.Equal(d.data[:446], tt.image[:446]) && tt.partition != 1 {
				t.Error("the disk holds something else than the image")
			}
		})
	}
}

func number(e *partition.Entry) int {
	if e == nil {
		return 0
	}
	return e.Number
}

// TestPowerFailure: whatever part of a deployment got to the disk before the power failed, the disk gets the image again, or has all of it.
func TestPowerFailure(t *testing.T) {
	before := newDisk(diskSize)
	if err := deployTo(before, hybrid(), "ext4"); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		start []byte
		reset bool // the disk is overwritten because somebody asked for it
	}{
		{"blank disk", make([]byte, diskSize), false},
		{"an earlier image", before.data, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDisk(diskSize)
			copy(d.data, tt.start)
			image := hybrid()
			image[2*mib] ^= 0xff // not that of before
			if err := deployTo(d, image, "ext4"); err != nil {
				t.Fatal(err)
			}
			seen := powerFails(t, d, tt.start, image, 512, tt.reset)
			if seen[Complete] == 0 || seen[Interrupted] == 0 {
				t.Errorf("states seen: %v, want some interrupted and some complete", seen)
			}
		})
	}
}

// powerFails lets the power fail at each operation of d, which had start on it and was given image. It counts the states that are seen then; a
// disk that is taken for complete must have the image, whose table may differ before the byte from, and what goes with it, or, where that may
// be, still the one from the start.
func powerFails(t *testing.T, d *disk, start, image []byte, from int, earlier bool) map[State]int {
	t.Helper()
	rnd := rand.New(rand.NewPCG(1, 2))
	seen := map[State]int{}
	for i := range d.log {
		crashed := &disk{data: crash(start, d.log[:i+1], rnd), sector: 512}
		f := inspectDisk(t, crashed)
		seen[f.State]++
		switch f.State {
		case Blank, Interrupted:
		case Complete:
			if earlier && bytes.Equal(crashed.data[:len(image)], start[:len(image)]) {
				break // nothing was written yet
			}
			if !bytes.Equal(crashed.data[from:len(image)], image[from:]) || f.Image.Layer == nil || f.Image.Record == nil {
				t.Fatalf("power failed at operation %d of %d: taken for complete, and is not: %+v", i, len(d.log), f)
			}
		default:
			t.Fatalf("power failed at operation %d of %d: %+v", i, len(d.log), f)
		}
	}
	return seen
}

// crash returns a disk after a loss of power: all up to the last flush is there, and of what came later any sectors, or none.
func crash(start []byte, log []operation, rnd *rand.Rand) []byte {
	flushed := 0
	for i, o := range log {
		if o.data == nil {
			flushed = i
		}
	}
	data := bytes.Clone(start)
	for i, o := range log {
		if i <= flushed || len(o.data) <= 512 && rnd.IntN(2) == 0 {
			copy(data[o.offset:], o.data)
			continue
		}
		if len(o.data) <= 512 {
			continue
		}
		from := rnd.IntN(len(o.data)/512) * 512
		to := from + rnd.IntN((len(o.data)-from)/512+1)*512
		copy(data[o.offset+int64(from):], o.data[from:to])
	}
	return data
}

// TestInspect: what is not ours is foreign, what is ours and not whole is an interrupted deployment, unless somebody's work is beside it.
func TestInspect(t *testing.T) {
	deployed := func(layer string) []byte {
		d := newDisk(diskSize)
		if err := deployTo(d, hybrid(), layer); err != nil {
			t.Fatal(err)
		}
		return d.data
	}
	onDisk := func(image []byte) []byte { return append(image, make([]byte, diskSize-len(image))...) }
	with := func(data []byte, change func([]byte)) []byte { change(data); return data }
	at := func(b []byte, name string) int64 {
		image, err := iso.Open(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		offset, _, err := image.Find(name)
		if err != nil {
			t.Fatal(err)
		}
		return offset
	}
	for _, tt := range []struct {
		name string
		data []byte
		want State
		what string
	}{
		{"nothing", make([]byte, diskSize), Blank, "nothing"},
		{"written with dd", onDisk(hybrid()), Complete, "iso9660"},
		{"dd ended after the directory", with(onDisk(hybrid()), func(b []byte) { clear(b[at(b, container)+2*mib:][:mib+777]) }), Interrupted, "tables at the end"},
		{"dd ended after the descriptor", with(onDisk(hybrid()), func(b []byte) { clear(b[17*2048:]) }), Interrupted, "CDROM"},
		{"an ISO that is not live", onDisk(isotest.Image("DATA", map[string]string{"a": "b"})), Foreign, `iso9660 "DATA"`},
		{"no boot sector", with(deployed("ext4"), func(b []byte) { clear(b[:512]) }), Interrupted, "boot sector is missing"},
		{"no boot sector, no record", onDisk(plain()), Interrupted, "boot sector is missing"},
		{"the mark of a deployment", with(deployed("ext4"), func(b []byte) { clear(b[:512]); copy(b, mark) }), Interrupted, "interrupted deployment"},
		{"the mark in a table that somebody made since", with(make([]byte, diskSize), func(b []byte) {
			copy(b, mark)
			copy(b[446:], entry(0, 0x83, 2048, 10000))
			b[510], b[511] = 0x55, 0xaa
		}), Foreign, "MBR"},
		{"the mark on a member of a volume group", with(make([]byte, diskSize), func(b []byte) {
			copy(b, mark)
			copy(b[512:], "LABELONE")
			copy(b[536:], "LVM2 001")
		}), Foreign, "LVM"},
		{"partitioned anew over a finished deployment", with(deployed(""), func(b []byte) {
			clear(b[446:510])
			copy(b[446:], entry(0, 0x83, 2048, 30000))
			clear(b[mib : 3*mib])
		}), Foreign, "partition 1"},
		{"damaged, finished once", with(deployed(""), func(b []byte) { clear(b[at(b, container)+2*mib:][:mib+777]) }), Damaged, "tables at the end"},
		{"half of an erofs", with(onDisk(hybrid()), func(b []byte) {
			c := b[at(b, container):]
			clear(c[:3*mib+777])
			copy(c[1024:], "\xe2\xe1\xf5\xe0")
		}), Interrupted, "container"},
		{"damaged beside a layer", with(deployed("ext4"), func(b []byte) { clear(b[at(b, container):][:2*mib]) }), Damaged, "CDROM"},
		{"a table and a stale descriptor", with(onDisk(hybrid()), func(b []byte) {
			clear(b[40<<10 : 8*mib])
			copy(b[462:], entry(0, 0x83, 20000, 10000))
		}), Foreign, "partition 2"},
		{"a sound image below a newer table", with(onDisk(hybrid()), func(b []byte) {
			clear(b[446:510])
			copy(b[446:], entry(0, 0x83, 10000, 20000))
		}), Foreign, "MBR"},
		{"a member of a volume group", with(onDisk(hybrid()), func(b []byte) {
			clear(b[:512])
			copy(b[512:], "LABELONE")
			copy(b[536:], "LVM2 001")
		}), Foreign, "LVM"},
		{"record of an earlier image", with(onDisk(hybrid()), func(b []byte) {
			copy(b[place(int64(len(hybrid()))):], Record{Length: int64(len(hybrid())), Volume: 4096, VolumeID: "OLD"}.encode())
		}), Complete, "iso9660"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := &disk{data: tt.data, sector: 512}
			f := inspectDisk(t, d)
			if f.State != tt.want || !strings.Contains(f.What, tt.what) {
				t.Errorf("Inspect = %v %q, want %v with %q", f.State, f.What, tt.want, tt.what)
			}
			if f.State == Complete && f.Image.Record != nil {
				t.Errorf("Inspect found the record %+v", f.Image.Record)
			}
		})
	}
}

// TestInspectUnreadable: a disk that cannot be read is not one on which something is missing.
func TestInspectUnreadable(t *testing.T) {
	d := newDisk(diskSize)
	if err := deployTo(d, hybrid(), ""); err != nil {
		t.Fatal(err)
	}
	bad := errors.New("medium error")
	for _, at := range []int64{0, 33 << 10, 60 << 10, 3 * mib} {
		r := badReader{d, at, bad}
		if f, err := Inspect(r, d.geometry(), container); !errors.Is(err, bad) && f.State != Complete {
			t.Errorf("Inspect of a disk with a bad byte at %d = %+v, %v, want %v", at, f, err, bad)
		}
	}
}

type badReader struct {
	io.ReaderAt
	at  int64
	err error
}

func (r badReader) ReadAt(p []byte, offset int64) (int, error) {
	if offset <= r.at && r.at < offset+int64(len(p)) {
		return 0, r.err
	}
	return r.ReaderAt.ReadAt(p, offset)
}

// TestFillErrors: what cannot be done is said before anything is written; what fails on the way leaves a disk that is not taken for complete.
func TestFillErrors(t *testing.T) {
	image := hybrid()
	for _, tt := range []struct {
		name    string
		size    int // of the disk
		told    int64
		image   []byte
		layer   string
		spoil   func(*disk)
		want    string
		written bool
	}{
		{"too small", 3 * mib, int64(len(image)), image, "", nil, "the disk of 3.0 MiB is too small", false},
		{"too small, size unknown", 3 * mib, -1, image, "", nil, "the disk of 3.0 MiB is too small", false},
		{"no place for the layer", 8 * mib, int64(len(image)), image, "ext4", nil, "the writable layer (ext4) goes behind it", false},
		{"not a live ISO", diskSize, -1, isotest.Image("DATA", map[string]string{"a": "b"}), "", nil, `the ISO "DATA" holds no live system`, false},
		{"not a live ISO, seen late", diskSize, -1, isotest.Image("DATA", map[string]string{"a": strings.Repeat("b", 2*mib)}), "", nil, `the ISO "DATA" holds no live system`, true},
		{"no ISO", diskSize, -1, make([]byte, 2*mib), "", nil, "not an ISO", false},
		{"truncated", diskSize, -1, image[:2*mib], "", nil, "truncated", true},
		{"truncated, size known", diskSize, 2 * mib, image[:2*mib], "", nil, "truncated", false},
		{"longer than it says", 4*mib + 64<<10, -1, append(slices.Clone(image), make([]byte, 2*mib)...), "", nil, "too small", true},
		{"bad sector", diskSize, -1, image, "", func(d *disk) { d.broken = 2*mib + 5 }, "write at byte 2097152", true},
		{"a disk that lies", diskSize, -1, image, "", func(d *disk) { d.lies = 2*mib + 5 }, "differs in the MiB at byte 2097152", true},
		{"bad sector in the layer", diskSize, -1, image, "ext4", func(d *disk) { d.broken = 4*mib + 1024 + 56 }, "make the writable layer", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDisk(tt.size)
			if tt.spoil != nil {
				tt.spoil(d)
			}
			job, err := Prepare(d, d.geometry(), Spec{Container: container, Layer: tt.layer}, tt.told)
			if err == nil {
				_, err = job.Fill(t.Context(), bytes.NewReader(tt.image))
			}
			if err == nil {
				err = job.Compare(t.Context(), func(int64) {})
			}
			if err == nil {
				err = job.Finish(Record{})
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
			if written := len(d.log) > 0; written != tt.written {
				t.Errorf("something was written: %v, want %v", written, tt.written)
			}
			d.broken, d.lies = 0, 0
			if f := inspectDisk(t, d); f.State != Blank && f.State != Interrupted {
				t.Errorf("Inspect after that = %+v, want a disk that gets the image again", f)
			}
		})
	}
}

// restarting is a stream that begins anew after a while, as one does whose file changed on the server.
type restarting struct {
	first, then io.Reader
	restarted   bool
}

type restart struct{}

func (restart) Error() string  { return "anew" }
func (restart) Restart() int64 { return -1 }

func (r *restarting) Read(p []byte) (int, error) {
	if r.restarted {
		return r.then.Read(p)
	}
	n, err := r.first.Read(p)
	if err == io.EOF {
		r.restarted = true
		return n, restart{}
	}
	return n, err
}

func TestFillRestart(t *testing.T) {
	d := newDisk(diskSize)
	job, err := Prepare(d, d.geometry(), Spec{Container: container, Layer: "ext4"}, -1)
	if err != nil {
		t.Fatal(err)
	}
	image, old := hybrid(), append(hybrid()[:3*mib], make([]byte, 4*mib)...)
	if _, err := job.Fill(t.Context(), &restarting{first: bytes.NewReader(old), then: bytes.NewReader(image)}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(job.Compare(t.Context(), func(int64) {}), job.Finish(Record{})); err != nil {
		t.Fatal(err)
	}
	if f := inspectDisk(t, d); f.State != Complete || f.Image.Length != int64(len(image)) {
		t.Errorf("Inspect = %+v", f)
	}
}

// TestAddLayer: an image that somebody wrote to the disk gets a layer, and stays what it is.
func TestAddLayer(t *testing.T) {
	for _, image := range [][]byte{hybrid(), append(hybrid(), make([]byte, 300<<10)...)} {
		d := newDisk(diskSize)
		copy(d.data, image)
		f := inspectDisk(t, d)
		if f.State != Complete || f.Image.Layer != nil {
			t.Fatalf("Inspect = %+v", f)
		}
		e, err := AddLayer(d, d.geometry(), *f.Image, "ext4")
		if err != nil {
			t.Fatal(err)
		}
		f = inspectDisk(t, d)
		if f.State != Complete || number(f.Image.Layer) != e.Number || f.Image.LayerFS != "ext4" {
			t.Errorf("Inspect with a layer in partition %d = %+v", e.Number, f.Image)
		}
		if !bytes.Equal(d.data[512:len(hybrid())], hybrid()[512:]) {
			t.Error("the image was changed")
		}
	}
}

// TestAddLayerOccupied: a layer that is not recognised any more is not made again; the error names what is there, and nothing is written.
func TestAddLayerOccupied(t *testing.T) {
	d := newDisk(diskSize)
	if err := deployTo(d, hybrid(), "ext4"); err != nil {
		t.Fatal(err)
	}
	layer := inspectDisk(t, d).Image.Layer
	clear(d.data[layer.Start:][:4096])
	f := inspectDisk(t, d)
	if f.State != Complete || f.Image.Layer != nil {
		t.Fatalf("Inspect = %+v", f)
	}
	before := bytes.Clone(d.data)
	_, err := AddLayer(d, d.geometry(), *f.Image, "ext4")
	var occupied *OccupiedError
	if want := fmt.Sprintf("partition %d", layer.Number); !errors.As(err, &occupied) || occupied.Behind != want {
		t.Errorf("AddLayer = %v, want an OccupiedError about %s", err, want)
	}
	if !bytes.Equal(d.data, before) {
		t.Error("the disk was changed")
	}
}

func TestRecord(t *testing.T) {
	want := Record{Length: 5000, Volume: 4096, VolumeID: "A B", Digest: "sha256 00", URL: "http://h/" + strings.Repeat("x", 20), Unbootable: true}
	got, err := decode(want.encode())
	if got != want || err != nil {
		t.Errorf("decode(encode(%+v)) = %+v, %v", want, got, err)
	}
	block := want.encode()
	for i := range bytes.IndexByte(block, 0) {
		damaged := bytes.Clone(block)
		damaged[i] ^= 0x20
		if got, err := decode(damaged); err == nil && got != want {
			t.Errorf("decode of a record with byte %d changed = %+v", i, got)
		}
	}
	long := Record{Length: 2, Volume: 1, URL: strings.Repeat("y", 10000), VolumeID: "a\nlength 7\n"}
	if got, err := decode(long.encode()); err != nil || got.Length != 2 || len(got.URL) != 1024 {
		t.Errorf("decode of a record with a long address = %+v, %v", got, err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(Record{Length: 5000, Volume: 4096, VolumeID: "A", Digest: "sha256 00", URL: "http://h"}.encode())
	f.Add([]byte(recordMark + "\ncrc32c "))
	f.Fuzz(func(t *testing.T, block []byte) {
		r, err := decode(block)
		if err == nil && (r.Length <= 0 || r.Volume <= 0 || r.Length < r.Volume) {
			t.Errorf("decode(%q) = %+v", block, r)
		}
	})
}

func FuzzInspect(f *testing.F) {
	f.Add(0, []byte(mark))
	f.Add(446, entry(0x80, 0xee, 1, 100))
	f.Add(32768, []byte("\x01CD001"))
	f.Fuzz(func(t *testing.T, offset int, change []byte) {
		d := newDisk(6 * mib)
		copy(d.data, hybrid())
		if offset >= 0 && offset < len(d.data) {
			copy(d.data[offset:], change)
		}
		if f, err := Inspect(d, d.geometry(), container); err == nil && (f.State == Complete) != (f.Image != nil) {
			t.Errorf("Inspect = %+v", f)
		}
	})
}

// TestOptionalLayer: a layer that may be left out is left out, even if that shows late.
func TestOptionalLayer(t *testing.T) {
	for _, told := range []int64{-1, int64(len(hybrid()))} {
		d := newDisk(8 * mib)
		job, err := Prepare(d, d.geometry(), Spec{Container: container, Layer: "ext4", LayerOptional: true}, told)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := job.Fill(t.Context(), bytes.NewReader(hybrid())); err != nil {
			t.Fatal(err)
		}
		if err := job.Finish(Record{}); err != nil {
			t.Fatal(err)
		}
		var space *SpaceError
		if f := inspectDisk(t, d); f.State != Complete || f.Image.Layer != nil || !errors.As(job.LayerDropped(), &space) {
			t.Errorf("Inspect = %+v, the layer was dropped for %v; want an image without a layer, for want of space", f, job.LayerDropped())
		}
	}
}
