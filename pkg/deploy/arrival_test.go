package deploy

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	"github.com/liveboot/liveboot/pkg/iso"
	"github.com/liveboot/liveboot/pkg/iso/isotest"
	"github.com/liveboot/liveboot/pkg/kernel/block"
	"github.com/liveboot/liveboot/pkg/partition"
)

// small is a hybrid image of less than headSize.
func small() []byte {
	return withMBR(isotest.Image("CDROM", map[string]string{container: squashfs(300<<10 + 5)}))
}

// withGPT is a hybrid image as KIWI 10 writes it: its first partition shows the ISO once more, and its second one is the firmware's.
func withGPT() []byte {
	const entries, entrySize, array = 128, 128, 2 * 512
	image := append(hybrid(), make([]byte, 33*512)...) // the copy is not looked at
	sectors := uint64(len(image) / 512)
	clear(image[446:510])
	copy(image[446:], entry(0, 0xee, 1, uint32(sectors-1)))
	for i, extent := range [][2]uint64{{64, sectors - 34}, {100, 107}} {
		e := image[array+i*entrySize:]
		copy(e, "type of that one")
		copy(e[16:], fmt.Sprintf("this is number %d", i))
		binary.LittleEndian.PutUint64(e[32:], extent[0])
		binary.LittleEndian.PutUint64(e[40:], extent[1])
	}
	h := image[512:1024]
	copy(h, "EFI PART\x00\x00\x01\x00\x5c")
	for at, value := range map[int]uint64{24: 1, 32: sectors - 1, 40: 34, 48: sectors - 34, 72: array / 512} {
		binary.LittleEndian.PutUint64(h[at:], value)
	}
	copy(h[56:], "GUID of the disk")
	binary.LittleEndian.PutUint32(h[80:], entries)
	binary.LittleEndian.PutUint32(h[84:], entrySize)
	binary.LittleEndian.PutUint32(h[88:], crc32.ChecksumIEEE(image[array:][:entries*entrySize]))
	binary.LittleEndian.PutUint32(h[16:], crc32.ChecksumIEEE(h[:92]))
	return image
}

// uncached is a disk as the streaming process has it, which refuses what O_DIRECT does.
type uncached struct {
	*disk
	// during is called before each write and each flush: the live system is working.
	during func()
}

func (u uncached) WriteAt(p []byte, offset int64) (int, error) {
	if uintptr(unsafe.Pointer(&p[0]))%block.Alignment != 0 || offset%512 != 0 || len(p)%512 != 0 {
		return 0, fmt.Errorf("not aligned: %d bytes at %d", len(p), offset)
	}
	u.during()
	return u.disk.WriteAt(p, offset)
}

func (u uncached) Sync() error {
	u.during()
	return u.disk.Sync()
}

// begun returns a disk on which Begin has made everything ready, as the streaming process is told.
func begun(t *testing.T, d *disk, image []byte, s Spec) Streamed {
	t.Helper()
	job, err := Prepare(d, d.geometry(), s, int64(len(image)))
	if err != nil {
		t.Fatal(err)
	}
	streamed, err := job.Begin(t.Context(), bytes.NewReader(image))
	if err != nil {
		t.Fatal(err)
	}
	streamed.Record.URL, streamed.Record.Digest = "http://h/x.iso", "sha256 00"
	sent, err := json.Marshal(streamed)
	if err != nil {
		t.Fatal(err)
	}
	var received Streamed
	if err := json.Unmarshal(sent, &received); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(streamed, received); diff != "" {
		t.Errorf("what was sent is not what was received (-sent +received):\n%s", diff)
	}
	return received
}

// arrive writes the image in chunks, in any order, as a stream.Store does: the last one has zeros behind it.
func arrive(t *testing.T, a *Arrival, image []byte, chunk int) {
	t.Helper()
	memory, err := block.Buffer(chunk)
	if err != nil {
		t.Fatal(err)
	}
	defer block.Free(memory)
	for _, i := range rand.Perm((len(image) + chunk - 1) / chunk) {
		n := copy(memory, image[i*chunk:])
		clear(memory[n:])
		padded := memory[:(n+block.Alignment-1)/block.Alignment*block.Alignment]
		if got, err := a.WriteAt(padded, int64(i*chunk)); err != nil || got != len(padded) {
			t.Fatalf("WriteAt(%d bytes at %d) = %d, %v", len(padded), i*chunk, got, err)
		}
		back := make([]byte, n)
		if _, err := a.ReadAt(back, int64(i*chunk)); err != nil || !bytes.Equal(back, image[i*chunk:][:n]) {
			t.Fatalf("ReadAt(%d bytes at %d) gave something else than was written, %v", n, i*chunk, err)
		}
	}
	if err := a.Sync(); err != nil {
		t.Fatal(err)
	}
}

// working is a live system that writes blocks to its layer, beside a model of what they are to be in the end.
type working struct {
	disk  *disk
	layer Layer
	model []byte
	rnd   *rand.Rand
}

func startWork(d *disk, l Layer) *working {
	return &working{d, l, bytes.Clone(d.data[l.Start:][:l.Size]), rand.New(rand.NewPCG(3, 4))}
}

func (w *working) write() {
	if w.layer.Size == 0 {
		return
	}
	const untouched = 64 << 10 // there is the superblock, by which the layer is known
	block := bytes.Repeat([]byte{byte(w.rnd.Uint32())}, 4096)
	at := untouched + w.rnd.Int64N((w.layer.Size-untouched)/4096)*4096
	if w.rnd.IntN(8) == 0 {
		at = w.layer.Size - 4096 // beside the backup GPT
	}
	copy(w.model[at:], block)
	if _, err := w.disk.WriteAt(block, w.layer.Start+at); err != nil {
		panic(err)
	}
}

// normal returns what is on a disk without what is chosen at random: the layer's contents, its UUID in a GPT, and the id of an MBR that the image
// lacked.
func normal(t *testing.T, d *disk, noTable bool) []byte {
	t.Helper()
	data := bytes.Clone(d.data)
	layer := inspectDisk(t, d).Image.Layer
	if layer == nil {
		return data
	}
	clear(data[layer.Start:layer.End()])
	if noTable {
		clear(data[440:444])
	}
	if string(data[512:520]) == "EFI PART" {
		for _, array := range []int{1024, len(data) - 33*512} {
			clear(data[array+(layer.Number-1)*128+16:][:16])
		}
	}
	return data
}

// TestArrival: what is on the disk in the end is what would have been there without streaming, and what the live system wrote meanwhile.
func TestArrival(t *testing.T) {
	for _, tt := range []struct {
		name   string
		image  []byte
		layer  string
		number int // of the layer's partition
	}{
		{"MBR", hybrid(), "ext4", 3},
		{"MBR, no layer", hybrid(), "", 0},
		{"GPT", withGPT(), "ext4", 3},
		{"GPT, no layer", withGPT(), "", 0},
		{"no table", plain(), "ext4", 1},
		{"no table, no layer", plain(), "", 0},
		{"not a multiple of a sector", append(hybrid(), "tail"...), "ext4", 3},
		{"not a multiple of a page", append(hybrid(), make([]byte, 2048+512)...), "ext4", 3},
		{"not a multiple of a block of the ISO", append(hybrid(), make([]byte, 512)...), "", 0},
		{"less than a MiB", small(), "ext4", 3},
		{"less than a MiB, no layer", append(small(), "tail"...), "", 0},
		{"a MiB", append(small(), make([]byte, mib-len(small()))...), "ext4", 3},
		{"a byte more than a MiB", append(small(), make([]byte, mib+1-len(small()))...), "ext4", 3},
	} {
		for _, chunk := range []int{76 << 10, 2 * mib} {
			t.Run(fmt.Sprintf("%s, chunks of %d", tt.name, chunk), func(t *testing.T) {
				ordinary, d := newDisk(diskSize), newDisk(diskSize)
				rand.NewChaCha8([32]byte{}).Read(ordinary.data)
				copy(d.data, ordinary.data)
				if err := deployTo(ordinary, tt.image, tt.layer); err != nil {
					t.Fatal(err)
				}
				s := begun(t, d, tt.image, Spec{Container: container, Layer: tt.layer})
				if s.Layer.FileSystem != tt.layer || s.Size != int64(len(tt.image)) {
					t.Errorf("Begin = %+v", s)
				}
				if f := inspectDisk(t, d); f.State != Interrupted {
					t.Errorf("Inspect after Begin = %+v", f)
				}
				system := startWork(d, s.Layer)
				a, err := s.Arrival(uncached{d, system.write})
				if err != nil {
					t.Fatal(err)
				}
				arrive(t, a, tt.image, chunk)
				if f := inspectDisk(t, d); f.State != Interrupted {
					t.Errorf("Inspect when all has arrived = %+v", f)
				}
				if err := a.Complete(); err != nil {
					t.Fatal(err)
				}
				f := inspectDisk(t, d)
				if f.State != Complete || number(f.Image.Layer) != tt.number || f.Image.LayerFS != tt.layer {
					t.Fatalf("Inspect = %+v, %+v, want a complete image with the layer in partition %d", f, f.Image, tt.number)
				}
				if l := f.Image.Layer; l != nil && (l.Start != s.Layer.Start || l.Size != s.Layer.Size) {
					t.Errorf("the layer is at %d+%d, and was used at %d+%d", l.Start, l.Size, s.Layer.Start, s.Layer.Size)
				}
				if !bytes.Equal(d.data[s.Layer.Start:][:s.Layer.Size], system.model) {
					t.Error("what the live system wrote to its layer is not there")
				}
				noTable := !bytes.Contains(tt.image[:512], []byte{0x55, 0xaa})
				if got, want := normal(t, d, noTable), normal(t, ordinary, noTable); !bytes.Equal(got, want) {
					t.Errorf("the disk differs from one that was deployed as a whole, first at byte %d", firstDifference(got, want))
				}
				if tt.layer != "" {
					checkCopy(t, d)
				}
				back := make([]byte, len(tt.image))
				if _, err := a.ReadAt(back, 0); err != nil || !bytes.Equal(back, tt.image) {
					t.Errorf("after Complete ReadAt gives something else than the image, %v", err)
				}
			})
		}
	}
}

// checkCopy makes sure that the copy of a GPT at the disk's end has the same partitions.
func checkCopy(t *testing.T, d *disk) {
	t.Helper()
	table, err := partition.Read(d, d.geometry())
	if err != nil || table.Problem != nil {
		t.Fatalf("Read() = %+v, %v", table, err)
	}
	if table.Kind != partition.GPT {
		return
	}
	damaged := &disk{data: bytes.Clone(d.data), sector: d.sector}
	clear(damaged.data[512:1024])
	backup, err := partition.Read(damaged, d.geometry())
	if err != nil || backup.Problem == nil || !cmp.Equal(backup.Entries, table.Entries) {
		t.Errorf("Read() of the copy = %+v, %v, want %+v", backup, err, table)
	}
}

func firstDifference(a, b []byte) int {
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return -1
}

// TestArrivalPowerFailure: whatever of a streamed deployment got to the disk before the power failed, the disk gets the image again, or has all of it.
func TestArrivalPowerFailure(t *testing.T) {
	before := newDisk(diskSize)
	if err := deployTo(before, hybrid(), "ext4"); err != nil {
		t.Fatal(err)
	}
	other := func(image []byte) []byte { image[2*mib] ^= 0xff; return image }
	for _, tt := range []struct {
		name  string
		start []byte
		image []byte
	}{
		{"blank disk", make([]byte, diskSize), hybrid()},
		{"an earlier image, overwritten because somebody asked for it", before.data, other(withGPT())},
		{"no table", make([]byte, diskSize), plain()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDisk(diskSize)
			copy(d.data, tt.start)
			s := begun(t, d, tt.image, Spec{Container: container, Layer: "ext4"})
			system := startWork(d, s.Layer)
			a, err := s.Arrival(uncached{d, system.write})
			if err != nil {
				t.Fatal(err)
			}
			arrive(t, a, tt.image, 512<<10)
			if err := a.Complete(); err != nil {
				t.Fatal(err)
			}
			seen := powerFails(t, d, tt.start, tt.image, mib, true)
			if f := inspectDisk(t, d); f.State != Complete || seen[Interrupted] == 0 {
				t.Errorf("states seen: %v, and at last %+v, want some interrupted and a complete one", seen, f)
			}
		})
	}
}

// TestCompleteErrors: what cannot be completed stays as if the power had failed.
func TestCompleteErrors(t *testing.T) {
	image := hybrid()
	for _, tt := range []struct {
		name    string
		arrived func() []byte // nil for the image
		told    func(*Streamed)
		spoil   func(*disk)
		want    string
		other   bool // it is ErrOtherImage
		written bool
	}{
		{name: "another table", arrived: func() []byte { b := hybrid(); copy(b[478:], entry(0, 0x83, 30000, 100)); return b }, want: "another one", other: true},
		{name: "another ISO", arrived: func() []byte { b := hybrid(); b[17*iso.SectorSize-1] ^= 1; return b }, want: "another one", other: true},
		{name: "no beginning", arrived: func() []byte { b := hybrid(); clear(b[:mib]); return b }, want: "another one", other: true},
		{name: "partitioned by the live system", spoil: func(d *disk) { copy(d.data, image[:512]) }, want: "somebody else has written"},
		{name: "another place for the layer", told: func(s *Streamed) { s.Layer.Start += mib }, want: "its partition would have"},
		{name: "another size of the layer", told: func(s *Streamed) { s.Layer.Size -= 4096 }, want: "its partition would have"},
		{name: "an unknown layer", told: func(s *Streamed) { s.Layer.FileSystem = "vfat" }, want: "vfat"},
		{name: "bad sector below the record", spoil: func(d *disk) { d.broken = place(int64(len(image))) + 5 }, want: "write at byte"},
		{name: "bad sector below the descriptor", spoil: func(d *disk) { d.broken = 16 * iso.SectorSize }, want: "write at byte 512", written: true},
		{name: "a disk that lies", spoil: func(d *disk) { d.lies = 16*iso.SectorSize + 900 }, want: "differs in the MiB at byte 0", written: true},
		{name: "no first sector", spoil: func(d *disk) { d.data = d.data[:0] }, want: io.ErrUnexpectedEOF.Error()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDisk(diskSize)
			s := begun(t, d, image, Spec{Container: container, Layer: "ext4"})
			if tt.told != nil {
				tt.told(&s)
			}
			a, err := s.Arrival(uncached{d, func() {}})
			if err != nil {
				t.Fatal(err)
			}
			arrived := image
			if tt.arrived != nil {
				arrived = tt.arrived()
			}
			arrive(t, a, arrived, 256<<10)
			before, data := len(d.log), d.data
			if tt.spoil != nil {
				tt.spoil(d)
			}
			err = a.Complete()
			if err == nil || !strings.Contains(err.Error(), tt.want) || errors.Is(err, ErrOtherImage) != tt.other {
				t.Errorf("Complete() = %v, want an error with %q", err, tt.want)
			}
			if written := len(d.log) > before; written != tt.written {
				t.Errorf("something was written: %v, want %v", written, tt.written)
			}
			d.data, d.broken, d.lies = data, 0, 0
			if string(d.data[:len(mark)]) != mark {
				return // it is somebody else's
			}
			if f := inspectDisk(t, d); f.State != Interrupted {
				t.Errorf("Inspect after that = %+v, want a disk that gets the image again", f)
			}
			// Who goes on reading still gets all of it.
			back := make([]byte, len(arrived))
			if _, err := a.ReadAt(back, 0); err != nil || !bytes.Equal(back, arrived) {
				t.Errorf("ReadAt after that gives something else than what has arrived, %v", err)
			}
		})
	}
}

// TestArrivalBeyond: whatever is behind the image in a chunk, nothing is written there.
func TestArrivalBeyond(t *testing.T) {
	for _, image := range [][]byte{hybrid(), append(hybrid(), "tail"...), small(), append(small(), 1)} {
		d := newDisk(diskSize)
		s := begun(t, d, image, Spec{Container: container, Layer: "ext4"})
		a, err := s.Arrival(uncached{d, func() {}})
		if err != nil {
			t.Fatal(err)
		}
		before := bytes.Clone(d.data)
		chunk, err := block.Buffer(8 * mib)
		if err != nil {
			t.Fatal(err)
		}
		defer block.Free(chunk)
		for i := range chunk {
			chunk[i] = 0xff
		}
		end := int(place(int64(len(image))))
		for _, at := range []int{0, end - 4096, end, end + 4096, diskSize - 4096} {
			if n, err := a.WriteAt(chunk, int64(at)); err != nil || n != len(chunk) {
				t.Errorf("WriteAt(%d bytes at %d of an image of %d) = %d, %v", len(chunk), at, len(image), n, err)
			}
		}
		if !bytes.Equal(d.data[end:], before[end:]) {
			t.Errorf("something was written behind an image of %d bytes", len(image))
		}
		if !bytes.Equal(d.data[:min(mib, end)], before[:min(mib, end)]) {
			t.Errorf("the beginning of an image of %d bytes was not kept back", len(image))
		}
		if _, err := a.WriteAt(chunk, -4096); err == nil {
			t.Error("WriteAt before the image: no error")
		}
		if _, err := a.ReadAt(chunk, -4096); err == nil {
			t.Error("ReadAt before the image: no error")
		}
	}
}

// TestArrivalForeign: nothing is written to a disk that Begin has not made ready.
func TestArrivalForeign(t *testing.T) {
	s := begun(t, newDisk(diskSize), hybrid(), Spec{Container: container})
	complete := newDisk(diskSize)
	if err := deployTo(complete, hybrid(), ""); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		disk *disk
		told Streamed
	}{
		"blank":         {newDisk(diskSize), s},
		"complete":      {complete, s},
		"unreadable":    {newDisk(0), s},
		"large sectors": {newDisk(diskSize), Streamed{Disk: partition.Disk{Size: diskSize, SectorSize: 4096}, Size: mib}},
		"nothing":       {newDisk(diskSize), Streamed{}},
	} {
		if a, err := tt.told.Arrival(uncached{tt.disk, func() {}}); a != nil || err == nil {
			t.Errorf("Arrival on a disk that is %s = %v, %v, want an error", name, a, err)
		}
	}
}
