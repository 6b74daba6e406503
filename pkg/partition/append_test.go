package partition

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// writes are those of an edit, in their order.
func (e Edit) writes() []Write {
	return slices.Concat(e.Backup, e.Table, []Write{{Data: e.First}})
}

// apply returns the disk after the edit.
func (d *disk) apply(e Edit) *disk {
	d = d.clone()
	for _, w := range e.writes() {
		d.write(w.Offset, w.Data)
	}
	return d
}

// TestAppend: where the partition goes, what has changed in LBA 0, and everything that checkEdit asks for.
func TestAppend(t *testing.T) {
	linux := func(start, count uint32) slot { return slot{kind: 0x83, start: start, count: count} }
	const start = imageSize // which is a multiple of 1 MiB
	random := Entry{Type: typeLinuxData, Name: "cow", UUID: "random"}
	gpt := func(number int, start, end int64) Entry {
		e := random
		e.Number, e.Start, e.Size = number, start, (end-start)/4096*4096
		return e
	}
	mbr := func(number int, start, end int64) Entry {
		return Entry{Number: number, Start: start, Size: end - start, Type: "0x83"}
	}
	// first are the offsets of bytes of LBA 0 that may change.
	var none, grown, slot1, slot3, fresh []int
	for i := range 512 {
		if i >= 440 {
			fresh = append(fresh, i)
		}
		if i >= 446 && i < 462 {
			slot1 = append(slot1, i)
		}
		if i >= 478 && i < 494 {
			slot3 = append(slot3, i)
		}
		if i >= 451 && i < 454 || i >= 458 && i < 462 {
			grown = append(grown, i)
		}
	}
	const arrays = (62 + 1) * 512 // 248 entries and a header
	tests := []struct {
		name   string
		in     *disk
		from   int64
		want   Entry
		change []int
	}{
		{name: "KIWI 10", in: kiwi10(gib), from: imageSize, want: gpt(3, start, gib-arrays), change: grown},
		{name: "KIWI 10, odd end of image", in: kiwi10(gib), from: imageSize + 1, want: gpt(3, start+mib, gib-arrays), change: grown},
		{name: "KIWI 10, odd end of disk", in: kiwi10(gib + 700), from: imageSize, want: gpt(3, start, gib+512-arrays), change: grown},
		{name: "KIWI 10, 3 TiB", in: kiwi10(3 * tib), from: imageSize, want: gpt(3, start, 3*tib-arrays), change: grown},
		{name: "KIWI 10, smallest partition", in: kiwi10(imageSize + mib + 32768), from: imageSize, want: gpt(3, start, start+mib), change: grown},
		{name: "gap in the entries", in: newDisk(gib, 512).protect(40960).gpt(128, 40960, gptEntry{}, data(64, 100, 1, "")), from: imageSize,
			want: gpt(1, start, gib-33*512), change: grown},
		{name: "last entry", in: newDisk(gib, 512).protect(40960).gpt(3, 40960, data(64, 70, 1, ""), data(71, 80, 2, "")), from: imageSize,
			want: gpt(3, start, gib-2*512), change: grown},
		{name: "hybrid", in: kiwi10(gib).mbr(7, linux(64, 1000), slot{kind: 0xee, start: 1, count: 63}), from: imageSize,
			want: gpt(3, start, gib-arrays), change: none},
		{name: "dummy that is only active", in: kiwi10(gib).mbr(7, slot{kind: 0xee, start: 1, count: 63}, slot{active: 0x80, count: 1}),
			from: imageSize, want: gpt(3, start, gib-arrays), change: grown},
		{name: "end of the protective entry as UEFI has it", in: kiwi10(gib).code(446+5, "\xff\xff\xff"), from: imageSize,
			want: gpt(3, start, gib-arrays), change: grown[3:]},
		{name: "two partitions side by side", in: newDisk(gib, 512).protect(40960).gpt(128, 40960, data(64, 2047, 1, ""), data(2048, 2048, 2, "")),
			from: 0, want: gpt(3, 2*mib, gib-33*512), change: grown},
		{name: "GPT, partition behind the image", in: newDisk(gib, 512).protect(2097152).
			gpt(128, 2097152, data(64, 100, 1, ""), data(40960, 50000, 2, "")),
			from: imageSize, want: gpt(3, 25*mib, gib-33*512), change: grown},
		{name: "GPT, sectors of 4096 bytes", in: newDisk(gib, 4096).protect(5120).gpt(128, 5120, data(64, 100, 1, "")), from: imageSize,
			want: gpt(2, start, gib-5*4096), change: grown},
		{name: "KIWI 9", in: kiwi9(gib), from: imageSize, want: mbr(3, start, gib), change: slot3},
		{name: "KIWI 9, from inside of a partition", in: kiwi9(gib), from: 1, want: mbr(3, start, gib), change: slot3},
		{name: "KIWI 9, 3 TiB", in: kiwi9(3 * tib), from: imageSize, want: mbr(3, start, 2*tib), change: slot3},
		{name: "KIWI 9, smallest partition", in: kiwi9(imageSize + mib), from: imageSize, want: mbr(3, start, start+mib), change: slot3},
		{name: "MBR without entries", in: newDisk(gib, 512).mbr(0), from: 0, want: mbr(1, mib, gib), change: slot1},
		{name: "MBR, partition behind the image", in: newDisk(gib, 512).mbr(0, linux(64, 100), linux(40960, 10000)), from: imageSize,
			want: mbr(3, 25*mib, gib), change: slot3},
		{name: "MBR, logical partitions", in: newDisk(gib, 512).
			mbr(0, linux(1, 99), slot{kind: 5, start: 100, count: 40860}).logical(100, linux(20, 200)),
			from: imageSize, want: mbr(3, start, gib), change: slot3},
		{name: "MBR, slot that is only active", in: newDisk(gib, 512).mbr(0, linux(64, 100), slot{active: 0x80}, slot{}, linux(200, 9)),
			from: imageSize, want: mbr(3, start, gib), change: slot3},
		{name: "MBR with a GPT beside it", in: kiwi10(gib).mbr(9, slot{active: 0x80, count: 40960}, slot{kind: 0xef, start: 36864, count: 2000}),
			from: imageSize, want: mbr(3, start, gib), change: slot3},
		{name: "no table", in: newDisk(gib, 512), from: imageSize - 1, want: mbr(1, start, gib), change: fresh},
		{name: "no table, 3 TiB", in: newDisk(3*tib, 512), from: imageSize, want: mbr(1, start, 2*tib), change: fresh},
		{name: "no table, 3 TiB, sectors of 4096 bytes", in: newDisk(3*tib, 4096), from: imageSize, want: mbr(1, start, 3*tib), change: fresh},
		{name: "KIWI 10, sectors of 4096 bytes", in: newDisk(gib, 4096).write(0, kiwi10(gib).head(t, HeadSize)), from: imageSize,
			want: mbr(1, start, gib), change: fresh},
		{name: "KIWI 9, sectors of 4096 bytes", in: newDisk(gib, 4096).write(0, kiwi9(gib).head(t, HeadSize)), from: imageSize,
			want: mbr(1, start, gib), change: fresh},
		{name: "entry to behind the end of a disk with sectors of 4096 bytes", in: newDisk(gib, 4096).mbr(3, linux(6000, 1000000)), from: imageSize,
			want: mbr(1, start, gib), change: fresh},
		{name: "MBR for sectors of 4096 bytes", in: newDisk(gib, 4096).mbr(3, slot{}, linux(imageSize/4096, 1024)), from: imageSize,
			want: mbr(1, start+4*mib, gib), change: slot1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Append(tt.in.head(t, HeadSize), tt.in.Disk, tt.from, "cow")
			if err != nil {
				t.Fatalf("Append() = %v", err)
			}
			if tt.want.UUID == "random" {
				tt.want.UUID = got.Entry.UUID
			}
			ignoreID := cmp.Options{}
			if tt.want.Name == "" {
				ignoreID = append(ignoreID, cmpopts.IgnoreFields(Entry{}, "UUID"))
			}
			if d := cmp.Diff(tt.want, got.Entry, ignoreID); d != "" {
				t.Errorf("Append(): -want +got\n%s", d)
			}
			for i, old := range tt.in.head(t, tt.in.SectorSize) {
				if got.First[i] != old && !slices.Contains(tt.change, i) {
					t.Errorf("Append() makes byte %d of LBA 0 %#x, want %#x as before", i, got.First[i], old)
				}
			}
			checkEdit(t, tt.in, tt.from, got)
		})
	}
}

// checkEdit checks what is true of every edit of the disk d.
func checkEdit(t testing.TB, d *disk, from int64, e Edit) {
	t.Helper()
	if e.Entry.Start%mib != 0 || e.Entry.Start < max(from, mib) || e.Entry.Size%4096 != 0 || e.Entry.Size < MinSize || e.Entry.End() > d.Size {
		t.Errorf("Append() puts the partition at %d+%d, with the image up to %d and the disk up to %d", e.Entry.Start, e.Entry.Size, from, d.Size)
	}
	checkWrites(t, d, e)
	checkTables(t, d, e)
	before, after := read(t, d), read(t, d.apply(e))
	if after.Problem != nil {
		t.Errorf("Read() after the edit has problem %v", after.Problem)
	}
	kept := slices.DeleteFunc(slices.Clone(after.Entries), func(p Entry) bool { return p == e.Entry })
	if len(kept) != len(after.Entries)-1 {
		t.Errorf("Read() after the edit = %+v, want also %+v", after, e.Entry)
	}
	if before.Kind == None || forOtherSectors(d.head(t, HeadSize), d.Disk, from) {
		before = &Table{Kind: MBR, UUID: after.UUID} // a new one
	}
	before.Problem, after.Problem, after.Entries = nil, nil, kept
	if d := cmp.Diff(before, after, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("what was there has changed: -before +after\n%s", d)
	}
}

func read(t testing.TB, d *disk) *Table {
	t.Helper()
	table, err := Read(d, d.Disk)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// checkWrites: whole sectors on the disk, none of them in the partition or twice, copies behind it and the rest before it.
func checkWrites(t testing.TB, d *disk, e Edit) {
	t.Helper()
	if len(e.First) != d.SectorSize {
		t.Errorf("Append().First has %d bytes, want %d", len(e.First), d.SectorSize)
	}
	all := e.writes()
	slices.SortFunc(all, func(a, b Write) int { return int(a.Offset - b.Offset) })
	end := int64(0)
	for _, w := range all {
		if w.Offset < end || w.Offset%int64(d.SectorSize) != 0 || len(w.Data)%d.SectorSize != 0 || len(w.Data) == 0 {
			t.Errorf("Append() writes %d bytes at %d, behind a write up to %d", len(w.Data), w.Offset, end)
		}
		end = w.Offset + int64(len(w.Data))
	}
	if end > d.Size {
		t.Errorf("Append() writes up to %d on a disk of %d bytes", end, d.Size)
	}
	for _, w := range e.Backup {
		if w.Offset < e.Entry.End() {
			t.Errorf("Append() puts a copy at %d, and the partition ends at %d", w.Offset, e.Entry.End())
		}
	}
	for _, w := range e.Table {
		if w.Offset+int64(len(w.Data)) > e.Entry.Start {
			t.Errorf("Append() puts the table at %d+%d, and the partition begins at %d", w.Offset, len(w.Data), e.Entry.Start)
		}
	}
}

// checkTables compares both GPTs of an edit with the one before, field by field and entry by entry.
func checkTables(t testing.TB, d *disk, e Edit) {
	t.Helper()
	if len(e.Backup) == 0 && len(e.Table) == 0 {
		return
	}
	if len(e.Backup) != 2 || len(e.Table) != 2 {
		t.Fatalf("Append() makes %d and %d writes, want entries and header each", len(e.Backup), len(e.Table))
	}
	size := int64(d.SectorSize)
	last := d.Size/size - 1
	old := fieldsOf(t, d.head(t, int(2*size))[size:])
	array := make([]byte, len(e.Table[0].Data))
	if _, err := d.ReadAt(array, int64(old.Array)*size); err != nil {
		t.Fatal(err)
	}
	array = array[:old.Entries*128]
	want := old
	want.Other, want.Last = uint64(last), uint64(e.Backup[0].Offset/size-1)
	if got := fieldsOf(t, e.Table[1].Data); got != want {
		t.Errorf("header:\n%+v, want\n%+v", got, want)
	}
	want.My, want.Other, want.Array = uint64(last), 1, uint64(e.Backup[0].Offset/size)
	if got := fieldsOf(t, e.Backup[1].Data); got != want {
		t.Errorf("header of the copy:\n%+v, want\n%+v", got, want)
	}
	if end := e.Backup[0].Offset + int64(len(e.Backup[0].Data)); end != last*size || e.Backup[1].Offset != end {
		t.Errorf("copy of the header at %d, of the entries up to %d, want both %d", e.Backup[1].Offset, end, last*size)
	}
	if e.Table[0].Offset != int64(old.Array)*size || e.Table[1].Offset != size {
		t.Errorf("entries at %d and header at %d, want %d and %d", e.Table[0].Offset, e.Table[1].Offset, int64(old.Array)*size, size)
	}
	got := e.Table[0].Data[:len(array)]
	if !bytes.Equal(got, e.Backup[0].Data[:len(array)]) {
		t.Error("entries and their copy are not the same")
	}
	if sum := crc32.ChecksumIEEE(got); sum != old.ArrayCRC {
		t.Errorf("checksum of the entries = %#x, want %#x as before", sum, old.ArrayCRC)
	}
	at := (e.Entry.Number - 1) * 128
	if !bytes.Equal(got[:at], array[:at]) || !bytes.Equal(got[at+128:], array[at+128:]) {
		t.Error("other entries have changed")
	}
}

// fieldsOf returns the header in a sector, with its own checksum compared and taken out.
func fieldsOf(t testing.TB, sector []byte) gptFields {
	t.Helper()
	var f gptFields
	if _, err := binary.Decode(sector, binary.LittleEndian, &f); err != nil {
		t.Fatal(err)
	}
	covered := bytes.Clone(sector[:f.Size])
	clear(covered[16:20])
	if sum := crc32.ChecksumIEEE(covered); sum != f.CRC {
		t.Errorf("checksum of the header = %#x, want %#x", f.CRC, sum)
	}
	f.CRC = 0
	return f
}

func TestAppendErrors(t *testing.T) {
	linux := func(start, count uint32) slot { return slot{kind: 0x83, start: start, count: count} }
	var full []gptEntry
	for i := range 4 {
		full = append(full, data(uint64(64+i), uint64(64+i), byte(i), ""))
	}
	tests := []struct {
		name string
		in   *disk
		from int64
		want error
		text string
	}{
		{"image longer than the disk", newDisk(mib, 512), mib + 1, ErrNoSpace, "the image ends at 1048577, the disk at 1048576 bytes"},
		{"from below 0", newDisk(mib, 512), -1, nil, "the image ends at -1"},
		{"image fills the disk", newDisk(mib, 512), mib, ErrNoSpace, "the image ends at byte 1048576 of 1048576; from the next MiB on 0 bytes"},
		{"nearly 1 MiB", newDisk(3*mib-512, 512), mib + 1, ErrNoSpace, "on 1044480 bytes can be used, and 1048576 is the least"},
		{"KIWI 9", kiwi9(imageSize + mib - 512), imageSize, ErrNoSpace, "the image ends at byte 20971520 of 22019584"},
		{"KIWI 10", kiwi10(imageSize + mib + 32255), imageSize, ErrNoSpace,
			"the image ends at byte 20971520 of 22052351; from the next MiB on 1044480"},
		{"partition to the end", newDisk(gib, 512).mbr(0, linux(64, 100), linux(100000, 1997152)), imageSize, ErrNoSpace,
			"partition 2 ends at byte 1073741824 of 1073741824"},
		{"GPT, partition to the end", newDisk(gib, 512).protect(2097152).gpt(128, 2097152, data(64, 100, 1, ""), data(100000, 2097118, 2, "")),
			imageSize, ErrNoSpace, "partition 2 ends at byte 1073724928 of 1073741824"},
		{"partition up to 2 TiB", newDisk(3*tib, 512).mbr(0, linux(2048, 1<<32-2048-1)), imageSize, ErrNoSpace,
			"partition 1 ends at byte 2199023255040"},
		{"MBR full", newDisk(gib, 512).mbr(0, linux(64, 1), linux(65, 1), slot{kind: 0xef, start: 70, count: 4}, linux(66, 1)), imageSize, ErrFull,
			"all 4 entries of the MBR are in use: 1 has type 0x83, sectors 64+1; 2 has type 0x83, sectors 65+1; 3 has type 0xef, sectors 70+4; 4 has"},
		{"GPT full", newDisk(gib, 512).protect(40960).gpt(4, 40960, full...), imageSize, ErrFull, "all 4 entries of the GPT are in use"},
		{"GPT damaged", kiwi10(gib).damage(1024), imageSize, ErrDamaged, "entries at sector 2: wrong checksum"},
		{"GPT for a larger disk", kiwi10(15 * mib), 15 * mib, ErrDamaged, "header at sector 1: for a larger disk"},
		{"GPT elsewhere", kiwi10(gib).mbr(0, slot{kind: 0xee, start: 5, count: 10}), imageSize, ErrDamaged, "does not begin at sector 1"},
		{"GPT larger than the head", newDisk(gib, 512).protect(40960).gpt(2048, 40960), imageSize, ErrDamaged, "not in the first 65536 bytes"},
		{"partition behind the disk's end", newDisk(gib, 512).protect(40960).gpt(128, 40960, data(64, gib/512, 1, "")), imageSize, ErrDamaged,
			"partition 1 has sectors 64 to 2097152, and the disk has 2097152"},
		{"entries on top of the header", kiwi10(gib).write(512, onHeader()), imageSize, ErrDamaged,
			"entries at sector 1, partitions from sector 64"},
		{"boot sector of a file system", newDisk(gib, 512).mbr(0).code(54, "FAT16   "), imageSize, ErrDamaged, "boot sector of a file system"},
		{"sectors of 520 bytes", newDisk(gib, 520), imageSize, nil, "sectors of 520 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			head := (&disk{Disk{HeadSize, 512}, tt.in.blocks}).head(t, HeadSize)
			_, err := Append(head, tt.in.Disk, tt.from, "cow")
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("Append() = %v, want %v with %q", err, tt.want, tt.text)
			}
		})
	}
}

// onHeader is a header whose entries are where it is itself.
func onHeader() []byte {
	array := gptFields{Entries: 4, My: 1, Other: 9, First: 64, Last: 100, Array: 1}
	h := array.sector(512, nil)
	binary.LittleEndian.PutUint32(h[hdrArrayCRC:], 0)
	// The checksum of the entries covers that of the header, and the reverse: the bytes behind the header make both right.
	binary.LittleEndian.PutUint32(h[hdrCRC:], header(h).sum())
	forgeCRC(h, 508, 0)
	return h
}

func TestAppendArguments(t *testing.T) {
	d := newDisk(gib, 512)
	if _, err := Append(make([]byte, HeadSize-1), d.Disk, 0, "cow"); err == nil || !strings.Contains(err.Error(), "give 65536") {
		t.Errorf("Append() of a short head = %v, want an error that says how much is needed", err)
	}
	for name, ok := range map[string]bool{strings.Repeat("ä", 36): true, strings.Repeat("💾", 18): true, "": true,
		strings.Repeat("a", 37): false, strings.Repeat("💾", 18) + "a": false, "a\x00b": false} {
		in := kiwi10(gib)
		e, err := Append(in.head(t, HeadSize), in.Disk, imageSize, name)
		if (err == nil) != ok {
			t.Errorf("Append(%q) = %v, want success: %t", name, err, ok)
		}
		if err == nil {
			checkEdit(t, in, imageSize, e)
		}
	}
}

// TestProtective: the protective entry covers the disk, as far as an MBR reaches.
func TestProtective(t *testing.T) {
	for size, want := range map[int64]uint32{
		gib: gib/512 - 1, 2*tib - 512: 1<<32 - 2, 2 * tib: 1<<32 - 1, 2*tib + 512: 1<<32 - 1, 3 * tib: 1<<32 - 1,
	} {
		in := kiwi10(size)
		e, err := Append(in.head(t, HeadSize), in.Disk, imageSize, "cow")
		if err != nil {
			t.Fatal(err)
		}
		if got := slotAt(e.First, 0); got != (slot{kind: 0xee, start: 1, count: want}) {
			t.Errorf("Append() for a disk of %d bytes makes the protective entry %+v, want %d sectors", size, got, want)
		}
	}
}

// TestAppendKeepsBehind: what is in the last sector of the entries behind the last one stays.
func TestAppendKeepsBehind(t *testing.T) {
	in := newDisk(gib, 512).protect(40960).gpt(3, 40960)
	in.write(1024, append(make([]byte, 3*128), bytes.Repeat([]byte("x"), 128)...))
	e, err := Append(in.head(t, HeadSize), in.Disk, imageSize, "cow")
	if err != nil {
		t.Fatal(err)
	}
	checkEdit(t, in, imageSize, e)
	if got := e.Table[0].Data; len(got) != 512 || strings.Trim(string(got[384:]), "x") != "" {
		t.Errorf("Append() writes %d bytes, %q behind the last entry, want 512 and 128 times x", len(got), got[384:])
	}
}

// TestAppendRandom: two disks get different names for their partitions, of the form that RFC 9562 gives to random ones.
func TestAppendRandom(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		for _, in := range []*disk{kiwi10(gib), newDisk(gib, 512)} {
			e, err := Append(in.head(t, HeadSize), in.Disk, imageSize, "cow")
			if err != nil {
				t.Fatal(err)
			}
			if seen[e.Entry.UUID] {
				t.Errorf("UUID %s twice", e.Entry.UUID)
			}
			seen[e.Entry.UUID] = true
			if id := e.Entry.UUID; len(id) == 36 && (id[14] != '4' || !strings.Contains("89ab", id[19:20])) {
				t.Errorf("UUID %s is not one of version 4", id)
			}
		}
	}
}

// TestForgeCRC: four bytes at any place give any checksum.
func TestForgeCRC(t *testing.T) {
	for _, n := range []int{4, 5, 31, 31744} {
		for _, at := range []int{0, 1, n / 2, n - 4} {
			for _, want := range []uint32{0, 1, 0xdeadbeef, 0xffffffff} {
				if at < 0 || at+4 > n {
					continue
				}
				b := bytes.Repeat([]byte{0x5a}, n)
				forgeCRC(b, at, want)
				if got := crc32.ChecksumIEEE(b); got != want {
					t.Errorf("forgeCRC(%d bytes, %d) gives %#x, want %#x", n, at, got, want)
				}
				if bytes.Count(b[:at], []byte{0x5a}) != at || bytes.Count(b[at+4:], []byte{0x5a}) != n-at-4 {
					t.Errorf("forgeCRC(%d bytes, %d) changes other bytes", n, at)
				}
			}
		}
	}
}
