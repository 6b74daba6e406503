package partition

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"
)

// seeds are beginnings of disks.
func seeds(f *testing.F) [][]byte {
	linux := slot{kind: 0x83, start: 64, count: 100}
	disks := []*disk{
		kiwi10(gib), kiwi9(gib), newDisk(gib, 512), newDisk(gib, 4096).protect(5120).gpt(128, 5120, data(64, 100, 1, "a")),
		newDisk(gib, 512).mbr(1, linux, slot{kind: 5, start: 90, count: 30}).
			logical(90, linux, slot{kind: 15, start: 5, count: 9}).logical(95, linux),
		kiwi10(gib).mbr(1, linux, slot{kind: 0xee, start: 1, count: 63}), kiwi10(gib).mbr(1, linux),
	}
	var heads [][]byte
	for _, d := range disks {
		head := make([]byte, 33<<10) // where the sectors in use end; the fuzzer is quicker with less
		for at, block := range d.blocks {
			if at < int64(len(head)) {
				copy(head[at:], block[:])
			}
		}
		heads = append(heads, head)
	}
	return heads
}

// sumUp makes the checksums of the GPT right, or the fuzzer would hardly ever get past them.
func sumUp(head []byte, sectorSize int) {
	h := header(head[sectorSize:][:sectorSize])
	start := h.u64(hdrArrayLBA) * uint64(sectorSize)
	if n := h.arraySize(); start < uint64(len(head)) && n <= uint64(len(head))-start {
		binary.LittleEndian.PutUint32(h[hdrArrayCRC:], crc32.ChecksumIEEE(head[start:][:n]))
	}
	if n := h.u32(hdrSize); n >= gptHeaderSize && n <= uint32(sectorSize) {
		binary.LittleEndian.PutUint32(h[hdrCRC:], h.sum())
	}
}

// fuzzed returns a disk that begins with head.
func fuzzed(head []byte, large, right bool, size uint32) *disk {
	d := newDisk(int64(size)*512, 512)
	if large {
		d.SectorSize = 4096
	}
	head = append(bytes.Clone(head), make([]byte, HeadSize)...)[:HeadSize]
	if right {
		sumUp(head, d.SectorSize)
	}
	return d.write(0, head)
}

func FuzzRead(f *testing.F) {
	for _, head := range seeds(f) {
		f.Add(head, false, true, uint32(gib/512))
		f.Add(head, true, false, uint32(gib/512))
		f.Add(head, true, true, uint32(100))
	}
	f.Fuzz(func(t *testing.T, head []byte, large, right bool, size uint32) {
		d := fuzzed(head, large, right, size)
		table, err := Read(d, d.Disk)
		if err != nil {
			t.Fatalf("Read() = %v of a disk that can be read", err)
		}
		last := 0
		for _, e := range table.Entries {
			if e.Number <= last || e.Number > maxPartitions || e.Start < 0 || e.Size <= 0 || e.End() > d.Size {
				t.Errorf("Read() has %+v behind partition %d of a disk of %d bytes", e, last, d.Size)
			}
			last = e.Number
		}
		if table.Kind == None && (table.Entries != nil || table.Problem != nil) {
			t.Errorf("Read() = %+v", table)
		}
	})
}

func FuzzAppend(f *testing.F) {
	for _, head := range seeds(f) {
		f.Add(head, false, true, uint32(gib/512), uint32(imageSize/512))
		f.Add(head, true, true, uint32(gib/512), uint32(imageSize/512))
		f.Add(head, true, false, uint32(5000), uint32(0))
	}
	f.Fuzz(func(t *testing.T, head []byte, large, right bool, size, from uint32) {
		d := fuzzed(head, large, right, max(size, HeadSize/512))
		before := d.head(t, HeadSize)
		given := bytes.Clone(before)
		e, err := Append(given, d.Disk, int64(from)*512, "cow")
		if !bytes.Equal(given, before) {
			t.Error("Append() has changed what it was given")
		}
		if err == nil {
			checkEdit(t, d, int64(from)*512, e)
		}
	})
}
