package partition

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// logical puts the table of a logical partition at a sector.
func (d *disk) logical(at int64, entries ...slot) *disk {
	first := newDisk(4096, 512).mbr(0, entries...).blocks[0]
	return d.write(at*int64(d.SectorSize), first[:])
}

// damage changes one byte.
func (d *disk) damage(offset int64) *disk {
	block := d.blocks[offset/512*512]
	block[offset%512] ^= 0x40
	d.blocks[offset/512*512] = block
	return d
}

// code puts bytes into LBA 0.
func (d *disk) code(at int, s string) *disk {
	block := d.blocks[0]
	copy(block[at:], s)
	d.blocks[0] = block
	return d
}

// linuxEntry is an entry of type 0x83 in an MBR with disk id 0x1234abcd.
func linuxEntry(number int, start, size int64) Entry {
	return Entry{Number: number, Start: start, Size: size, Type: "0x83", UUID: "1234abcd-0" + string(rune('0'+number))}
}

// dataEntry is what data becomes.
func dataEntry(number int, start, size int64, name string) Entry {
	return Entry{Number: number, Start: start, Size: size, Type: typeLinuxData, Name: name, UUID: dataID + "0" + string(rune('0'+number))}
}

const testID = 0x1234abcd

func TestReadMBR(t *testing.T) {
	linux := func(start, count uint32) slot { return slot{kind: 0x83, start: start, count: count} }
	extended := func(start, count uint32) slot { return slot{kind: 0x05, start: start, count: count} }
	container := Entry{Number: 2, Start: 2000 * 512, Size: 6000 * 512, Type: "0x5", UUID: "1234abcd-02"}
	disk1 := func(entries ...slot) *disk { return newDisk(10000*512, 512).mbr(testID, entries...) }
	mbr := func(entries ...Entry) Table { return Table{Kind: MBR, UUID: "1234abcd", Entries: entries} }
	tests := []struct {
		name    string
		in      *disk
		want    Table
		problem string
	}{
		{name: "nothing", in: newDisk(mib, 512)},
		{name: "no disk", in: newDisk(0, 512)},
		{name: "less than a sector", in: newDisk(4095, 4096)},
		{name: "no entries", in: disk1(), want: mbr()},
		{name: "entries", in: disk1(linux(64, 100), slot{}, linux(200, 100)),
			want: mbr(linuxEntry(1, 64*512, 100*512), linuxEntry(3, 200*512, 100*512))},
		{name: "sectors of 4096 bytes", in: newDisk(gib, 4096).mbr(testID, linux(64, 100)), want: mbr(linuxEntry(1, 64*4096, 100*4096))},
		{name: "KIWI 9", in: kiwi9(gib), want: Table{Kind: MBR, Entries: []Entry{
			{Number: 1, Start: 32768, Size: 36800 * 512, Type: "0xcd"}, {Number: 2, Start: 36864 * 512, Size: 4096 * 512, Type: "0xef"}}}},
		{name: "type 0 with a size", in: disk1(slot{active: 0x80, count: 6144}),
			want: mbr(Entry{Number: 1, Size: 6144 * 512, Type: "0x0", UUID: "1234abcd-01"})},
		{name: "longer than the disk", in: disk1(linux(64, 10000)), want: mbr(linuxEntry(1, 64*512, 9936*512))},
		{name: "behind the disk's end", in: disk1(linux(10000, 1), linux(9999, 1)), want: mbr(linuxEntry(2, 9999*512, 512))},
		{name: "logical partitions", in: disk1(linux(64, 100), extended(2000, 6000)).
			logical(2000, linux(10, 100), extended(1000, 1000)).
			logical(3000, linux(20, 200)),
			want: mbr(linuxEntry(1, 64*512, 100*512), container, linuxEntry(5, 2010*512, 100*512), linuxEntry(6, 3020*512, 200*512))},
		{name: "logical partition behind an empty table", in: disk1(slot{}, extended(2000, 6000)).
			logical(2000, extended(1000, 1000)).
			logical(3000, linux(20, 200)),
			want: mbr(container, linuxEntry(5, 3020*512, 200*512))},
		{name: "garbage in the third entry", in: disk1(slot{}, extended(2000, 6000)).
			logical(2000, linux(10, 100), slot{}, linux(1000, 5001), linux(500, 10)),
			want: mbr(container, linuxEntry(5, 2010*512, 100*512), linuxEntry(6, 2500*512, 10*512))},
		{name: "third entry longer than its table", in: disk1(slot{}, extended(2000, 6000)).
			logical(2000, linux(10, 100), extended(1000, 500)).
			logical(3000, linux(10, 100), slot{}, linux(400, 101), linux(400, 100)),
			want: mbr(container, linuxEntry(5, 2010*512, 100*512), linuxEntry(6, 3010*512, 100*512), linuxEntry(7, 3400*512, 100*512))},
		{name: "third entry out of the extended partition", in: disk1(slot{}, extended(2000, 6000)).
			logical(2000, linux(10, 100), extended(1000, 5500)).
			logical(3000, linux(10, 100), slot{}, linux(4900, 101), linux(4900, 100)),
			want: mbr(container, linuxEntry(5, 2010*512, 100*512), linuxEntry(6, 3010*512, 100*512), linuxEntry(7, 7900*512, 100*512))},
		{name: "chain of three", in: disk1(slot{}, extended(2000, 6000)).
			logical(2000, linux(10, 100), extended(1000, 1000)).
			logical(3000, linux(20, 200), extended(2000, 1000)).
			logical(4000, linux(30, 300)),
			want: mbr(container, linuxEntry(5, 2010*512, 100*512), linuxEntry(6, 3020*512, 200*512), linuxEntry(7, 4030*512, 300*512))},
		{name: "no table in the extended partition", in: disk1(slot{}, extended(2000, 6000)), want: mbr(container)},
		{name: "empty tables in a circle", in: disk1(slot{}, extended(2000, 6000)).
			logical(2000, extended(1000, 1000)).
			logical(3000, extended(0, 1000)),
			want: mbr(container)},
		{name: "logical partition behind the disk's end", in: disk1(slot{}, extended(2000, 6000)).
			logical(2000, linux(9000, 10), extended(7999, 10)).
			logical(9999, linux(0, 1)),
			want: mbr(container, linuxEntry(6, 9999*512, 512))},
		{name: "chain leads off the disk", in: disk1(slot{}, extended(2000, 6000)).
			logical(2000, linux(10, 100), extended(8000, 10)),
			want: mbr(container, linuxEntry(5, 2010*512, 100*512)), problem: "logical partitions from 6 on: table at sector 10000 is behind"},
		{name: "two extended partitions", in: disk1(extended(100, 1000), extended(2000, 6000)).
			logical(100, linux(10, 20)).logical(2000, linux(10, 100)),
			want: mbr(Entry{Number: 1, Start: 100 * 512, Size: 1000 * 512, Type: "0x5", UUID: "1234abcd-01"}, container,
				linuxEntry(5, 110*512, 20*512), linuxEntry(6, 2010*512, 100*512))},
		{name: "text where entries would be", in: disk1(linux(64, 100)).code(446, "Remove disk"), want: Table{}},
		{name: "file system FAT", in: disk1().code(54, "FAT16   "), want: Table{}},
		{name: "file system FAT32", in: disk1().code(82, "FAT32   "), want: Table{}},
		{name: "file system NTFS", in: disk1().code(3, "NTFS    "), want: Table{}},
		{name: "GPT without an entry for it in the MBR", in: disk1(linux(64, 100)).gpt(128, 10000, data(64, 100, 1, "a")),
			want: mbr(linuxEntry(1, 64*512, 100*512))},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { checkRead(t, tt.in, tt.want, tt.problem) })
	}
}

func TestReadGPT(t *testing.T) {
	const sectors = 10000
	disk1 := func(places int, entries ...gptEntry) *disk {
		return newDisk(sectors*512, 512).protect(sectors).gpt(places, sectors, entries...)
	}
	one := func() *disk { return disk1(128, data(64, 163, 1, "a")) }
	gpt := func(entries ...Entry) Table { return Table{Kind: GPT, UUID: diskGUID, Entries: entries} }
	wantOne := gpt(dataEntry(1, 64*512, 100*512, "a"))
	const backup = (sectors - 1) * 512
	tests := []struct {
		name    string
		in      *disk
		want    Table
		problem string
	}{
		{name: "one entry", in: one(), want: wantOne},
		{name: "no entries", in: disk1(128), want: gpt()},
		{name: "KIWI 10", in: kiwi10(gib), want: gpt(dataEntry(1, 32768, 36800*512, "ISO9660"), dataEntry(2, 36864*512, 3137*512, "Appended2"))},
		{name: "sectors of 4096 bytes", in: newDisk(gib, 4096).protect(gib/4096).gpt(128, gib/4096, data(64, 163, 1, "a")),
			want: gpt(dataEntry(1, 64*4096, 100*4096, "a"))},
		{name: "hybrid", in: one().mbr(1, slot{kind: 0x83, start: 64, count: 100}, slot{kind: 0xee, start: 1, count: 63}), want: wantOne},
		{name: "hybrid, odd boot indicator", in: one().mbr(1, slot{active: 1, kind: 0x83, count: 9}, slot{kind: 0xee, start: 1, count: 63}),
			want: wantOne},
		{name: "gap", in: disk1(128, gptEntry{}, data(64, 64, 2, "b")), want: gpt(dataEntry(2, 64*512, 512, "b"))},
		{name: "long name", in: disk1(128, data(64, 64, 1, strings.Repeat("ä", 34)+"💾")),
			want: gpt(dataEntry(1, 64*512, 512, strings.Repeat("ä", 34)+"💾"))},
		{name: "up to and behind the disk's end", in: disk1(128, data(64, sectors-1, 1, ""), data(64, sectors, 2, ""), data(64, 63, 3, "")),
			want: gpt(dataEntry(1, 64*512, (sectors-64)*512, ""))},
		{name: "header damaged", in: one().damage(512 + 56), want: wantOne, problem: "GPT: header at sector 1: wrong checksum"},
		{name: "signature damaged", in: one().damage(512), want: wantOne, problem: "GPT: header at sector 1: no signature"},
		{name: "entries damaged", in: one().damage(1024), want: wantOne, problem: "GPT: entries at sector 2: wrong checksum"},
		{name: "copy damaged", in: one().damage(backup + 56), want: wantOne},
		{name: "both damaged", in: one().damage(1024).damage(backup + 56), want: Table{Kind: GPT},
			problem: "GPT: entries at sector 2: wrong checksum; its copy: header at sector 9999: wrong checksum"},
		{name: "header not its own", in: one().write(512, one().header(backup)), want: wantOne, problem: "header is for sector 9999"},
		{name: "for a larger disk", in: newDisk(mib, 512).protect(sectors).gpt(128, sectors), want: Table{Kind: GPT},
			problem: "for a larger disk: partitions from sector 34 to 9966, and the last sector is 2047"},
		{name: "for other sectors", in: newDisk(gib, 4096).write(0, kiwi10(gib).head(t, 65536)), want: Table{Kind: GPT},
			problem: "GPT is for sectors of 512 bytes, and those of the disk have 4096"},
		{name: "protective entry elsewhere", in: one().mbr(0, slot{kind: 0xee, start: 2, count: 9}), want: Table{Kind: GPT},
			problem: "does not begin at sector 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { checkRead(t, tt.in, tt.want, tt.problem) })
	}
}

// TestReadMany: Linux has 255 partitions of a disk at most.
func TestReadMany(t *testing.T) {
	chain := newDisk(gib, 512).mbr(testID, slot{kind: 5, start: 1000, count: 100000})
	var entries []gptEntry
	for i := range uint32(300) {
		chain.logical(int64(1000+100*i), slot{kind: 0x83, start: 10, count: 20}, slot{kind: 0x83, start: 40, count: 20},
			slot{kind: 5, start: 100 * (i + 1), count: 100})
		entries = append(entries, data(uint64(100+i), uint64(100+i), byte(i), ""))
	}
	for name, d := range map[string]*disk{"MBR": chain, "GPT": newDisk(gib, 512).protect(gib/512).gpt(300, gib/512, entries...)} {
		got := read(t, d)
		if n := len(got.Entries); n == 0 || got.Entries[n-1].Number != 255 || got.Problem != nil {
			t.Errorf("%s: Read() of too many partitions has %d and problem %v, want them up to number 255", name, n, got.Problem)
		}
		if want := map[string]int{"MBR": 1 + 251, "GPT": 255}[name]; len(got.Entries) != want {
			t.Errorf("%s: Read() of too many partitions has %d, want %d", name, len(got.Entries), want)
		}
	}
	last := kiwi10(gib)
	for i := range entries[:255] {
		entries[i] = data(64, 64, byte(i), "")
	}
	last.gpt(300, 40960, entries[:255]...)
	if _, err := Append(last.head(t, HeadSize), last.Disk, imageSize, "cow"); !errors.Is(err, ErrFull) {
		t.Errorf("Append() to 255 partitions = %v, want %v", err, ErrFull)
	}
}

// header returns the sector at offset.
func (d *disk) header(offset int64) []byte {
	block := d.blocks[offset]
	return block[:]
}

// TestReadHeaderFields: headers that Linux does not believe though their checksums are right.
func TestReadHeaderFields(t *testing.T) {
	for name, change := range map[string]func(header){
		"header of 0 bytes":                     func(h header) { h[hdrSize] = 0 },
		"header of 604 bytes":                   func(h header) { h[hdrSize+1] = 2 },
		"partitions from sector 9967 to 9966":   func(h header) { h.put(hdrFirstLBA, 9967) },
		"for a larger disk":                     func(h header) { h.put(hdrLastLBA, 10000) },
		"entries of 129 bytes":                  func(h header) { h[hdrEntrySize]++ },
		": 0 entries":                           func(h header) { h[hdrEntries] = 0 },
		"16777344 entries":                      func(h header) { h[hdrEntries+3] = 1 },
		"entries at sector 10000, behind":       func(h header) { h.put(hdrArrayLBA, 10000) },
		"entries: 16384 bytes at 5119488: unex": func(h header) { h.put(hdrArrayLBA, 9999) },
	} {
		d := newDisk(10000*512, 512).protect(10000).gpt(128, 10000, data(64, 163, 1, "a"))
		h := header(d.header(512))
		change(h)
		if n := h.u32(hdrSize); n > hdrCRC+4 && n <= 512 {
			binary.LittleEndian.PutUint32(h[hdrCRC:], h.sum())
		}
		got, err := Read(d.write(512, h), d.Disk)
		if err != nil || got.Problem == nil || !strings.Contains(got.Problem.Error(), name) {
			t.Errorf("Read() of a GPT with %s = %+v, %v, want that as the problem", name, got, err)
		}
	}
}

func checkRead(t *testing.T, in *disk, want Table, problem string) {
	t.Helper()
	got, err := Read(in, in.Disk)
	if err != nil {
		t.Fatalf("Read() = %v", err)
	}
	switch {
	case problem == "" && got.Problem != nil:
		t.Errorf("Read() has problem %q, want none", got.Problem)
	case problem != "" && (!errors.Is(got.Problem, ErrDamaged) || !strings.Contains(got.Problem.Error(), problem)):
		t.Errorf("Read() has problem %v, want %q", got.Problem, problem)
	}
	got.Problem = nil
	if d := cmp.Diff(&want, got); d != "" {
		t.Errorf("Read(): -want +got\n%s", d)
	}
}

// broken is a device that cannot be read.
type broken struct{}

var errBroken = errors.New("bad sector")

func (broken) ReadAt([]byte, int64) (int, error) { return 0, errBroken }

func TestReadErrors(t *testing.T) {
	if _, err := Read(broken{}, Disk{Size: mib, SectorSize: 512}); !errors.Is(err, errBroken) {
		t.Errorf("Read() of a broken disk = %v, want %v", err, errBroken)
	}
	short := bytes.NewReader(make([]byte, 100))
	if _, err := Read(short, Disk{Size: mib, SectorSize: 512}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Read() of a short file = %v, want %v", err, io.ErrUnexpectedEOF)
	}
	for _, d := range []Disk{
		{}, {Size: mib, SectorSize: 256}, {Size: mib, SectorSize: 520}, {Size: mib, SectorSize: 8192}, {Size: -1, SectorSize: 512},
	} {
		if _, err := Read(newDisk(mib, 512), d); err == nil {
			t.Errorf("Read(%+v) succeeded", d)
		}
	}
}
